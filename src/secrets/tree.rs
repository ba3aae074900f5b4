//! A SOPS document as SOPS sees it: values with their exact Go types, and the bytes of the text that hold them.

use super::flat::DEFAULT_SECTION;
use super::number;
use super::read::{Store, Text};
use crate::document::{Entry, Map, Node, Value};
use crate::finding::{Code, Finding};
use crate::place::Place;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// A value, where it was written, and what became of it.
#[derive(Clone)]
pub(super) struct Item {
    pub data: Data,
    pub place: Place,
    /// The bytes of the text that hold the value.
    pub span: Range<usize>,
    /// Whether the value is written in braces or brackets, or inside such.
    pub in_flow: bool,
    /// Whether it is a block scalar, whose span begins after its header.
    pub is_block: bool,
    /// Whether an anchor or a tag stands before it.
    pub has_properties: bool,
    /// Whether the value stands here through an alias, and is written elsewhere.
    pub is_copy: bool,
    /// The comments that stand directly before it.
    pub comments: Vec<String>,
    /// Whether the file's rule selects it for encryption.
    pub is_selected: bool,
    /// Whether it was encrypted.
    pub is_secret: bool,
}

/// What an [`Item`] holds.
#[derive(Clone)]
pub(super) enum Data {
    Scalar(Scalar),
    List(Vec<Item>),
    Map(Vec<Field>),
    /// A comment that SOPS wrote as an element of a list: no value at all.
    Comment(String),
}

/// A key and its value.
#[derive(Clone)]
pub(super) struct Field {
    pub key: String,
    pub place: Place,
    pub span: Range<usize>,
    /// Whether the key is YAML's merge key `<<`.
    pub is_merge: bool,
    pub item: Item,
}

/// A value without parts, in the types that the Go program gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number of a JSON document, as it is written there: SOPS versions disagree on its type.
    Number(String),
    Text(String),
    /// Text that is not UTF-8.
    Bytes(Vec<u8>),
    /// A time in RFC 3339 with as many digits as needed.
    Time(String),
}

impl Item {
    pub fn new(data: Data, place: Place, span: Range<usize>) -> Self {
        Item {
            data,
            place,
            span,
            in_flow: false,
            is_block: false,
            has_properties: false,
            is_copy: false,
            comments: Vec::new(),
            is_selected: false,
            is_secret: false,
        }
    }

    /// Returns the value of `key`, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Item> {
        match &self.data {
            Data::Map(fields) => fields.iter().find(|it| it.key == key).map(|it| &it.item),
            _ => None,
        }
    }

    /// Returns the text of a scalar; null and collections have none.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match &self.data {
            Data::Scalar(scalar) => scalar.text(),
            _ => None,
        }
    }

    /// Returns the elements of a list; a null or absent list has none.
    pub fn elements(&self) -> Option<&[Item]> {
        match &self.data {
            Data::List(items) => Some(items),
            Data::Scalar(Scalar::Null) => Some(&[]),
            _ => None,
        }
    }

    /// Turns the value into a configuration's tree, without the comments.
    pub fn into_node(self) -> Result<Node, Finding> {
        let place = self.place.clone();
        let value = match self.data {
            Data::Scalar(scalar) => scalar.into_value().map_err(|it| it.at(&place))?,
            Data::Comment(_) => Value::Null,
            Data::List(items) => {
                let kept = items.into_iter().filter(|it| !matches!(it.data, Data::Comment(_)));
                Value::List(kept.map(Item::into_node).collect::<Result<_, _>>()?)
            }
            Data::Map(fields) => Value::Map(into_map(fields)?),
        };
        Ok(Node { value, place, secret: self.is_secret })
    }
}

/// Turns the first document into a configuration's tree, without the comments.
pub(super) fn into_node(text: Text, store: Store) -> Result<Node, Finding> {
    let mut documents = text.documents.into_iter();
    let Some(mut document) = documents.next() else { return Err(Finding::error(Code::SOPS, "the file is empty")) };
    if let (Data::Map(fields), Store::Ini) = (&mut document.data, store)
        && fields.first().is_some_and(|it| it.key == DEFAULT_SECTION)
    {
        // Keys above all sections stand beside the sections.
        if let Data::Map(first) = fields.remove(0).item.data {
            fields.splice(0..0, first);
        }
    }
    document.into_node()
}

fn into_map(fields: Vec<Field>) -> Result<Map, Finding> {
    let mut places: HashMap<String, Place> = HashMap::new();
    for field in fields.iter().filter(|it| !it.is_merge) {
        if let Some(first) = places.insert(field.key.clone(), field.place.clone()) {
            let message = format!("the key `{}` appears twice, first in line {}", field.key, first.line);
            return Err(Finding::error(Code::DUPLICATE_KEY, message).at(&field.place));
        }
    }
    let mut entries = Vec::with_capacity(fields.len());
    for Field { key, place, is_merge, item, .. } in fields {
        let node = item.into_node()?;
        match is_merge {
            // The map's own keys, and earlier sources, win.
            true => {
                let is_new = |it: &Entry| !places.contains_key(&it.key);
                let merged: Vec<_> = merged(node, &place)?.into_iter().filter(is_new).collect();
                for entry in merged {
                    if places.insert(entry.key.clone(), entry.place.clone()).is_none() {
                        entries.push(entry);
                    }
                }
            }
            false => entries.push(Entry { key, place, node }),
        }
    }
    Ok(entries.into_iter().collect::<Map>())
}

/// Returns the entries behind a merge key: of one map, or of several.
fn merged(node: Node, place: &Place) -> Result<Vec<Entry>, Finding> {
    let sources = match node.value {
        Value::List(items) => items.into_iter().map(|it| it.value).collect(),
        value => vec![value],
    };
    let mut entries = Vec::new();
    for source in sources {
        let Value::Map(source) = source else {
            let message = "the merge key `<<` takes a map or a list of maps";
            return Err(Finding::error(Code::SHAPE, message).at(place));
        };
        entries.extend(source);
    }
    Ok(entries)
}

impl Field {
    pub fn new(key: String, place: Place, span: Range<usize>, item: Item) -> Self {
        Field { key, place, span, is_merge: false, item }
    }
}

impl Scalar {
    /// Returns text when the bytes are UTF-8.
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Scalar::Bytes(error.into_bytes()), Scalar::Text)
    }

    /// Returns the name of the type that readers of any format see.
    pub fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "bool",
            Scalar::Int(_) | Scalar::Float(_) | Scalar::Number(_) => "number",
            Scalar::Text(_) | Scalar::Bytes(_) | Scalar::Time(_) => "text",
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Scalar::Null | Scalar::Bytes(_) => return None,
            Scalar::Bool(it) => Cow::from(it.to_string()),
            Scalar::Int(it) => Cow::from(it.to_string()),
            Scalar::Float(it) => Cow::from(number::plain(*it)),
            Scalar::Number(it) | Scalar::Text(it) | Scalar::Time(it) => Cow::from(it.as_str()),
        })
    }

    /// Returns the bytes that stand for this value in the MAC; null has none.
    ///
    /// Up to SOPS 3.12 the numbers of a JSON document are all doubles; `doubles` asks for their text.
    pub fn mac_bytes(&self, doubles: bool) -> Option<Cow<'_, [u8]>> {
        Some(match self {
            Scalar::Null => return None,
            Scalar::Bool(true) => Cow::from(b"True".as_slice()),
            Scalar::Bool(false) => Cow::from(b"False".as_slice()),
            Scalar::Int(it) => Cow::from(it.to_string().into_bytes()),
            Scalar::Float(it) => Cow::from(number::plain(*it).into_bytes()),
            Scalar::Number(it) => match it.parse::<i64>() {
                Ok(it) if !doubles => Cow::from(it.to_string().into_bytes()),
                _ => Cow::from(number::plain(it.parse().unwrap_or(f64::NAN)).into_bytes()),
            },
            Scalar::Text(it) | Scalar::Time(it) => Cow::from(it.as_bytes()),
            Scalar::Bytes(it) => Cow::from(it.as_slice()),
        })
    }

    fn into_value(self) -> Result<Value, Finding> {
        Ok(match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(it) => Value::Bool(it),
            Scalar::Int(it) => Value::Int(it.into()),
            Scalar::Float(it) => number::value(&number::plain(it)).ok_or_else(inexact)?,
            Scalar::Number(it) => number::value(&it).ok_or_else(inexact)?,
            Scalar::Text(it) | Scalar::Time(it) => Value::String(it),
            Scalar::Bytes(_) => {
                let finding = Finding::error(Code::ENCODING, "the decrypted value is not UTF-8 text");
                return Err(finding.hint("keep bytes in a file of their own, encrypted as a whole"));
            }
        })
    }
}

fn inexact() -> Finding {
    Finding::error(Code::NUMBER, "the number cannot be kept exactly").hint("put it in quotes to keep it as text")
}

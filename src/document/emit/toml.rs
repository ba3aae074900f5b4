//! TOML, with a table for each map and an array of tables for each list of maps.

use super::super::{Map, Node, Value};
use super::refuse;
use crate::finding::Finding;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value as TomlValue};

pub(super) fn emit(node: &Node) -> Result<String, Finding> {
    let Some(map) = node.as_map() else {
        return Err(refuse(node, format!("a TOML document must be a map, found {}", node.type_name())));
    };
    let mut document = DocumentMut::new();
    *document.as_table_mut() = table(map)?;
    let text = document.to_string();
    // A first table leaves the blank line that keeps it from what stands above.
    Ok(text.trim_start_matches('\n').to_owned())
}

fn table(map: &Map) -> Result<Table, Finding> {
    let mut table = Table::new();
    for entry in map.iter() {
        table.insert(&entry.key, item(&entry.node)?);
    }
    let holds_tables_only = table.iter().all(|(_, it)| it.is_table() || it.is_array_of_tables());
    table.set_implicit(!table.is_empty() && holds_tables_only);
    Ok(table)
}

fn item(node: &Node) -> Result<Item, Finding> {
    match &node.value {
        Value::Map(map) => table(map).map(Item::Table),
        Value::List(items) if !items.is_empty() && items.iter().all(|it| it.as_map().is_some()) => {
            let mut tables = ArrayOfTables::new();
            for map in items.iter().filter_map(Node::as_map) {
                tables.push(table(map)?);
            }
            Ok(Item::ArrayOfTables(tables))
        }
        _ => value(node).map(Item::Value),
    }
}

/// Returns a value as it stands on one line.
pub(in crate::document) fn value(node: &Node) -> Result<TomlValue, Finding> {
    Ok(match &node.value {
        Value::Null => return Err(refuse(node, "TOML cannot hold null")),
        Value::Bool(it) => TomlValue::from(*it),
        Value::Int(it) => match i64::try_from(*it) {
            Ok(it) => TomlValue::from(it),
            Err(_) => return Err(refuse(node, "TOML cannot hold a number beyond 63 bits")),
        },
        Value::Float(it) => TomlValue::from(*it),
        Value::String(it) => TomlValue::from(it.as_str()),
        Value::List(items) => TomlValue::Array(items.iter().map(value).collect::<Result<Array, _>>()?),
        Value::Map(map) => {
            let mut table = InlineTable::new();
            for entry in map.iter() {
                table.insert(&entry.key, value(&entry.node)?);
            }
            TomlValue::InlineTable(table)
        }
    })
}

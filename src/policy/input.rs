//! What rules see as `input`.

use regorus::Value;
use std::collections::BTreeMap;

/// A value for rules; a copy shares it, so that what many are asked about is converted once.
#[derive(Clone, Debug)]
pub struct Input(pub(super) Value);

impl Input {
    /// Returns a map.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Input)>) -> Input {
        let entry = |(key, Input(value)): (K, Input)| (Value::from(key.into()), value);
        Input(Value::from(entries.into_iter().map(entry).collect::<BTreeMap<Value, Value>>()))
    }
}

impl From<serde_json::Value> for Input {
    fn from(value: serde_json::Value) -> Input {
        Input(Value::from(value))
    }
}

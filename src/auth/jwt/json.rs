//! JSON as the tools that write tokens read it: `null` is as if nothing was there, and only so much nesting. Owns that
//! and a few ways to read values; knows no claims.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Members whose values are objects, and members whose values are lists of them. A derived type would also take a list in
/// place of an object, member by member.
const OBJECTS: &[&str] = &[
    "authorization",
    "client_info",
    "client_tls",
    "connect_opts",
    "default_permissions",
    "limits",
    "nats",
    "pub",
    "resp",
    "server_id",
    "service_latency",
    "sub",
    "template",
    "trace",
];
const LISTS_OF_OBJECTS: &[&str] = &["exports", "imports", "times"];

/// Reads JSON text that is an object. Members and elements that are `null` are left out.
///
/// # Errors
/// What is wrong with the text; also nesting deeper than 128, `serde_json`'s own bound, and a list where an object belongs.
pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::from_slice(text)?;
    drop_nulls(&mut value);
    match value.is_object() && objects_are_objects(&value) {
        true => Ok(value),
        false => Err(serde::de::Error::custom("a list where an object belongs")),
    }
}

/// Reads a type from a value, which an object that is not there stands for as an empty one.
pub(super) fn read<T: DeserializeOwned>(value: Option<&Value>) -> Result<T, serde_json::Error> {
    match value {
        Some(value) => T::deserialize(value),
        None => T::deserialize(Value::Object(serde_json::Map::new())),
    }
}

/// Whether the value is what its type is without any: such an object sets nothing. An empty list does.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) => false,
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

/// `src`: a list, or one text with commas.
pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Written::deserialize(from)? {
        Written::List(list) => list,
        Written::Text(text) => {
            let parts = text.split(',').map(|part| part.trim().to_lowercase());
            parts.filter(|part| !part.is_empty()).collect()
        }
    })
}

fn objects_are_objects(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(key, value)| {
            let key = key.as_str();
            let mapping = |ways: &Value| !holds_lists(ways);
            let wrong = match value {
                Value::Array(_) if OBJECTS.contains(&key) => true,
                Value::Array(_) if LISTS_OF_OBJECTS.contains(&key) => holds_lists(value),
                Value::Object(mappings) if key == "mappings" => !mappings.values().all(mapping),
                _ => false,
            };
            !wrong && objects_are_objects(value)
        }),
        Value::Array(items) => items.iter().all(objects_are_objects),
        _ => true,
    }
}

fn holds_lists(value: &Value) -> bool {
    let items = value.as_array();
    items.is_some_and(|items| items.iter().any(Value::is_array))
}

/// Nesting is bounded before this is called.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

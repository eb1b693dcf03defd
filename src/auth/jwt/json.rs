//! JSON as the tools that write tokens read it: `null` is as if nothing was there, the letters' case of members is free, a
//! member that is there twice is what both say, and there is only so much nesting. Owns that and a few ways to read values;
//! knows no claims.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

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
/// Members whose values are objects with keys and subjects for members: their letters are as they are.
const BY_NAME: &[&str] = &["mappings", "revocations", "tiered_limits"];

/// Reads JSON text that is an object. Members that are `null` are left out; an element that is counts as an empty text, which is
/// what the oracle reads in a list of texts. In a list of objects, where it may read an empty one, it is refused.
///
/// # Errors
/// What is wrong with the text; also nesting deeper than 128, `serde_json`'s own bound, and a list where an object belongs.
pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut value = Reading::MEMBERS.deserialize(&mut reader)?;
    reader.end()?;
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

/// Reads a value. Whoever reads tokens elsewhere takes `Exp` for `exp`: what one side holds for an end must be one here.
struct Reading {
    /// An object's members are names that somebody chose.
    by_name: bool,
}

impl Reading {
    const MEMBERS: Reading = Reading { by_name: false };
}

impl<'de> DeserializeSeed<'de> for Reading {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(Reading::MEMBERS)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            let key = match self.by_name {
                true => key,
                false => folded(&key),
            };
            let by_name = !self.by_name && BY_NAME.contains(&key.as_str());
            let value = from.next_value_seed(Reading { by_name })?;
            put(&mut fields, key, value);
        }
        Ok(fields.into())
    }
}

/// A member in the letters in which it is known. Two that are no ASCII count as the letters that they look like.
fn folded(key: &str) -> String {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

/// A member that is there already is said again: objects add to one another, a `null` says nothing, anything else counts.
fn put(fields: &mut Map<String, Value>, key: String, value: Value) {
    match (fields.get_mut(&key), value) {
        (Some(Value::Object(before)), Value::Object(more)) => {
            more.into_iter()
                .for_each(|(key, value)| put(before, key, value));
        }
        (Some(before), Value::Null) if !before.is_array() => {}
        (_, value) => drop(fields.insert(key, value)),
    }
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
        Value::Array(items) => items.iter_mut().for_each(|item| match item {
            Value::Null => *item = Value::String(String::new()),
            item => drop_nulls(item),
        }),
        _ => {}
    }
}

//! Owns the tree that a configuration file is parsed into: values that know where they stand.
//! Never knows what a setting means.

use std::rc::Rc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::Position;

/// A value and the place of its first character, or of the `$reference` that stands for it.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) at: Position,
}

/// What a value is. Containers are shared: a variable is a second owner, not a copy.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Something was wrong here and has been reported: whoever reads it says nothing more.
    Bad,
    Text(Rc<str>),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// `2006-01-02T15:04:05Z`, checked.
    Time(Rc<str>),
    Array(Rc<Array>),
    Map(Rc<Map>),
}

impl Kind {
    /// "a string", "a number", …: for sentences.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Kind::Bad => "something that cannot be read",
            Kind::Text(_) => "a string",
            Kind::Integer(_) => "a whole number",
            Kind::Float(_) => "a number with a fraction",
            Kind::Boolean(_) => "a boolean",
            Kind::Time(_) => "a date",
            Kind::Array(_) => "an array",
            Kind::Map(_) => "a map",
        }
    }

    /// Levels of containers below and including this one; 0 for a scalar.
    pub(super) fn height(&self) -> usize {
        match self {
            Kind::Array(array) => array.height,
            Kind::Map(map) => map.height,
            _ => 0,
        }
    }
}

/// A complete array.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) items: Vec<Value>,
    height: usize,
}

impl Array {
    pub(super) fn new(items: Vec<Value>) -> Array {
        let height = 1 + items.iter().map(|v| v.kind.height()).max().unwrap_or(0);
        Array { items, height }
    }
}

/// Entries in the order of the file. A key given twice keeps its last value and place.
#[derive(Debug)]
pub(super) struct Map {
    entries: IndexMap<Rc<str>, Entry, RandomState>,
    height: usize,
}

/// One `key: value`.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) at: Position,
    pub(super) value: Value,
    /// A `$variable` referred to this key, so it need not be a setting.
    pub(super) used: bool,
}

impl Map {
    pub(super) fn new() -> Map {
        Map {
            entries: IndexMap::with_hasher(RandomState::default()),
            height: 1,
        }
    }

    /// Adds or replaces `key`; a replaced key moves to the end, as the file says it last.
    pub(super) fn set(&mut self, key: Rc<str>, entry: Entry) {
        self.height = self.height.max(1 + entry.value.kind.height());
        self.entries.shift_remove(&key);
        self.entries.insert(key, entry);
    }

    /// The value of `key` for a reference to it, which makes it a used variable.
    pub(super) fn refer(&mut self, key: &str) -> Option<Kind> {
        let entry = self.entries.get_mut(key)?;
        entry.used = true;
        Some(entry.value.kind.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Entry)> {
        self.entries.iter()
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (Rc<str>, Entry)> {
        self.entries.into_iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }
}

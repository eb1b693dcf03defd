//! Owns what settings mean: turns a tree of values into a `Config` and ALL that is wrong with it.
//! Reads the files that settings name for their contents; never prints a value that could be a secret.
//!
//! A section of the configuration is a file here: `settings` is the outermost level, and each section
//! that it hands over to (`authorization`, …) reads its own map with the helpers below.

mod accounts;
mod authorization;
mod callout;
mod exports;
mod imports;
mod jetstream;
mod mappings;
mod msg_trace;
mod nkey;
mod operators;
mod permissions;
mod refused;
mod resolver;
mod resolver_tls;
mod settings;
mod tls;
mod users;

pub(crate) use nkey::is_account as is_account_key;

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::parser::{self, Parsed};
use super::value::{Entry, Kind, Map, Value};
use super::{Config, ConfigError, Position, check, duration};

/// What came of a tree.
pub(super) struct Checked {
    pub(super) config: Config,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<ConfigError>,
    pub(super) hints: Vec<ConfigError>,
}

/// The bytes of a file.
pub(super) type Read<'r> = &'r dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Reads every setting of a configuration.
pub(super) fn check(parsed: &Parsed, read: Read<'_>) -> Checked {
    let mut schema = Schema {
        config: Config::default(),
        errors: Vec::new(),
        warnings: Vec::new(),
        hints: Vec::new(),
        doubtful: HashSet::new(),
        doubt_all: parsed.partial,
        parsed,
        read,
    };
    settings::read(&mut schema, &parsed.map);
    users::check_together(&mut schema);
    operators::check_together(&mut schema, &parsed.map);
    callout::check_together(&mut schema);
    schema.check_accounts();
    Checked {
        config: schema.config,
        errors: schema.errors,
        warnings: schema.warnings,
        hints: schema.hints,
    }
}

/// The configuration so far.
struct Schema<'p> {
    config: Config,
    errors: Vec<ConfigError>,
    /// What the oracle calls warnings.
    warnings: Vec<ConfigError>,
    /// What only gannet warns of, and that cannot be seen in the configuration any more.
    hints: Vec<ConfigError>,
    /// Accounts with errors: what others say of them is not held against those.
    doubtful: HashSet<String>,
    /// The accounts may be others than those that were read.
    doubt_all: bool,
    /// What is known of the file beside its tree.
    parsed: &'p Parsed,
    /// The file system.
    read: Read<'p>,
}

/// One setting: what it is called in the file, where, and its value.
#[derive(Clone, Copy)]
struct Field<'v> {
    name: &'v str,
    at: &'v Position,
    value: &'v Value,
    /// It served as a variable.
    used: bool,
}

impl<'v> Field<'v> {
    fn of((name, entry): (&'v std::rc::Rc<str>, &'v Entry)) -> Field<'v> {
        Field {
            name,
            at: &entry.at,
            value: &entry.value,
            used: entry.used,
        }
    }

    /// Its name as settings are compared: without regard to case.
    fn key(&self) -> String {
        self.name.to_lowercase()
    }
}

impl Schema<'_> {
    /// What can only be seen of all accounts together.
    fn check_accounts(&mut self) {
        if !self.doubt_all {
            let doubtful = |name: &str| self.doubtful.contains(name);
            self.errors
                .append(&mut check::accounts(&self.config, &doubtful));
        }
    }

    fn error(&mut self, at: &Position, text: String) {
        self.errors.push(ConfigError {
            at: at.clone(),
            text,
        });
    }

    fn warning(&mut self, at: &Position, text: String) {
        self.warnings.push(ConfigError {
            at: at.clone(),
            text,
        });
    }

    fn hint(&mut self, at: &Position, text: String) {
        self.hints.push(ConfigError {
            at: at.clone(),
            text,
        });
    }

    /// The value is not of the right sort. A bad value has been reported already.
    fn wrong(&mut self, field: Field<'_>, expected: &str) {
        let noun = field.value.kind.noun();
        if !matches!(field.value.kind, Kind::Bad) {
            self.error(
                field.at,
                format!("{:?} must be {expected}, not {noun}", field.name),
            );
        }
    }

    fn not_a_subject(&mut self, at: &Position, text: &str) {
        self.error(at, format!("{text:?} is not a valid subject"));
    }

    /// Whether a setting of the outermost level is in the file.
    fn has(&self, setting: &str) -> bool {
        let mut names = self.parsed.map.iter().map(|(name, _)| name);
        names.any(|name| name.to_lowercase() == setting)
    }

    /// Nobody knows this field; if it is a variable, that is as it should be.
    fn unknown(&mut self, field: Field<'_>, known: &[&str]) {
        let late = self.parsed.missing.contains(field.name);
        if field.used || late || self.parsed.partial {
            return;
        }
        let key = field.key();
        let near = known.iter().find(|k| is_near(&key, k));
        let hint = near
            .map(|k| format!(", did you mean {k:?}?"))
            .unwrap_or_default();
        self.error(
            field.at,
            format!("unknown field{}{hint}", parser::named(field.name)),
        );
    }

    /// The feature is not there yet.
    fn refuse_yet(&mut self, field: Field<'_>) {
        self.error(
            field.at,
            format!("{:?} is not available in gannet yet", field.name),
        );
    }

    /// A switch of a feature that is not there yet.
    fn refuse_unless_off(&mut self, field: Field<'_>) {
        if self.boolean(field) == Some(true) {
            self.refuse_yet(field);
        }
    }

    fn text<'v>(&mut self, field: Field<'v>) -> Option<&'v str> {
        match &field.value.kind {
            Kind::Text(text) => Some(text),
            Kind::Integer(_) | Kind::Float(_) | Kind::Boolean(_) | Kind::Time(_) => {
                self.wrong(field, "a string (put it in quotes)");
                None
            }
            _ => {
                self.wrong(field, "a string");
                None
            }
        }
    }

    fn boolean(&mut self, field: Field<'_>) -> Option<bool> {
        match field.value.kind {
            Kind::Boolean(boolean) => Some(boolean),
            _ => {
                self.wrong(field, "true or false, without quotes");
                None
            }
        }
    }

    fn integer(&mut self, field: Field<'_>) -> Option<i64> {
        match field.value.kind {
            Kind::Integer(number) => Some(number),
            _ => {
                self.wrong(field, "a whole number, without quotes");
                None
            }
        }
    }

    /// A whole number within bounds.
    fn integer_within(&mut self, field: Field<'_>, least: i64, most: i64) -> Option<i64> {
        let number = self.integer(field)?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        let text = match (least, most) {
            (0, i64::MAX) => format!("{:?} must not be negative", field.name),
            _ => format!("{:?} must be between {least} and {most}", field.name),
        };
        self.error(field.at, text);
        None
    }

    /// A duration in milliseconds; a plain number is seconds, with a warning. 0 means the default.
    fn duration_ms(&mut self, field: Field<'_>) -> Option<u64> {
        let ms = match &field.value.kind {
            Kind::Text(text) => match duration::parse(text) {
                Some(nanoseconds) => duration::to_ms(nanoseconds),
                None => {
                    self.not_a_duration(field);
                    return None;
                }
            },
            Kind::Integer(seconds) => {
                let text = format!(
                    "{:?} should be a duration such as \"10s\": a plain number is taken as seconds",
                    field.name
                );
                self.warning(field.at, text);
                seconds.saturating_mul(1000)
            }
            _ => {
                self.wrong(field, "a duration such as \"10s\"");
                return None;
            }
        };
        if ms < 0 {
            self.error(field.at, format!("{:?} must not be negative", field.name));
        }
        u64::try_from(ms).ok()
    }

    fn not_a_duration(&mut self, field: Field<'_>) {
        let text = format!(
            "{:?} must be a duration such as \"10s\" or \"1m30s\"",
            field.name
        );
        self.error(field.at, text);
    }

    fn map<'v>(&mut self, field: Field<'v>) -> Option<&'v Map> {
        match &field.value.kind {
            Kind::Map(map) => Some(map),
            _ => {
                self.wrong(field, "a map { … }");
                None
            }
        }
    }

    /// A single string or an array of them, each with its place.
    fn texts<'v>(&mut self, field: Field<'v>) -> Option<Vec<(&'v str, &'v Position)>> {
        let Kind::Array(array) = &field.value.kind else {
            return match &field.value.kind {
                Kind::Text(text) => Some(vec![(text, &field.value.at)]),
                _ => {
                    self.wrong(field, "a string or an array of strings");
                    None
                }
            };
        };
        let mut texts = Vec::with_capacity(array.items.len());
        for item in &array.items {
            match &item.kind {
                Kind::Text(text) => texts.push((&**text, &item.at)),
                Kind::Bad => {}
                kind => {
                    let noun = kind.noun();
                    let text = format!("{:?} must hold strings, not {noun}", field.name);
                    self.error(&item.at, text);
                }
            }
        }
        Some(texts)
    }
}

/// One letter too many, too few, wrong or swapped.
fn is_near(a: &str, b: &str) -> bool {
    let same = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (a, b) = if a.len() < b.len() { (b, a) } else { (a, b) };
    if b.len() < 3 || a.len() - b.len() > 1 {
        return false;
    }
    let at = same(a, b);
    let (rest_a, rest_b) = (&a[at..], &b[at..]);
    if a.len() > b.len() {
        return rest_a[1..] == *rest_b;
    }
    match (rest_a, rest_b) {
        ([x, y, rest_a @ ..], [v, w, rest_b @ ..]) => {
            (y == w && rest_a == rest_b) || (x == w && y == v && rest_a == rest_b)
        }
        _ => true,
    }
}

//! The grammar of flags, as Go's `flag` package has it: words -> what flags set. Never knows what a flag means.

use super::registry::{Effect, Flag};

/// Where the flags ended.
#[derive(Debug, Default)]
pub struct Scanned<'w> {
    /// The first word that is no flag.
    pub stray: Option<&'w str>,
    /// The words behind it.
    pub rest: &'w [String],
    /// Flags given whose feature is not there yet, as they were spelled.
    pub refused: Vec<String>,
}

/// Fills `flags` from `words` by the flags of `registry`, up to the first word that is none.
///
/// # Errors
/// The first problem, in the oracle's words. Nothing after it is read.
pub fn scan<'w, T>(
    words: &'w [String],
    registry: &[Flag<T>],
    flags: &mut T,
) -> Result<Scanned<'w>, String> {
    let mut scanned = Scanned::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(body) = word.strip_prefix('-').filter(|body| !body.is_empty()) else {
            scanned.stray = Some(word);
            break;
        };
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.is_empty() {
            scanned.stray = rest.next().map(String::as_str);
            break;
        }
        if body.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {word}"));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let flag = find(registry, name)
            .ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        let next = || rest.next().map(String::as_str);
        scanned.refused.extend(set(flag, name, value, next, flags)?);
    }
    scanned.rest = rest.as_slice();
    Ok(scanned)
}

fn find<'r, T>(registry: &'r [Flag<T>], name: &str) -> Option<&'r Flag<T>> {
    registry.iter().find(|flag| {
        flag.names
            .iter()
            .any(|known| known.trim_start_matches('-') == name)
    })
}

/// Carries one flag out. Returns how it was spelled, if it is one that is refused.
fn set<'w, T>(
    flag: &Flag<T>,
    name: &str,
    value: Option<&'w str>,
    next: impl FnOnce() -> Option<&'w str>,
    flags: &mut T,
) -> Result<Option<String>, String> {
    if let Effect::Switch(_) | Effect::LaterSwitch = flag.effect {
        let on = match value {
            None => true,
            Some(text) => bool_of(text).ok_or_else(|| {
                format!("invalid boolean value {text:?} for -{name}: parse error")
            })?,
        };
        return Ok(match flag.effect {
            Effect::Switch(switch) => {
                switch(flags, on);
                None
            }
            // Off is what it is.
            _ => on.then(|| flag.spelled(name)),
        });
    }
    let text = value
        .or_else(next)
        .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
    let outcome = match flag.effect {
        Effect::Text(set) => set(flags, text).map(|()| None),
        Effect::Number(set) => number_of(text).map(|number| {
            set(flags, number);
            None
        }),
        // As with switches: nothing, and port 0, are off.
        Effect::LaterNumber => {
            number_of(text).map(|number| (number != 0).then(|| flag.spelled(name)))
        }
        Effect::LaterText | Effect::Switch(_) | Effect::LaterSwitch => {
            Ok((!text.is_empty()).then(|| flag.spelled(name)))
        }
    };
    outcome.map_err(|problem| format!("invalid value {text:?} for flag -{name}: {problem}"))
}

fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A whole number as Go reads it with base 0: `42`, `+42`, `0x2a`, `0o52`, `052`, `0b101010`, `1_000`.
pub(super) fn number_of(text: &str) -> Result<i64, String> {
    let unreadable = || "parse error".to_string();
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    // An underscore stands between digits, or between the prefix and a digit.
    let prefixed = body.len() < lower.len();
    let placed =
        !body.contains("__") && !body.ends_with('_') && (prefixed || !body.starts_with('_'));
    let plain = body.replace('_', "");
    if !placed || plain.is_empty() || !plain.chars().all(|digit| digit.is_digit(base)) {
        return Err(unreadable());
    }
    let signed = if negative { format!("-{plain}") } else { plain };
    i64::from_str_radix(&signed, base).map_err(|_| "value out of range".to_string())
}

//! The grammar of flags, as Go's `flag` package has it: words -> [`Flags`]. Never knows what a flag means.

use super::Flags;
use super::registry::{Effect, Flag, REGISTRY};

/// Fills `flags` from `words`. Returns the first word that is no flag.
///
/// # Errors
/// The first problem, in the oracle's words. Nothing after it is read.
pub fn scan<'w>(words: &'w [String], flags: &mut Flags) -> Result<Option<&'w str>, String> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(body) = word.strip_prefix('-').filter(|body| !body.is_empty()) else {
            return Ok(Some(word));
        };
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.is_empty() {
            return Ok(rest.next().map(String::as_str));
        }
        if body.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {word}"));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let flag = find(name).ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        set(flag, name, value, || rest.next().map(String::as_str), flags)?;
    }
    Ok(None)
}

fn find(name: &str) -> Option<&'static Flag> {
    REGISTRY.iter().find(|flag| {
        flag.names
            .iter()
            .any(|known| known.trim_start_matches('-') == name)
    })
}

fn set<'w>(
    flag: &Flag,
    name: &str,
    value: Option<&'w str>,
    next: impl FnOnce() -> Option<&'w str>,
    flags: &mut Flags,
) -> Result<(), String> {
    if let Effect::Switch(_) | Effect::LaterSwitch = flag.effect {
        let on = match value {
            None => true,
            Some(text) => bool_of(text).ok_or_else(|| {
                format!("invalid boolean value {text:?} for -{name}: parse error")
            })?,
        };
        match flag.effect {
            Effect::Switch(switch) => switch(flags, on),
            // Off is what it is.
            _ if !on => {}
            _ => flags.refused.push(flag.spelled(name)),
        }
        return Ok(());
    }
    let text = value
        .or_else(next)
        .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
    let outcome = match flag.effect {
        Effect::Text(set) => set(flags, text),
        Effect::Number(set) => number_of(text).map(|number| set(flags, number)),
        Effect::LaterNumber => number_of(text).map(|_| flags.refused.push(flag.spelled(name))),
        Effect::LaterText | Effect::Switch(_) | Effect::LaterSwitch => {
            flags.refused.push(flag.spelled(name));
            Ok(())
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

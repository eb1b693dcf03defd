//! Owns the digest of a configuration: SHA-256 of its values as the oracle's JSON, keys sorted, so that
//! both servers give the same digest for the same file. Never prints what it hashes.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::value::{Kind, Map};

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(map: &Map) -> String {
    let mut json = String::new();
    write_map(&mut json, map);
    json.push('\n');
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(json.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn write_map(json: &mut String, map: &Map) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    json.push('{');
    for (i, (key, entry)) in entries.into_iter().enumerate() {
        if i > 0 {
            json.push(',');
        }
        write_text(json, key);
        json.push(':');
        write_value(json, &entry.value.kind);
    }
    json.push('}');
}

fn write_value(json: &mut String, kind: &Kind) {
    match kind {
        Kind::Bad => json.push_str("null"),
        Kind::Text(text) | Kind::Time(text) => write_text(json, text),
        Kind::Integer(number) => {
            let _ = write!(json, "{number}");
        }
        Kind::Float(number) => write_float(json, *number),
        Kind::Boolean(boolean) => {
            let _ = write!(json, "{boolean}");
        }
        Kind::Array(array) => {
            json.push('[');
            for (i, item) in array.items.iter().enumerate() {
                if i > 0 {
                    json.push(',');
                }
                write_value(json, &item.kind);
            }
            json.push(']');
        }
        Kind::Map(map) => write_map(json, map),
    }
}

/// The shortest decimal that reads back the same; with an exponent when very small or large.
fn write_float(json: &mut String, number: f64) {
    let size = number.abs();
    let _ = if size != 0.0 && size < 1e-6 {
        write!(json, "{number:e}")
    } else if size >= 1e21 {
        write!(json, "{}", format!("{number:e}").replace('e', "e+"))
    } else {
        write!(json, "{number}")
    };
}

fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

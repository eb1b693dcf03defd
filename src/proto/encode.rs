//! JSON as the oracle writes it. Owns the spelling, not what is said.

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

/// Appends a value as compact JSON.
pub fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    let mut json = serde_json::Serializer::with_formatter(out, HtmlSafe);
    value
        .serialize(&mut json)
        .expect("strings, numbers and maps of them go into a Vec");
}

/// serde_json's compact form, with what the oracle's encoder escapes on top: `<`, `>`, `&` and the line separators.
struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            let c = special.chars().next().expect("find points at a character");
            write!(writer, "{plain}\\u{:04x}", u32::from(c))?;
            rest = &special[c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> std::io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

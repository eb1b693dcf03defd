//! Bytes between quotes for error texts and logs, escaped as Go's `%q` escapes them.

use std::fmt::Write;

/// `"text"`, with everything unprintable escaped.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            quote_char(&mut out, char);
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("writing to a string");
        }
    }
    out.push('"');
    out
}

fn quote_char(out: &mut String, char: char) {
    match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            write!(out, "\\x{:02x}", c as u32).expect("a string")
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn as_go_quotes() {
        let cases: [(&[u8], &str); 5] = [
            (b"foo", r#""foo""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\r\n\t\x00\x7f", r#""\r\n\t\x00\x7f""#),
            ("g\u{e9}".as_bytes(), "\"g\u{e9}\""),
            (b"\xff\xfe", r#""\xff\xfe""#),
        ];
        for (bytes, expected) in cases {
            assert_eq!(quoted(bytes), expected);
        }
    }
}

//! Reads JSON that a peer wrote, one value at a time, in place. Never recurses, never allocates for what is skipped.
//!
//! A reader of its own, because what counts as JSON in CONNECT is what the oracle's decoder takes: invalid UTF-8
//! and lone surrogates become U+FFFD, control characters in strings are refused, 10,000 levels may nest.

use std::borrow::Cow;

/// Deepest nesting of objects and arrays that the oracle takes.
const DEPTH_MAX: usize = 10_000;

/// Where the input stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Offset of the offending byte, from 0; the input's length where it ends too early.
    pub at: usize,
}

/// What kind of value stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A cursor over one JSON text.
///
/// The caller drives it: `kind` looks at the next value, then exactly one of the reading functions takes it.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// The kind of the next value, which stays unread.
    pub(super) fn kind(&mut self) -> Result<Kind, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => self.fail(),
        }
    }

    /// Enters an object or array whose opening bracket is next.
    pub(super) fn open(&mut self) {
        self.at += 1;
    }

    /// After `open` or a value: steps over the comma and says whether another element follows, or takes `close`.
    pub(super) fn next_element(&mut self, first: bool, close: u8) -> Result<bool, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => self.fail(),
        }
    }

    /// A member's name and its colon.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.skip_space();
        let name = self.string()?;
        self.colon()?;
        Ok(name)
    }

    /// The next value, a string, unescaped.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        let (raw, escaped) = self.raw_string()?;
        match std::str::from_utf8(raw) {
            Ok(text) if !escaped => Ok(Cow::Borrowed(text)),
            _ => Ok(Cow::Owned(unescape(raw))),
        }
    }

    /// The next value, a number, as it was written.
    pub(super) fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(std::str::from_utf8(&self.bytes[start..self.at]).expect("a number is ASCII"))
    }

    /// The next value, `true` or `false`.
    pub(super) fn boolean(&mut self) -> Result<bool, SyntaxError> {
        if self.peek() == Some(b't') {
            self.literal(b"true").map(|()| true)
        } else {
            self.literal(b"false").map(|()| false)
        }
    }

    /// Steps over the next value whatever it is, with everything inside it.
    /// `depth` is how many objects and arrays are open around it.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), SyntaxError> {
        let mut closers: Vec<u8> = Vec::new();
        loop {
            let mut first = false;
            match self.kind()? {
                kind @ (Kind::Object | Kind::Array) => {
                    if depth + closers.len() >= DEPTH_MAX {
                        return self.fail();
                    }
                    self.open();
                    closers.push(if kind == Kind::Object { b'}' } else { b']' });
                    first = true;
                }
                Kind::String => drop(self.raw_string()?),
                Kind::Number => drop(self.number()?),
                Kind::Bool => drop(self.boolean()?),
                Kind::Null => self.literal(b"null")?,
            }
            if !self.step_out(&mut closers, first)? {
                return Ok(());
            }
        }
    }

    /// Succeeds where nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.fail()
        }
    }

    /// Closes every bracket that ends here; true if another value follows inside those left.
    fn step_out(&mut self, closers: &mut Vec<u8>, mut first: bool) -> Result<bool, SyntaxError> {
        while let Some(&close) = closers.last() {
            if self.next_element(first, close)? {
                if close == b'}' {
                    self.skip_space();
                    self.raw_string()?;
                    self.colon()?;
                }
                return Ok(true);
            }
            closers.pop();
            first = false;
        }
        Ok(false)
    }

    /// The bytes between the quotes, and whether a backslash is among them. Checks escapes and control characters.
    fn raw_string(&mut self) -> Result<(&'a [u8], bool), SyntaxError> {
        if self.peek() != Some(b'"') {
            return self.fail();
        }
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok((raw, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                _ => return self.fail(),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    match self.peek() {
                        Some(b) if b.is_ascii_hexdigit() => self.at += 1,
                        _ => return self.fail(),
                    }
                }
            }
            _ => return self.fail(),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            self.fail()
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, text: &[u8]) -> Result<(), SyntaxError> {
        for &b in text {
            if self.peek() != Some(b) {
                return self.fail();
            }
            self.at += 1;
        }
        Ok(())
    }

    fn colon(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        self.literal(b":")
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fail<T>(&self) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at })
    }
}

/// The text of a string's inside that `raw_string` has checked.
fn unescape(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(&b) = rest.first() {
        if b == b'\\' {
            rest = push_escape(rest, &mut text);
            continue;
        }
        let run = rest.iter().position(|&b| b == b'\\').unwrap_or(rest.len());
        let (plain, behind) = rest.split_at(run);
        push_utf8(plain, &mut text);
        rest = behind;
    }
    text
}

/// Appends the character that `rest` escapes and returns what follows it.
fn push_escape<'a>(rest: &'a [u8], text: &mut String) -> &'a [u8] {
    let simple = match rest[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return push_unicode_escape(rest, text),
        other => char::from(other),
    };
    text.push(simple);
    &rest[2..]
}

/// `\uXXXX`, or two of them that form a pair; a lone surrogate is U+FFFD.
fn push_unicode_escape<'a>(rest: &'a [u8], text: &mut String) -> &'a [u8] {
    let high = code_unit(rest).expect("checked while scanning");
    if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (high, code_unit(&rest[6..])) {
        let scalar = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        text.push(char::from_u32(scalar).expect("a pair is a scalar value"));
        return &rest[12..];
    }
    text.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    &rest[6..]
}

/// The number in `\uXXXX` if that is what `rest` starts with.
fn code_unit(rest: &[u8]) -> Option<u32> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Appends `plain`, one U+FFFD for each byte that is not UTF-8.
fn push_utf8(mut plain: &[u8], text: &mut String) {
    while let Err(error) = std::str::from_utf8(plain) {
        let (valid, bad) = plain.split_at(error.valid_up_to());
        text.push_str(std::str::from_utf8(valid).expect("checked just above"));
        text.push(char::REPLACEMENT_CHARACTER);
        plain = &bad[1..];
    }
    text.push_str(std::str::from_utf8(plain).expect("the loop ended on valid text"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &[u8]) -> Option<String> {
        let mut reader = Reader::new(text);
        let value = reader.string().ok()?;
        reader.end().ok()?;
        Some(value.into_owned())
    }

    fn skips(text: &[u8]) -> bool {
        let mut reader = Reader::new(text);
        reader.skip(0).and_then(|()| reader.end()).is_ok()
    }

    #[test]
    fn strings_are_unescaped_as_the_oracle_does() {
        assert_eq!(
            string(br#""a\"\\\/\b\f\n\r\tz""#).as_deref(),
            Some("a\"\\/\u{8}\u{c}\n\r\tz")
        );
        assert_eq!(string(br#""\u00e9\u20AC""#).as_deref(), Some("é€"));
        assert_eq!(string(br#""\ud83d\ude00""#).as_deref(), Some("😀"));
        assert_eq!(string(br#""\ud83dx""#).as_deref(), Some("\u{fffd}x"));
        assert_eq!(
            string(br#""\ud83d\ud83d\ude00""#).as_deref(),
            Some("\u{fffd}😀")
        );
        assert_eq!(string(br#""\ude00""#).as_deref(), Some("\u{fffd}"));
        assert_eq!(
            string(b"\"a\xff\xfeb\"").as_deref(),
            Some("a\u{fffd}\u{fffd}b")
        );
        assert_eq!(string(b"\"\xe2\x82\"").as_deref(), Some("\u{fffd}\u{fffd}"));
        for bad in [
            &b"\"a"[..],
            b"\"\t\"",
            br#""\x""#,
            br#""\u12""#,
            br#""\u12g0""#,
            b"a",
        ] {
            assert_eq!(string(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_json_is_skipped() {
        for good in [
            "{}",
            "[]",
            " [1 , -0.5e+3, \"x\", null, true, false, {\"a\" : [{}]}] ",
            "0",
            "{\"a\":1,\"a\":2}",
        ] {
            assert!(skips(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "{",
            "[",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1 2]",
            "01",
            ".5",
            "1.",
            "1e",
            "-",
            "nul",
            "tru",
            "[}",
            "{]",
            "1 1",
            "'a'",
            "\u{feff}1",
            "\u{c}1",
        ] {
            assert!(!skips(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn nesting_ends_where_the_oracle_ends_it() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(skips(nested(DEPTH_MAX).as_bytes()));
        assert!(!skips(nested(DEPTH_MAX + 1).as_bytes()));
        assert!(!skips("{\"a\":".repeat(1_000_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_skipped_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&text);
            match reader.skip(0) {
                Ok(()) => prop_assert!(reader.at <= text.len()),
                Err(error) => prop_assert!(error.at <= text.len()),
            }
        }

        #[test]
        fn every_string_survives(value in any::<String>()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(string(&text), Some(value));
        }

        #[test]
        fn what_serde_json_takes_is_taken(text in "[\\[\\]{}:, \"a0-9eE.+\\-tfnrulse\\\\]{0,30}") {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert!(skips(text.as_bytes()));
            }
        }
    }
}

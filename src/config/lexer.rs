//! Owns the cutting of configuration text into keys, scalars, comments and include paths, each with
//! its place. Never nests, never looks up a variable: that is the parser's.
//!
//! The language has no keywords to speak of; what a run of characters is depends on where it stands
//! (key or value) and on how it begins. The rules here are those of the oracle, found by running it.

use std::borrow::Cow;
use std::sync::Arc;

use super::Position;

/// A scalar as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Quoted, bare or block text, escapes resolved.
    Text(Cow<'a, str>),
    /// `$name`, without the `$`.
    Variable(&'a str),
    Boolean(bool),
    /// With its size suffix applied.
    Integer(i64),
    Float(f64),
    /// `2006-01-02T15:04:05Z`, checked.
    Time(&'a str),
}

/// A key as written. Escapes mean nothing in keys.
#[derive(Clone, Debug)]
pub(super) struct Key<'a> {
    pub(super) text: &'a str,
    /// Byte offset of its first character (of the quote, if quoted).
    pub(super) at: usize,
    pub(super) quoted: bool,
}

/// Something that cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// Byte offset.
    pub(super) at: usize,
    /// A sentence without the place and without any part of a value.
    pub(super) text: String,
    /// The character at fault, when naming it helps; a secret's is left out by the parser.
    pub(super) culprit: Option<char>,
    /// What can still be read after it.
    pub(super) scope: Scope,
}

/// How much of the text a fault spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One value; the lexer stands after it.
    Value,
    /// The statement; what follows may not be what it seems.
    Statement,
    /// Everything up to the end of the file.
    Rest,
}

/// A cursor over the text of one file or environment variable.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    places: Places,
}

impl<'a> Lexer<'a> {
    /// A cursor at the start of `text`, whose positions name `file`.
    pub(super) fn new(text: &'a str, file: Arc<str>) -> Lexer<'a> {
        Lexer {
            text,
            at: 0,
            places: Places::Counted {
                file,
                mark: 0,
                line: 1,
                column: 1,
            },
        }
    }

    /// A cursor over text that does not stand in a file: everything in it is at `position`.
    pub(super) fn fixed(text: &'a str, position: Position) -> Lexer<'a> {
        Lexer {
            text,
            at: 0,
            places: Places::Fixed(position),
        }
    }

    /// Byte offset of the next character.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Where a byte offset stands. Cheap when offsets mostly grow.
    pub(super) fn position(&mut self, offset: usize) -> Position {
        self.places.position(self.text, offset)
    }

    /// The next byte. Every character with a meaning is ASCII.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next character, for an error's sentence.
    pub(super) fn peek_char(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// Steps over one ASCII character.
    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    /// Steps over white space, new lines included.
    pub(super) fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Steps over blanks and tabs.
    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Steps over a `#` or `//` comment, up to the end of the line. False if there is none.
    pub(super) fn skip_comment(&mut self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let found = rest.starts_with(b"#") || rest.starts_with(b"//");
        if found {
            self.skip_line();
        }
        found
    }

    /// Steps to the end of the line, and says whether a bracket was opened on the way.
    pub(super) fn skip_line(&mut self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        self.at += length;
        rest[..length]
            .iter()
            .any(|b| matches!(b, b'{' | b'[' | b'('))
    }

    /// Steps over `:` or `=`. False if there is none.
    pub(super) fn skip_separator(&mut self) -> bool {
        let found = matches!(self.peek(), Some(b':' | b'='));
        self.at += usize::from(found);
        found
    }

    /// A key. The next character is neither white space nor the end.
    pub(super) fn key(&mut self) -> Result<Key<'a>, Fault> {
        let at = self.at;
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                let text = self.quoted_raw(quote, "key")?;
                Ok(Key {
                    text,
                    at,
                    quoted: true,
                })
            }
            Some(b':' | b'=') => Err(self.statement("a key is missing before this separator")),
            Some(b'/') => Err(self.statement("a key may not begin with '/': put it in quotes")),
            _ => Ok(Key {
                text: self.bare_key(),
                at,
                quoted: false,
            }),
        }
    }

    /// The path after `include`; the lexer stands on the white space after that word.
    pub(super) fn include_path(&mut self) -> Result<&'a str, Fault> {
        self.skip_blanks();
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.quoted_raw(quote, "include path"),
            None | Some(b'\n' | b'\r') => {
                let fault = self.statement("expected the path of a file after \"include\"");
                self.skip_spaces();
                Err(fault)
            }
            Some(b'[' | b'{' | b'(' | b'0'..=b'9' | b'-' | b'\\') => {
                Err(self.statement("expected the path of a file after \"include\": quote it"))
            }
            _ => Ok(self.include_bare()),
        }
    }

    /// A scalar. The next character is not a blank.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, Fault> {
        let start = self.at;
        match self.peek() {
            Some(b'\'') => Ok(Scalar::Text(self.quoted_raw(b'\'', "string")?.into())),
            Some(b'"') => self.quoted(),
            Some(b'(') => self.block(),
            Some(b'-') => {
                self.at += 1;
                match self.peek() {
                    Some(b'0'..=b'9') => self.number(start),
                    _ => {
                        Err(self.value(start, "expected a digit after '-': quote it if it is text"))
                    }
                }
            }
            Some(b'0'..=b'9') => self.number(start),
            Some(b'.') => Err(self.value(
                start,
                "a number may not begin with '.': quote it if it is text",
            )),
            Some(b'\n' | b'\r') => {
                Err(self.statement("expected a value before the end of the line"))
            }
            _ => self.bare(start),
        }
    }

    fn bare_key(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| c == ':' || c == '=' || c.is_whitespace());
        let key = &rest[..end.unwrap_or(rest.len())];
        self.at += key.len();
        key
    }

    fn include_bare(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let stops = ['\n', '\r', ';', '}', ' ', '\t', '\''];
        let path = &rest[..rest.find(stops).unwrap_or(rest.len())];
        self.at += path.len();
        self.at += usize::from(self.peek() == Some(b'\''));
        path
    }

    /// Text between two quotes, without escapes.
    fn quoted_raw(&mut self, quote: u8, noun: &str) -> Result<&'a str, Fault> {
        let rest = &self.text[self.at + 1..];
        let Some(length) = memchr::memchr(quote, rest.as_bytes()) else {
            return Err(self.rest(format!("the {noun} that begins here is never closed")));
        };
        self.at += length + 2;
        Ok(&rest[..length])
    }

    /// Text between double quotes, with escapes.
    fn quoted(&mut self) -> Result<Scalar<'a>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut unescaped = Unescaped::new(self.at);
        loop {
            match memchr::memchr2(b'"', b'\\', &self.text.as_bytes()[self.at..]) {
                None => {
                    self.at = start;
                    return Err(self.rest("the string that begins here is never closed".into()));
                }
                Some(length) => self.at += length,
            }
            if self.peek() == Some(b'"') {
                let text = unescaped.finish(self.text, self.at);
                self.at += 1;
                return Ok(Scalar::Text(text?));
            }
            unescaped.escape(self.text, &mut self.at);
        }
    }

    /// Text without quotes, from `start`, of which everything before the cursor is already part.
    fn bare(&mut self, start: usize) -> Result<Scalar<'a>, Fault> {
        let mut unescaped = Unescaped::new(start);
        let mut quote = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => unescaped.escape(self.text, &mut self.at),
                b'\'' => {
                    quote = true;
                    break;
                }
                _ if ends_bare(byte) => break,
                _ => self.at += 1,
            }
        }
        let plain = !quote && unescaped.is_empty();
        let text = unescaped.finish(self.text, self.at);
        self.at += usize::from(quote);
        match text? {
            Cow::Borrowed(text) if plain => Ok(classify(text)),
            text => Ok(Scalar::Text(text)),
        }
    }

    /// `( … )`: everything up to a `)` that is alone on its line.
    fn block(&mut self) -> Result<Scalar<'a>, Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        for close in memchr::memchr_iter(b')', &bytes[start..]) {
            let close = start + close;
            let opens_line = bytes[close - 1] == b'\n';
            if opens_line && matches!(bytes.get(close + 1), None | Some(b'\n')) {
                self.at = close + 1;
                return Ok(Scalar::Text(self.text[start..close].into()));
            }
        }
        Err(self
            .rest("the block that begins here is never closed by a ')' alone on its line".into()))
    }

    /// A number, or text or a date that begins with digits. A sign is before the cursor, if any.
    fn number(&mut self, start: usize) -> Result<Scalar<'a>, Fault> {
        let negative = self.at > start;
        self.skip_digits();
        match self.peek() {
            Some(b'.') => self.fraction(start),
            Some(byte) if is_size_suffix(byte) => self.size(start),
            _ if negative => self.integer(start),
            Some(b'-') => self.date(start),
            Some(byte) if !ends_number(byte) => {
                // Whatever it is, this character is taken as text: even `]`, `'` or a backslash.
                self.at += self.peek_char().map_or(0, char::len_utf8);
                self.bare(start)
            }
            _ => self.integer(start),
        }
    }

    /// `1k`, `64MB`, `1GiB`: or text, if it goes on.
    fn size(&mut self, start: usize) -> Result<Scalar<'a>, Fault> {
        self.at += 1;
        while matches!(self.peek(), Some(b'b' | b'B' | b'i' | b'I')) {
            self.at += 1;
        }
        match self.peek() {
            Some(byte) if !ends_number(byte) => self.bare(start),
            _ => self.integer(start),
        }
    }

    fn integer(&mut self, start: usize) -> Result<Scalar<'a>, Fault> {
        let text = &self.text[start..self.at];
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let fault = |sentence: &str| Fault {
            at: start,
            text: sentence.into(),
            culprit: None,
            scope: Scope::Value,
        };
        let Some(unit) = size_unit(&text[digits.len()..]) else {
            return Err(fault(
                "unknown size suffix (K, M, G, T, P, E; KB, Ki, KiB, …)",
            ));
        };
        let number = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(unit));
        number
            .map(Scalar::Integer)
            .ok_or_else(|| fault("number out of range"))
    }

    /// The part of a number after its first `.`: a second one makes it an address.
    fn fraction(&mut self, start: usize) -> Result<Scalar<'a>, Fault> {
        self.at += 1;
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.value(start, "expected a digit after '.': quote it if it is text"));
        }
        self.skip_digits();
        if self.peek() == Some(b'.') {
            while matches!(self.peek(), Some(b'0'..=b'9' | b'.' | b':' | b'-')) {
                self.at += 1;
            }
            return Ok(Scalar::Text(self.text[start..self.at].into()));
        }
        let number = self.text[start..self.at].parse::<f64>().ok();
        match number.filter(|n| n.is_finite()) {
            Some(number) => Ok(Scalar::Float(number)),
            None => Err(self.value(start, "number out of range")),
        }
    }

    /// `2006-01-02T15:04:05Z`; no other text may begin with digits and a `-`.
    fn date(&mut self, start: usize) -> Result<Scalar<'a>, Fault> {
        const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
        let text = self.text.get(start..start + SHAPE.len()).unwrap_or("");
        let shaped = text.len() == SHAPE.len()
            && text.bytes().zip(SHAPE).all(|(b, s)| {
                if *s == b'0' {
                    b.is_ascii_digit()
                } else {
                    b == *s
                }
            });
        if shaped && is_calendar(text) {
            self.at = start + SHAPE.len();
            return Ok(Scalar::Time(text));
        }
        let sentence = "expected a date as 2006-01-02T15:04:05Z: quote it if it is text";
        Err(self.value(start, sentence))
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    /// A fault of the value that began at `start`: the cursor moves to where a bare string would end.
    fn value(&mut self, start: usize, text: &str) -> Fault {
        while self.peek().is_some_and(|b| !ends_bare(b)) {
            self.at += 1;
        }
        Fault {
            at: start,
            text: text.into(),
            culprit: None,
            scope: Scope::Value,
        }
    }

    fn statement(&self, text: &str) -> Fault {
        Fault {
            at: self.at,
            text: text.into(),
            culprit: None,
            scope: Scope::Statement,
        }
    }

    fn rest(&self, text: String) -> Fault {
        Fault {
            at: self.at,
            text,
            culprit: None,
            scope: Scope::Rest,
        }
    }
}

/// How byte offsets become positions.
enum Places {
    Fixed(Position),
    /// Line and column of the byte offset `mark`.
    Counted {
        file: Arc<str>,
        mark: usize,
        line: u32,
        column: u32,
    },
}

impl Places {
    fn position(&mut self, text: &str, offset: usize) -> Position {
        match self {
            Places::Fixed(position) => position.clone(),
            Places::Counted {
                file,
                mark,
                line,
                column,
            } => {
                if offset < *mark {
                    (*mark, *line, *column) = (0, 1, 1);
                }
                for c in text[*mark..offset].chars() {
                    match c {
                        '\n' => (*line, *column) = (*line + 1, 1),
                        _ => *column += 1,
                    }
                }
                *mark = offset;
                Position {
                    file: file.clone(),
                    line: *line,
                    column: *column,
                }
            }
        }
    }
}

/// Text whose escapes are being resolved: what is resolved so far, and the start of the rest.
struct Unescaped {
    resolved: Option<Vec<u8>>,
    from: usize,
    fault: Option<Fault>,
}

impl Unescaped {
    fn new(from: usize) -> Unescaped {
        Unescaped {
            resolved: None,
            from,
            fault: None,
        }
    }

    /// No escape so far.
    fn is_empty(&self) -> bool {
        self.resolved.is_none()
    }

    /// Takes the text up to the backslash at `at`, and the escape; a wrong one is kept for the end.
    fn escape(&mut self, text: &str, at: &mut usize) {
        let resolved = self.resolved.get_or_insert_default();
        resolved.extend_from_slice(&text.as_bytes()[self.from..*at]);
        let rest = &text[*at + 1..];
        let byte = match rest.as_bytes() {
            [b't', ..] => Some((b'\t', 1)),
            [b'n', ..] => Some((b'\n', 1)),
            [b'r', ..] => Some((b'\r', 1)),
            [byte @ (b'"' | b'\\'), ..] => Some((*byte, 1)),
            [b'x', high, low, ..] => hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, 3)),
            _ => None,
        };
        match byte {
            Some((byte, length)) => {
                resolved.push(byte);
                *at += 1 + length;
            }
            None => {
                self.fault.get_or_insert(Fault {
                    at: *at,
                    text: "unknown escape: there are \\t, \\n, \\r, \\\", \\\\ and \\x with two \
                           hexadecimal digits"
                        .into(),
                    culprit: None,
                    scope: Scope::Value,
                });
                *at += 1;
            }
        }
        self.from = *at;
    }

    /// The whole text, which ends before `end`.
    fn finish(self, text: &str, end: usize) -> Result<Cow<'_, str>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let rest = &text[self.from..end];
        let Some(mut resolved) = self.resolved else {
            return Ok(Cow::Borrowed(rest));
        };
        resolved.extend_from_slice(rest.as_bytes());
        String::from_utf8(resolved)
            .map(Cow::Owned)
            .map_err(|_| Fault {
                at: self.from,
                text: "the \\x escapes of this string do not make UTF-8".into(),
                culprit: None,
                scope: Scope::Value,
            })
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|d| d as u8)
}

fn ends_bare(byte: u8) -> bool {
    matches!(
        byte,
        b'\n' | b'\r' | b';' | b',' | b']' | b'}' | b' ' | b'\t'
    )
}

/// Ends a number that began without a sign. `]` is missing: `[1]` is not what it seems.
fn ends_number(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'}' | b';' | b',' | b' ' | b'\t')
}

fn is_size_suffix(byte: u8) -> bool {
    matches!(
        byte.to_ascii_lowercase(),
        b'k' | b'm' | b'g' | b't' | b'p' | b'e'
    )
}

/// What a size suffix multiplies by: a letter alone is decimal, anything more is binary.
fn size_unit(suffix: &str) -> Option<i64> {
    let Some(letter) = suffix.bytes().next() else {
        return Some(1);
    };
    let power = 1 + b"kmgtpe"
        .iter()
        .position(|l| *l == letter.to_ascii_lowercase())? as u32;
    match suffix[1..].to_ascii_lowercase().as_str() {
        "" => Some(1000_i64.pow(power)),
        "b" | "i" | "ib" => Some(1024_i64.pow(power)),
        _ => None,
    }
}

/// Bare text: a boolean, a variable or just text.
fn classify(text: &str) -> Scalar<'_> {
    let is = |words: [&str; 3]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(["true", "yes", "on"]) {
        Scalar::Boolean(true)
    } else if is(["false", "no", "off"]) {
        Scalar::Boolean(false)
    } else if let Some(name) = text.strip_prefix('$') {
        Scalar::Variable(name)
    } else {
        Scalar::Text(text.into())
    }
}

/// Whether a date of the right shape exists.
fn is_calendar(text: &str) -> bool {
    let field = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => 0,
    };
    let clock = field(11, 13) < 24 && field(14, 16) < 60 && field(17, 19) < 60;
    (1..=days).contains(&day) && clock
}

//! Owns the functions of a destination's tokens: how they are written and what they make of a subject.
//! Never looks at more than one token of a destination.

use super::super::subject::SEPARATOR;
use super::{TransformError, TransformErrorKind, from_token};

/// One placeholder or function. Tokens of the subject are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// `$1`, `{{wildcard(1)}}`: a token as it is.
    Token { at: usize, number: i64 },
    /// `{{partition(n,…)}}`: which of `count` partitions the tokens belong to; the whole subject if there are none.
    Partition { count: u32, of: Box<[usize]> },
    /// `{{random(n)}}`: 0 to `count - 1`.
    Random { count: u32 },
    /// `{{split(1,-)}}`: the pieces between the delimiters.
    Split { at: usize, delimiter: Box<[u8]> },
    /// The functions of one token and a number of bytes.
    Cut { at: usize, how: Cut, bytes: i32 },
}

/// How a token is cut at a number of bytes. One that is too short, or none at all, leaves the token as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// In two, after so many bytes.
    SplitFromLeft,
    /// In two, before so many bytes.
    SplitFromRight,
    /// In pieces of so many bytes, the last one shorter.
    SliceFromLeft,
    /// In pieces of so many bytes, the first one shorter.
    SliceFromRight,
    /// The first so many bytes.
    Left,
    /// The last so many bytes.
    Right,
}

/// The names, in the order in which they are looked for; the first letter of each word in either case.
const NAMES: [(&[&str], Name); 10] = [
    (&["wildcard"], Name::Wildcard),
    (&["partition"], Name::Partition),
    (&["split", "from", "left"], Name::Cut(Cut::SplitFromLeft)),
    (&["split", "from", "right"], Name::Cut(Cut::SplitFromRight)),
    (&["slice", "from", "left"], Name::Cut(Cut::SliceFromLeft)),
    (&["slice", "from", "right"], Name::Cut(Cut::SliceFromRight)),
    (&["right"], Name::Cut(Cut::Right)),
    (&["left"], Name::Cut(Cut::Left)),
    (&["split"], Name::Split),
    (&["random"], Name::Random),
];

#[derive(Clone, Copy)]
enum Name {
    Wildcard,
    Partition,
    Cut(Cut),
    Split,
    Random,
}

/// Whether a token is in double braces, with something between.
pub(super) fn looks_like_one(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

impl Function {
    /// What a token of a destination means; `None` for a literal. `wildcards` says where those of the source
    /// stand; `has_wildcards` counts `>` too.
    pub(super) fn parse(
        token: &str,
        wildcards: &[usize],
        has_wildcards: bool,
    ) -> Result<Option<Function>, TransformError> {
        let source = Source {
            token,
            wildcards,
            has_wildcards,
        };
        if let Some(number) = token.strip_prefix('$').and_then(|rest| rest.parse().ok()) {
            return source.token(number).map(Some);
        }
        if !looks_like_one(token) {
            return Ok(None);
        }
        let call = NAMES
            .iter()
            .find_map(|(words, name)| Some((*name, arguments(token, words)?)));
        let Some((name, arguments)) = call else {
            return Err(TransformErrorKind::UnknownFunction.at(token));
        };
        source.function(name, &arguments).map(Some)
    }

    /// The number of a placeholder; `None` for the other functions.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Function::Token { number, .. } => Some(*number),
            _ => None,
        }
    }

    pub(super) fn is_random(&self) -> bool {
        matches!(self, Function::Random { .. })
    }

    /// Whether the result may be more than one token.
    pub(super) fn makes_several(&self) -> bool {
        match self {
            Function::Split { .. } => true,
            Function::Cut { how, .. } => !matches!(how, Cut::Left | Cut::Right),
            _ => false,
        }
    }

    /// Appends the result for `subject`.
    pub(super) fn write(&self, subject: &[u8], random: u32, out: &mut Vec<u8>) {
        match self {
            Function::Token { at, .. } => out.extend_from_slice(token(subject, *at)),
            Function::Partition { count, of } => {
                let hash = match &**of {
                    [] => Fnv::of(&[subject]),
                    [one] => Fnv::of(&[token(subject, *one)]),
                    several => several
                        .iter()
                        .fold(Fnv::default(), |hash, at| hash.add(token(subject, *at))),
                };
                write_number(hash.0.checked_rem(*count).unwrap_or(0), out);
            }
            Function::Random { count } => {
                write_number((random >> 1).checked_rem(*count).unwrap_or(0), out);
            }
            Function::Split { at, delimiter } => split(token(subject, *at), delimiter, out),
            Function::Cut { at, how, bytes } => {
                let token = token(subject, *at);
                match usize::try_from(*bytes) {
                    Ok(bytes) if bytes > 0 && bytes < token.len() => how.write(token, bytes, out),
                    _ => out.extend_from_slice(token),
                }
            }
        }
    }
}

impl Cut {
    /// `bytes` is more than 0 and less than the token has.
    fn write(self, token: &[u8], bytes: usize, out: &mut Vec<u8>) {
        let mut in_two = |at: usize| {
            out.extend_from_slice(&token[..at]);
            out.push(SEPARATOR);
            out.extend_from_slice(&token[at..]);
        };
        match self {
            Cut::SplitFromLeft => in_two(bytes),
            Cut::SplitFromRight => in_two(token.len() - bytes),
            Cut::SliceFromLeft => join(token.chunks(bytes), out),
            Cut::SliceFromRight => {
                let (first, rest) = token.split_at(token.len() % bytes);
                let first = Some(first).filter(|first| !first.is_empty());
                join(first.into_iter().chain(rest.chunks(bytes)), out);
            }
            Cut::Left => out.extend_from_slice(&token[..bytes]),
            Cut::Right => out.extend_from_slice(&token[token.len() - bytes..]),
        }
    }
}

/// A token of a destination, and what its functions can refer to.
struct Source<'a> {
    token: &'a str,
    wildcards: &'a [usize],
    has_wildcards: bool,
}

impl Source<'_> {
    fn function(&self, name: Name, arguments: &[&str]) -> Result<Function, TransformError> {
        match name {
            Name::Wildcard => match arguments {
                [""] => self.fail(TransformErrorKind::TooFewArguments),
                [number] => self.token(self.number(number)?),
                _ => self.fail(TransformErrorKind::TooManyArguments),
            },
            Name::Partition => self.partition(arguments),
            Name::Random => match arguments {
                [count] => Ok(Function::Random {
                    count: self.count(count)?.unsigned_abs(),
                }),
                _ => self.fail(TransformErrorKind::TooManyArguments),
            },
            Name::Split => {
                let (at, delimiter) = self.pair(arguments)?;
                let at = self.number(at)?;
                if delimiter.contains([' ', '.']) {
                    return self.fail(TransformErrorKind::BadArgument);
                }
                let at = self.wildcard(at)?;
                let delimiter = delimiter.as_bytes().into();
                Ok(Function::Split { at, delimiter })
            }
            Name::Cut(how) => {
                let (at, bytes) = self.pair(arguments)?;
                let at = self.number(at)?;
                let bytes = i32::try_from(self.number(bytes)?);
                let Ok(bytes) = bytes else {
                    return self.fail(TransformErrorKind::BadArgument);
                };
                let at = self.wildcard(at)?;
                Ok(Function::Cut { at, how, bytes })
            }
        }
    }

    /// Of a source without wildcards, the whole subject is hashed whatever tokens are named.
    fn partition(&self, arguments: &[&str]) -> Result<Function, TransformError> {
        let count = self.count(arguments[0])?.cast_unsigned();
        let numbers: Result<Vec<i64>, _> = arguments[1..].iter().map(|a| self.number(a)).collect();
        let of: Result<Box<[usize]>, _> = match self.has_wildcards {
            true => numbers?.into_iter().map(|n| self.wildcard(n)).collect(),
            false => numbers.map(|_| Box::default()),
        };
        Ok(Function::Partition { count, of: of? })
    }

    fn token(&self, number: i64) -> Result<Function, TransformError> {
        let at = self.wildcard(number)?;
        Ok(Function::Token { at, number })
    }

    /// Where a numbered wildcard of the source stands; 0 and less are the first token of all.
    fn wildcard(&self, number: i64) -> Result<usize, TransformError> {
        if !self.has_wildcards {
            return self.fail(TransformErrorKind::NoWildcards);
        }
        if number < 1 {
            return Ok(0);
        }
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        match self.wildcards.get(index) {
            Some(at) => Ok(*at),
            None => self.fail(TransformErrorKind::NoSuchWildcard(
                number,
                self.wildcards.len(),
            )),
        }
    }

    /// A number of partitions; below the range it wraps around.
    fn count(&self, argument: &str) -> Result<i32, TransformError> {
        let count = self.number(argument)?;
        if count > i64::from(i32::MAX) {
            return self.fail(TransformErrorKind::BadArgument);
        }
        Ok(count as i32)
    }

    fn number(&self, argument: &str) -> Result<i64, TransformError> {
        let number = argument.trim_matches(' ').parse();
        number.map_err(|_| TransformErrorKind::BadArgument.at(self.token))
    }

    fn pair<'a>(&self, arguments: &[&'a str]) -> Result<(&'a str, &'a str), TransformError> {
        match arguments {
            [a, b] => Ok((a, b)),
            [] | [_] => self.fail(TransformErrorKind::TooFewArguments),
            _ => self.fail(TransformErrorKind::TooManyArguments),
        }
    }

    fn fail<T>(&self, kind: TransformErrorKind) -> Result<T, TransformError> {
        Err(kind.at(self.token))
    }
}

/// FNV-1a, 32 bits.
#[derive(Clone, Copy)]
struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0x811c_9dc5)
    }
}

impl Fnv {
    fn of(texts: &[&[u8]]) -> Fnv {
        texts
            .iter()
            .fold(Fnv::default(), |hash, text| hash.add(text))
    }

    fn add(self, text: &[u8]) -> Fnv {
        let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        Fnv(text.iter().fold(self.0, step))
    }
}

/// The arguments of a call by these words somewhere in `token`: the first `{{` that begins one, up to the last
/// `)}}`. Blanks may stand around the name, the parentheses, and after a comma.
fn arguments<'a>(token: &'a str, words: &[&str]) -> Option<Vec<&'a str>> {
    let starts = token.match_indices("{{").map(|(at, _)| &token[at + 2..]);
    let inside = starts.filter_map(|rest| {
        let rest = strip_name(rest.trim_start_matches(BLANKS), words)?;
        let rest = rest.trim_start_matches(BLANKS).strip_prefix('(')?;
        let closes = |(at, _): (usize, &str)| {
            let after = rest[at + 1..].trim_start_matches(BLANKS);
            (after.starts_with("}}") && !rest[..at].contains('\n')).then_some(&rest[..at])
        };
        rest.rmatch_indices(')').find_map(closes)
    });
    let mut pieces = { inside }.next()?.split(',');
    let first = pieces.next();
    Some(
        first
            .into_iter()
            .chain(pieces.map(|piece| piece.trim_start_matches(BLANKS)))
            .collect(),
    )
}

const BLANKS: [char; 5] = ['\t', '\n', '\x0c', '\r', ' '];

fn strip_name<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().try_fold(text, |text, word| {
        let (first, rest) = word.split_at(1);
        let text = text
            .strip_prefix(first)
            .or_else(|| text.strip_prefix(&*first.to_uppercase()))?;
        text.strip_prefix(rest)
    })
}

/// Token `at` of a subject; empty if there are fewer.
fn token(subject: &[u8], at: usize) -> &[u8] {
    let rest = from_token(subject, at);
    let end = memchr::memchr(SEPARATOR, rest).unwrap_or(rest.len());
    &rest[..end]
}

fn join<'a>(pieces: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (n, piece) in pieces.enumerate() {
        if n > 0 {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(piece);
    }
}

/// Empty pieces are left out, except that, as in the oracle, two at the beginning leave one separator.
/// An empty delimiter stands between any two characters.
fn split(token: &[u8], delimiter: &[u8], out: &mut Vec<u8>) {
    if delimiter.is_empty() {
        return join(characters(token), out);
    }
    let mut first = true;
    let mut rest = token;
    loop {
        let at = memchr::memmem::find(rest, delimiter);
        let piece = &rest[..at.unwrap_or(rest.len())];
        out.extend_from_slice(piece);
        let Some(at) = at else {
            return;
        };
        rest = &rest[at + delimiter.len()..];
        let next_is_empty = rest.is_empty() || rest.starts_with(delimiter);
        let begins = first && piece.is_empty();
        if !(next_is_empty || begins) {
            out.push(SEPARATOR);
        }
        first = false;
    }
}

/// The characters of a text; each byte that is none stands for itself.
fn characters(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let ends = valid.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
        let characters = ends.map(|(from, to)| &valid.as_bytes()[from..to]);
        characters.chain(chunk.invalid().chunks(1))
    })
}

fn write_number(number: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut left = number;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

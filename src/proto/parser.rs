//! Bytes from a client to operations, borrowed and in place. Pure: keeps no state between calls; whoever
//! calls keeps the bytes that were not enough yet. Takes and refuses what nats-server 2.15.1 does.

use memchr::memchr;

use super::scan;

/// An operation of the client protocol, borrowed from the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `CONNECT {json}`
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`, the control line alone; its payload follows.
    Publish(PublishLine),
    /// `SUB subject [queue] sid`
    Sub {
        /// The pattern.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// `UNSUB sid [max]`
    Unsub {
        /// The subscription's name.
        sid: &'a [u8],
        /// After how many messages; `None` where absent or not a number (now).
        max: Option<u32>,
    },
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `INFO …` from a client.
    Info(&'a [u8]),
    /// `+OK` from a client.
    Ok,
    /// `-ERR …` from a client.
    Err(&'a [u8]),
}

/// Control line of a PUB or HPUB, as offsets from the operation's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLine {
    /// First byte of the subject.
    pub subject: u32,
    /// Its length.
    pub subject_len: u32,
    /// First byte of the reply; meaningless where `reply_len` is 0.
    pub reply: u32,
    /// Length of the reply; 0 is none.
    pub reply_len: u32,
    /// HPUB?
    pub headers: bool,
    /// Bytes of headers.
    pub header_len: u32,
    /// Bytes of headers and payload.
    pub total_len: u32,
    /// Where the payload begins.
    pub body: u32,
    /// Whether everything after the subject is spelled as a delivery spells it: single spaces, no
    /// leading zeros, CRLF. Only then can it be copied.
    pub canonical: bool,
}

impl PublishLine {
    /// The subject, in the input that begins with this line.
    #[inline(always)]
    pub fn subject_of<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        &input[self.subject as usize..(self.subject + self.subject_len) as usize]
    }

    /// Bytes of the line behind the verb, in the usual spelling: what `max_control_line` bounds.
    #[inline]
    pub fn argument_len(&self) -> u32 {
        self.body - 2 - self.subject
    }
}

/// What the beginning of the input holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// An operation and the bytes of its control line (a payload, if any, follows).
    Op(Op<'a>, usize),
    /// Not a whole control line yet.
    Incomplete,
    /// Something that ends the connection.
    Fault(Fault),
}

/// Why the bytes cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `-ERR 'Unknown Protocol Operation'` and close.
    UnknownOperation,
    /// `-ERR 'maximum control line exceeded'` and close.
    ControlLineTooLong,
    /// Arguments that make no sense: the oracle closes without a word.
    BadArguments,
}

/// What a verb's line holds, once the verb is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Pub,
    HPub,
    Sub,
    Unsub,
    Connect,
    Info,
    Ping,
    Pong,
    Ok,
    Err,
}

const VERBS: [(&[u8], Verb); 10] = [
    (b"PUB", Verb::Pub),
    (b"PING", Verb::Ping),
    (b"PONG", Verb::Pong),
    (b"HPUB", Verb::HPub),
    (b"SUB", Verb::Sub),
    (b"UNSUB", Verb::Unsub),
    (b"CONNECT", Verb::Connect),
    (b"INFO", Verb::Info),
    (b"+OK", Verb::Ok),
    (b"-ERR", Verb::Err),
];

/// Reads the control line at the start of `input`.
#[inline]
pub fn parse(input: &[u8], control_line_bytes_max: usize) -> Step<'_> {
    match publish_fast(input) {
        Some(line) if line.argument_len() as usize <= control_line_bytes_max => {
            Step::Op(Op::Publish(line), line.body as usize)
        }
        _ => parse_any(input, control_line_bytes_max),
    }
}

/// A PUB or HPUB line in its usual spelling within the first 64 bytes; anything else is `None`.
#[inline(always)]
pub fn publish_fast(input: &[u8]) -> Option<PublishLine> {
    match input.first_chunk() {
        Some(window) => publish_in_window(window),
        None => publish_short(input),
    }
}

/// `PUB subject size` in its usual spelling within the first 64 bytes of at least as many; anything else is `None`. What
/// it returns stays in registers: the loop over publishes lives by that.
#[inline(always)]
pub fn publish_usual(input: &[u8]) -> Option<PublishLine> {
    let window = input.first_chunk()?;
    publish_plain(window, scan::separators(window))
}

/// The last line of a buffer, or the only one: zeros behind it end no line.
#[cold]
fn publish_short(input: &[u8]) -> Option<PublishLine> {
    let mut window = [0; scan::WINDOW];
    window[..input.len()].copy_from_slice(input);
    publish_in_window(&window)
}

#[inline(always)]
fn publish_in_window(window: &[u8; scan::WINDOW]) -> Option<PublishLine> {
    let separators = scan::separators(window);
    publish_plain(window, separators).or_else(|| publish_with_more(window, separators))
}

/// The usual line: `PUB subject size`.
#[inline(always)]
fn publish_plain(window: &[u8; scan::WINDOW], separators: u64) -> Option<PublishLine> {
    const SUBJECT: u32 = 4;
    let behind = separators >> SUBJECT;
    let subject_len = behind.trailing_zeros();
    let end = SUBJECT + subject_len;
    let digits = (behind >> (subject_len & 63) >> 1).trailing_zeros();
    let line_end = end + 1 + digits;
    if !window.starts_with(b"PUB ")
        || subject_len == 0
        || line_end as usize > scan::WINDOW - 2
        || window[end as usize] != b' '
        || window[line_end as usize..line_end as usize + 2] != *b"\r\n"
    {
        return None;
    }
    Some(PublishLine {
        subject: SUBJECT,
        subject_len,
        reply: 0,
        reply_len: 0,
        headers: false,
        header_len: 0,
        total_len: canonical_number(window, end + 1, line_end)?,
        body: line_end + 2,
        canonical: true,
    })
}

/// Lines with a reply or with headers.
#[inline(never)]
fn publish_with_more(window: &[u8; scan::WINDOW], separators: u64) -> Option<PublishLine> {
    let (headers, mut at) = match window {
        [b'P', b'U', b'B', b' ', ..] => (false, 4u32),
        [b'H', b'P', b'U', b'B', b' ', ..] => (true, 5),
        _ => return None,
    };
    let subject = at;
    let mut ends = [0u32; 4];
    let mut count = 0;
    let mut mask = separators >> at;
    loop {
        let step = mask.trailing_zeros();
        if step == 64 || step == 0 || count == 4 {
            return None;
        }
        at += step;
        ends[count] = at;
        count += 1;
        if window[at as usize] != b' ' {
            break;
        }
        at += 1;
        mask >>= step + 1;
        if at as usize >= scan::WINDOW {
            return None;
        }
    }
    if window[at as usize] != b'\r' || *window.get(at as usize + 1)? != b'\n' {
        return None;
    }
    let number = |from: u32, to: u32| canonical_number(window, from, to);
    let body = at + 2;
    let (reply_end, header_len, total_len) = match (headers, count) {
        (false, 2) => (ends[0], 0, number(ends[0] + 1, ends[1])?),
        (false, 3) => (ends[1], 0, number(ends[1] + 1, ends[2])?),
        (true, 3) => (
            ends[0],
            number(ends[0] + 1, ends[1])?,
            number(ends[1] + 1, ends[2])?,
        ),
        (true, 4) => (
            ends[1],
            number(ends[1] + 1, ends[2])?,
            number(ends[2] + 1, ends[3])?,
        ),
        _ => return None,
    };
    if headers && (header_len == 0 || header_len > total_len) {
        return None;
    }
    Some(PublishLine {
        subject,
        subject_len: ends[0] - subject,
        reply: ends[0] + 1,
        reply_len: if reply_end == ends[0] {
            0
        } else {
            reply_end - ends[0] - 1
        },
        headers,
        header_len,
        total_len,
        body,
        canonical: true,
    })
}

/// Digits without a leading zero, at most eight of them, ending before `to`: all at once, for a loop over a number of
/// digits that varies costs more than the arithmetic.
#[inline(always)]
fn canonical_number(window: &[u8; scan::WINDOW], from: u32, to: u32) -> Option<u32> {
    let len = to - from;
    let end: &[u8; 8] = window[..to as usize].last_chunk()?;
    if len == 0 || len > 8 || (window[from as usize] == b'0' && len > 1) {
        return None;
    }
    let zeros = 0x3030_3030_3030_3030u64;
    let unused = 64 - 8 * len;
    // The digits, with zeros in place of what stands before them.
    let kept = (u64::from_le_bytes(*end) ^ zeros) >> unused << unused;
    if (kept | kept.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = kept.wrapping_mul(10).wrapping_add(kept >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32);
    Some(eight as u32)
}

/// The oracle takes at most nine digits in a size.
const SIZE_DIGITS_MAX: usize = 9;

/// Digits, leading zeros and all; `None` for anything else.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0u32, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// Reads any control line, however it is spelled.
fn parse_any(input: &[u8], control_line_bytes_max: usize) -> Step<'_> {
    let (verb, verb_len) = match verb(input) {
        Ok(Some(found)) => found,
        Ok(None) => return Step::Incomplete,
        Err(fault) => return Step::Fault(fault),
    };
    if let Some(fault) = bad_separator(verb, input.get(verb_len)) {
        return Step::Fault(fault);
    }
    let Some(newline) = memchr(b'\n', &input[verb_len..]).map(|at| at + verb_len) else {
        let begun = trim_start(&input[verb_len..]);
        let begun = begun.strip_suffix(b"\r").unwrap_or(begun);
        let too_long = begun.len() > control_line_bytes_max;
        return if too_long {
            Step::Fault(Fault::ControlLineTooLong)
        } else {
            Step::Incomplete
        };
    };
    let line_len = newline + 1;
    let argument_end = if newline > verb_len && input[newline - 1] == b'\r' {
        newline - 1
    } else {
        newline
    };
    let argument = trim_start(&input[verb_len..argument_end]);
    // Every verb's line, as bytes behind a PING are kept until its line ends.
    if argument.len() > control_line_bytes_max {
        return Step::Fault(Fault::ControlLineTooLong);
    }
    if matches!(verb, Verb::Pub | Verb::HPub | Verb::Sub | Verb::Unsub) && newline == verb_len {
        return Step::Fault(Fault::UnknownOperation);
    }
    let op = match verb {
        Verb::Ping => Some(Op::Ping),
        Verb::Pong => Some(Op::Pong),
        Verb::Ok => Some(Op::Ok),
        Verb::Connect => Some(Op::Connect(argument)),
        Verb::Info => Some(Op::Info(argument)),
        Verb::Err => Some(Op::Err(argument)),
        Verb::Sub => sub(argument),
        Verb::Unsub => unsub(argument),
        Verb::Pub | Verb::HPub => publish_any(
            argument,
            argument_end - argument.len(),
            line_len,
            verb == Verb::HPub,
        )
        .map(Op::Publish),
    };
    op.map_or(Step::Fault(Fault::BadArguments), |op| {
        Step::Op(op, line_len)
    })
}

/// The verb at the start, `None` while it may still become one.
fn verb(input: &[u8]) -> Result<Option<(Verb, usize)>, Fault> {
    for (text, verb) in VERBS {
        let have = text.len().min(input.len());
        if input[..have].eq_ignore_ascii_case(&text[..have]) {
            return Ok((have == text.len()).then_some((verb, text.len())));
        }
    }
    Err(Fault::UnknownOperation)
}

/// Verbs with arguments want white space next; PING, PONG, +OK, CONNECT and INFO take anything.
fn bad_separator(verb: Verb, next: Option<&u8>) -> Option<Fault> {
    let needs_space = matches!(
        verb,
        Verb::Pub | Verb::HPub | Verb::Sub | Verb::Unsub | Verb::Err
    );
    match next {
        Some(b' ' | b'\t') | None => None,
        Some(_) if needs_space => Some(Fault::UnknownOperation),
        Some(_) => None,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let skip = bytes
        .iter()
        .position(|b| !is_space(*b))
        .unwrap_or(bytes.len());
    &bytes[skip..]
}

/// At most four words of a line; `None` where there are more.
fn words<const N: usize>(
    argument: &[u8],
    separator: fn(u8) -> bool,
) -> Option<([&[u8]; N], usize)> {
    let mut found: [&[u8]; N] = [&[]; N];
    let mut count = 0;
    for word in argument
        .split(|b| separator(*b))
        .filter(|word| !word.is_empty())
    {
        if count == N {
            return None;
        }
        found[count] = word;
        count += 1;
    }
    Some((found, count))
}

/// SUB and UNSUB also split at a stray CR.
fn is_sub_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn sub(argument: &[u8]) -> Option<Op<'_>> {
    let (word, count) = words::<3>(argument, is_sub_space)?;
    match count {
        2 => Some(Op::Sub {
            subject: word[0],
            queue: None,
            sid: word[1],
        }),
        3 => Some(Op::Sub {
            subject: word[0],
            queue: Some(word[1]),
            sid: word[2],
        }),
        _ => None,
    }
}

fn unsub(argument: &[u8]) -> Option<Op<'_>> {
    let (word, count) = words::<2>(argument, is_sub_space)?;
    match count {
        1 => Some(Op::Unsub {
            sid: word[0],
            max: None,
        }),
        2 => Some(Op::Unsub {
            sid: word[0],
            max: number(word[1]),
        }),
        _ => None,
    }
}

fn publish_any(
    argument: &[u8],
    offset: usize,
    line_len: usize,
    headers: bool,
) -> Option<PublishLine> {
    let (word, count) = words::<4>(argument, is_space)?;
    let (reply, header_len, total_len) = match (headers, count) {
        (false, 2) => (None, 0, number(word[1])?),
        (false, 3) => (Some(word[1]), 0, number(word[2])?),
        (true, 3) => (None, number(word[1])?, number(word[2])?),
        (true, 4) => (Some(word[1]), number(word[2])?, number(word[3])?),
        _ => return None,
    };
    if header_len > total_len {
        return None;
    }
    let place = |part: &[u8]| (offset + (part.as_ptr().addr() - argument.as_ptr().addr())) as u32;
    Some(PublishLine {
        subject: place(word[0]),
        subject_len: word[0].len() as u32,
        reply: reply.map_or(0, place),
        reply_len: reply.map_or(0, |r| r.len() as u32),
        headers,
        header_len,
        total_len,
        body: line_len as u32,
        canonical: false,
    })
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;

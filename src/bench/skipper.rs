//! Owns counting what a server sends without keeping it: messages, pings and pongs, at memory speed, over
//! any split of the bytes. Never copies a payload and never guesses: what is not the protocol is a fault.

use memchr::memchr;

/// The longest control line taken; INFO is the longest that comes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Headers longer than this are not remembered.
const MEMO_BYTES_MAX: usize = 128;

/// What has been seen so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Whole messages, with or without headers.
    pub messages: u64,
    /// Those of them with headers (HMSG).
    pub with_headers: u64,
    /// PINGs of the server.
    pub pings: u64,
    /// PONGs of the server.
    pub pongs: u64,
}

/// Why the bytes cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server's `-ERR`, with its text.
    Refused(String),
    /// A line that is not the protocol.
    Line(String),
    /// A payload that does not end in CR LF.
    PayloadEnd,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Refused(text) => write!(f, "the server said {text}"),
            Fault::Line(line) => write!(f, "not the protocol: {line}"),
            Fault::PayloadEnd => write!(f, "a payload does not end in CR LF"),
        }
    }
}

/// Follows one stream of bytes from a server.
///
/// A run of messages with the same header costs one comparison each; others cost a search for the line's end.
#[derive(Debug, Default)]
pub struct Skipper {
    tally: Tally,
    /// A control line whose end has not come.
    line: Vec<u8>,
    /// Bytes of the present message still to come, its CR LF included; 0 between messages.
    body_left: usize,
    memo: Memo,
}

impl Skipper {
    /// What has been seen so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes the next bytes of the stream.
    #[inline]
    pub fn feed(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        while !rest.is_empty() {
            rest = if self.body_left > 0 {
                self.skip_body(rest)?
            } else if self.line.is_empty() {
                let (repeats, rest) = self.memo.skip_repeats(rest);
                self.tally.messages += repeats;
                self.take_line(rest)?
            } else {
                self.take_line(rest)?
            };
        }
        Ok(())
    }

    fn skip_body<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Fault> {
        let here = self.body_left.min(rest.len());
        let end_from = self.body_left.saturating_sub(2);
        for (at, byte) in rest[..here].iter().enumerate().skip(end_from) {
            let expected = if self.body_left - at == 2 {
                b'\r'
            } else {
                b'\n'
            };
            if *byte != expected {
                return Err(Fault::PayloadEnd);
            }
        }
        self.body_left -= here;
        if self.body_left == 0 {
            self.tally.messages += 1;
        }
        Ok(&rest[here..])
    }

    fn take_line<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Fault> {
        let Some(end) = memchr(b'\n', rest) else {
            self.line.extend_from_slice(rest);
            return match self.line.len() {
                0..LINE_BYTES_MAX => Ok(&[]),
                _ => Err(Fault::Line("a line without end".to_owned())),
            };
        };
        if self.line.is_empty() {
            self.accept(&rest[..=end])?;
        } else {
            self.line.extend_from_slice(&rest[..=end]);
            let line = std::mem::take(&mut self.line);
            self.accept(&line)?;
        }
        Ok(&rest[end + 1..])
    }

    fn accept(&mut self, line: &[u8]) -> Result<(), Fault> {
        match line {
            [b'M', b'S', b'G', b' ', ..] => self.begin_message(line),
            [b'H', b'M', b'S', b'G', b' ', ..] => {
                self.tally.with_headers += 1;
                let size = last_number(line).ok_or_else(|| foreign(line))?;
                self.body_left = size + 2;
                Ok(())
            }
            b"PING\r\n" => {
                self.tally.pings += 1;
                Ok(())
            }
            b"PONG\r\n" => {
                self.tally.pongs += 1;
                Ok(())
            }
            [b'+', b'O', b'K', ..] | [b'I', b'N', b'F', b'O', ..] | b"\r\n" => Ok(()),
            [b'-', b'E', b'R', b'R', text @ ..] => Err(Fault::Refused(shown(text))),
            _ => Err(foreign(line)),
        }
    }

    #[inline]
    fn begin_message(&mut self, line: &[u8]) -> Result<(), Fault> {
        let size = last_number(line).ok_or_else(|| foreign(line))?;
        self.body_left = size + 2;
        self.memo.remember(line, size);
        Ok(())
    }
}

/// The last header seen, so that messages with an equal one are stepped over at once.
#[derive(Debug)]
struct Memo {
    header: [u8; MEMO_BYTES_MAX],
    header_bytes: usize,
    /// Header, payload and CR LF; 0 when nothing is remembered.
    stride_bytes: usize,
}

impl Default for Memo {
    fn default() -> Memo {
        Memo {
            header: [0; MEMO_BYTES_MAX],
            header_bytes: 0,
            stride_bytes: 0,
        }
    }
}

impl Memo {
    #[inline]
    fn remember(&mut self, line: &[u8], size: usize) {
        self.stride_bytes = 0;
        if line.len() <= MEMO_BYTES_MAX {
            self.header[..line.len()].copy_from_slice(line);
            self.header_bytes = line.len();
            self.stride_bytes = line.len() + size + 2;
        }
    }

    /// Steps over whole messages whose header equals the one remembered: how many, and what follows.
    #[inline]
    fn skip_repeats<'a>(&self, mut rest: &'a [u8]) -> (u64, &'a [u8]) {
        let stride = self.stride_bytes;
        let header = &self.header[..self.header_bytes];
        let mut repeats = 0;
        if stride > 0 {
            while rest.len() >= stride
                && rest.starts_with(header)
                && rest[stride - 2..stride] == *b"\r\n"
            {
                rest = &rest[stride..];
                repeats += 1;
            }
        }
        (repeats, rest)
    }
}

/// The number that ends a line; leading zeros are fine, more than nine digits are not.
#[inline]
fn last_number(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"\r\n")?;
    let start = digits.iter().rposition(|byte| *byte == b' ')? + 1;
    let digits = &digits[start..];
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0_usize, |number, byte| match byte {
        b'0'..=b'9' => Some(number * 10 + usize::from(byte - b'0')),
        _ => None,
    })
}

fn foreign(line: &[u8]) -> Fault {
    Fault::Line(shown(line))
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(200)])
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> (Result<(), Fault>, Tally) {
        let mut skipper = Skipper::default();
        let result = skipper.feed(bytes);
        (result, skipper.tally())
    }

    #[test]
    fn counts_each_kind() {
        let bytes = b"INFO {\"a\":1}\r\nPONG\r\nMSG a 1 2\r\nhi\r\nMSG a 1 2\r\nyo\r\nMSG a.b 1 re 0\r\n\r\nPING\r\n+OK\r\n\
            HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        let (result, tally) = whole(bytes);
        assert_eq!(result, Ok(()));
        assert_eq!(
            tally,
            Tally {
                messages: 4,
                with_headers: 1,
                pings: 1,
                pongs: 1
            }
        );
    }

    #[test]
    fn a_payload_that_looks_like_the_protocol_is_skipped() {
        let (result, tally) = whole(b"MSG a 1 17\r\nMSG a 1 2\r\nPING\r\n\r\nPONG\r\n");
        assert_eq!(result, Ok(()));
        assert_eq!(
            tally,
            Tally {
                messages: 1,
                pongs: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn faults() {
        assert_eq!(
            whole(b"-ERR 'Slow Consumer'\r\n").0,
            Err(Fault::Refused("'Slow Consumer'".to_owned()))
        );
        assert_eq!(whole(b"MSG a 1 2\r\nhi!\r\n").0, Err(Fault::PayloadEnd));
        assert_eq!(
            whole(b"MSG a 1 2\r\nhi\r\nMSG a 1 2\r\nhix\n").0,
            Err(Fault::PayloadEnd)
        );
        assert_eq!(
            whole(b"MSG a 1 x\r\n").0,
            Err(Fault::Line("MSG a 1 x".to_owned()))
        );
        assert_eq!(
            whole(b"nonsense\r\n").0,
            Err(Fault::Line("nonsense".to_owned()))
        );
    }

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let message = (
            "[ab]{1,3}",
            0..4_u32,
            prop::collection::vec(any::<u8>(), 0..40),
        )
            .prop_map(|(subject, sid, payload)| {
                let mut bytes = format!("MSG {subject} {sid} {}\r\n", payload.len()).into_bytes();
                bytes.extend_from_slice(&payload);
                bytes.extend_from_slice(b"\r\n");
                bytes
            });
        prop_oneof![
            4 => message,
            4 => Just(b"MSG a 1 3\r\n\r\n\n\r\n".to_vec()),
            1 => Just(b"PING\r\n".to_vec()),
            1 => Just(b"PONG\r\n".to_vec()),
            1 => Just(b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".to_vec()),
            1 => Just(b"INFO {}\r\n".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_count(
            frames in prop::collection::vec(frame(), 0..40),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let bytes = frames.concat();
            let expected = frames.iter().filter(|f| f.starts_with(b"MSG") || f.starts_with(b"HMSG")).count() as u64;
            let (result, tally) = whole(&bytes);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(tally.messages, expected);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut skipper = Skipper::default();
            for pair in cuts.windows(2) {
                prop_assert_eq!(skipper.feed(&bytes[pair[0]..pair[1]]), Ok(()));
            }
            prop_assert_eq!(skipper.tally(), tally);
        }

        #[test]
        fn any_split_gives_the_same_fault(bytes in "(MSG a 1 [0-3x]\r\n|a|b|\r|\n|PING\r\n|-ERR x\r\n){0,12}", cut in any::<prop::sample::Index>()) {
            let bytes = bytes.as_bytes();
            let cut = cut.index(bytes.len() + 1);
            let mut skipper = Skipper::default();
            let result = skipper.feed(&bytes[..cut]).and_then(|()| skipper.feed(&bytes[cut..]));
            prop_assert_eq!((result, skipper.tally()), whole(bytes));
        }
    }
}

//! A run spelled as its subscribers get it, once for many: from one to the next only the sid is written over. Owns the bytes,
//! never sends them.

use super::outbox::Prefix;
use super::run::Run;

/// Memory that is kept between runs: what one piece of input becomes, with longer subjects than it had.
const KEPT_BYTES: usize = 1024 * 1024;

/// The deliveries of a run to one subscription after another.
///
/// Invariant: where `bytes` is not empty, `sids` has the place of the sid in each delivery, all `sid_len` long, and the bytes
/// before the first are what stands before the sid in every delivery.
#[derive(Debug, Default)]
pub struct Spelled {
    bytes: Vec<u8>,
    sids: Vec<u32>,
    sid_len: usize,
}

impl Spelled {
    /// Forgets the last run; keeps the memory.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
            *self = Spelled::default();
        }
        self.bytes.clear();
        self.sids.clear();
    }

    /// All messages of the run behind this prefix. It is always the same run until it is cleared.
    pub fn deliveries(&mut self, prefix: Prefix<'_>, run: &Run<'_>) -> &[u8] {
        let prefix = &prefix.bytes[..prefix.len];
        let before = sid_at(prefix);
        let sid = &prefix[before..prefix.len() - 1];
        let known = self.sids.first().is_some_and(|first| {
            *first as usize == before && self.bytes[..before] == prefix[..before]
        });
        if known && sid.len() == self.sid_len {
            self.write_over(sid);
        } else {
            self.spell(prefix, before, run);
        }
        &self.bytes
    }

    fn spell(&mut self, prefix: &[u8], before: usize, run: &Run<'_>) {
        self.bytes.clear();
        self.sids.clear();
        for message in run.messages {
            self.sids.push((self.bytes.len() + before) as u32);
            self.bytes.extend_from_slice(prefix);
            self.bytes.extend_from_slice(run.tail(message));
        }
        self.sid_len = prefix.len() - 1 - before;
    }

    fn write_over(&mut self, sid: &[u8]) {
        if self.bytes[self.sids[0] as usize..].starts_with(sid) {
            return;
        }
        match sid.len() {
            1 => self.write_fixed::<1>(sid),
            2 => self.write_fixed::<2>(sid),
            3 => self.write_fixed::<3>(sid),
            4 => self.write_fixed::<4>(sid),
            _ => {
                for at in &self.sids {
                    self.bytes[*at as usize..][..sid.len()].copy_from_slice(sid);
                }
            }
        }
    }

    /// The same for a length known beforehand: one store for each delivery.
    fn write_fixed<const LEN: usize>(&mut self, sid: &[u8]) {
        let sid: &[u8; LEN] = sid.first_chunk().expect("of this length");
        for at in &self.sids {
            self.bytes[*at as usize..][..LEN].copy_from_slice(sid);
        }
    }
}

/// Where the sid begins in `MSG subject sid `.
fn sid_at(prefix: &[u8]) -> usize {
    let text = &prefix[..prefix.len() - 1];
    memchr::memrchr(b' ', text).map_or(0, |space| space + 1)
}

#[cfg(test)]
mod tests {
    use super::super::run::Message;
    use super::*;

    fn check(prefixes: &[&str]) {
        let bytes = b"5\r\nhello\r\nr 0\r\n\r\n";
        let message = |tail, reply_len, body, end| Message {
            tail,
            reply_len,
            body,
            header_len: 0,
            end,
        };
        let run = Run {
            bytes,
            subject: b"any",
            headers: false,
            messages: &[message(0, 0, 3, 10), message(10, 1, 15, 17)],
        };
        let mut spelled = Spelled::default();
        for prefix in prefixes {
            let longer = format!("{prefix}________");
            let prefix = Prefix {
                bytes: longer.as_bytes(),
                len: prefix.len(),
            };
            let got = spelled.deliveries(prefix, &run).to_vec();
            let text = &longer[..prefix.len];
            let expected = format!("{text}5\r\nhello\r\n{text}r 0\r\n\r\n");
            assert_eq!(String::from_utf8(got).unwrap(), expected);
        }
    }

    #[test]
    fn whatever_came_before() {
        check(&["MSG a 1 ", "MSG a 2 ", "MSG a 2 ", "MSG a 10 ", "MSG a 3 "]);
        check(&[
            "MSG a 1 ",
            "MSG b 1 ",
            "MSG bb 1 ",
            "MSG b 12 ",
            "MSG b 34 ",
        ]);
        check(&[
            "MSG a 12345 ",
            "MSG a 12346 ",
            "MSG a sid-of-7 ",
            "MSG a sid-of-8 ",
        ]);
        check(&["HMSG a 123 ", "HMSG a 124 ", "HMSG a 1234 ", "HMSG a 1235 "]);
    }

    #[test]
    fn another_run_after_clearing() {
        let mut spelled = Spelled::default();
        for text in ["1\r\na\r\n", "2\r\nbc\r\n"] {
            let message = Message {
                tail: 0,
                reply_len: 0,
                body: 3,
                header_len: 0,
                end: text.len() as u32,
            };
            let run = Run {
                bytes: text.as_bytes(),
                subject: b"any",
                headers: false,
                messages: &[message],
            };
            let prefix = Prefix {
                bytes: b"MSG a 1 ",
                len: 8,
            };
            spelled.clear();
            let expected = format!("MSG a 1 {text}");
            assert_eq!(spelled.deliveries(prefix, &run), expected.as_bytes());
        }
    }
}

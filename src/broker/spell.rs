//! Messages that the broker makes itself, as deliveries spell them. Owns their spelling in one buffer; never decides what
//! they say.

use super::run::Message;

/// Digits of the largest length.
const DIGITS_MAX: usize = 10;

/// A message in the making: header lines are put behind each other, then come the payload and what stands before both.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    bytes: Vec<u8>,
    /// Where the header begins; what stands before it is written last.
    body: usize,
}

impl Spelling {
    /// A message with this reply, in memory that is used again.
    pub fn new(mut memory: Vec<u8>, reply: &[u8]) -> Spelling {
        let body = reply.len() + 1 + 2 * (DIGITS_MAX + 1) + 1;
        memory.clear();
        memory.resize(body, b' ');
        memory[..reply.len()].copy_from_slice(reply);
        Spelling {
            bytes: memory,
            body,
        }
    }

    /// Where header lines go.
    pub fn header(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The message, with a payload that has its CRLF. `reply_len` is that of the reply it began with.
    pub fn end(self, reply_len: usize, payload_crlf: &[u8]) -> (Vec<u8>, Message) {
        let Spelling { mut bytes, body } = self;
        let header_len = bytes.len() - body;
        bytes.extend_from_slice(payload_crlf);
        let mut at = put_before(&mut bytes, body, b"\r\n");
        let total = header_len + payload_crlf.len() - 2;
        let mut digits = itoa::Buffer::new();
        at = put_before(&mut bytes, at, digits.format(total).as_bytes());
        if header_len > 0 {
            at = put_before(&mut bytes, at, b" ");
            let mut digits = itoa::Buffer::new();
            at = put_before(&mut bytes, at, digits.format(header_len).as_bytes());
        }
        if reply_len > 0 {
            at -= reply_len + 1;
            bytes.copy_within(..reply_len, at);
            bytes[at + reply_len] = b' ';
        }
        let message = Message {
            tail: at as u32,
            reply_len: reply_len as u32,
            body: body as u32,
            header_len: header_len as u32,
            end: bytes.len() as u32,
        };
        (bytes, message)
    }
}

fn put_before(bytes: &mut [u8], end: usize, what: &[u8]) -> usize {
    let at = end - what.len();
    bytes[at..end].copy_from_slice(what);
    at
}

/// A message with a block of headers, which may be empty.
pub(super) fn spell(reply: &[u8], header: &[u8], payload_crlf: &[u8]) -> (Vec<u8>, Message) {
    spell_in(Vec::new(), reply, header, payload_crlf)
}

/// The same in memory that is used again.
pub(super) fn spell_in(
    memory: Vec<u8>,
    reply: &[u8],
    header: &[u8],
    payload_crlf: &[u8],
) -> (Vec<u8>, Message) {
    let mut spelling = Spelling::new(memory, reply);
    spelling.header().extend_from_slice(header);
    spelling.end(reply.len(), payload_crlf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(reply: &str, header: &str, payload: &str, expected: Expect) {
        let payload = format!("{payload}\r\n");
        let (bytes, message) = spell(reply.as_bytes(), header.as_bytes(), payload.as_bytes());
        let text = |from: u32, to: u32| {
            String::from_utf8_lossy(&bytes[from as usize..to as usize]).into_owned()
        };
        assert_eq!(text(message.tail, message.tail + message.reply_len), reply);
        assert_eq!(
            text(message.body, message.body + message.header_len),
            header
        );
        assert_eq!(
            text(message.body + message.header_len, message.end),
            payload
        );
        expected.assert_eq(&text(message.tail, message.end));
    }

    #[test]
    fn as_deliveries_have_it() {
        check("", "", "", expect![["0\r\n\r\n"]]);
        check("", "", "hello", expect![["5\r\nhello\r\n"]]);
        check(
            "_INBOX.1",
            "",
            "hello",
            expect![["_INBOX.1 5\r\nhello\r\n"]],
        );
        check(
            "a-reply-that-is-longer-than-everything-that-stands-behind-it",
            "NATS/1.0\r\n\r\n",
            "hello world",
            expect![[
                "a-reply-that-is-longer-than-everything-that-stands-behind-it 12 23\r\nNATS/1.0\r\n\r\nhello world\r\n"
            ]],
        );
        check(
            "",
            "NATS/1.0\r\n\r\n",
            "",
            expect![["12 12\r\nNATS/1.0\r\n\r\n\r\n"]],
        );
    }
}

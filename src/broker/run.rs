//! A run: consecutive messages of one publisher on one subject, as they stand in some buffer.
//! Owns nothing of the bytes and never copies them.

/// One message of a run, as offsets into the run's bytes.
///
/// The bytes from `tail` to `end` are `[reply ]size\r\npayload\r\n` (or `[reply ]header total\r\n…` when the
/// run carries headers) in canonical form: what follows `MSG subject sid ` on every delivery.
///
/// Invariant: `tail <= body <= body + header_len <= end - 2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where the tail begins: the reply, or the size where there is no reply.
    pub tail: u32,
    /// Length of the reply subject at `tail`; 0 is none.
    pub reply_len: u32,
    /// Where headers and payload begin.
    pub body: u32,
    /// Bytes of headers; 0 in a run without headers.
    pub header_len: u32,
    /// One past the CRLF that ends the payload.
    pub end: u32,
}

impl Message {
    /// The same message in a buffer in which so many bytes stand before it.
    #[inline(always)]
    pub fn moved(self, by: u32) -> Message {
        Message {
            tail: self.tail + by,
            body: self.body + by,
            end: self.end + by,
            ..self
        }
    }

    /// Bytes of headers and payload.
    pub fn body_len(&self) -> usize {
        (self.end - 2 - self.body) as usize
    }
}

/// Consecutive messages on one subject.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The buffer all offsets point into. May be longer than what the messages cover.
    pub bytes: &'a [u8],
    /// The subject they are published to.
    pub subject: &'a [u8],
    /// Whether they carry headers (HPUB). One run never mixes.
    pub headers: bool,
    /// The messages, in order. Never empty.
    pub messages: &'a [Message],
}

impl<'a> Run<'a> {
    /// `[reply ]size\r\npayload\r\n` of one message.
    pub fn tail(&self, message: &Message) -> &'a [u8] {
        &self.bytes[message.tail as usize..message.end as usize]
    }

    /// The reply subject, empty when there is none.
    pub fn reply(&self, message: &Message) -> &'a [u8] {
        &self.bytes[message.tail as usize..(message.tail + message.reply_len) as usize]
    }

    /// Headers and payload, without the closing CRLF.
    pub fn body(&self, message: &Message) -> &'a [u8] {
        &self.bytes[message.body as usize..message.end as usize - 2]
    }

    /// The payload alone, with the closing CRLF.
    pub fn payload_crlf(&self, message: &Message) -> &'a [u8] {
        &self.bytes[(message.body + message.header_len) as usize..message.end as usize]
    }

    /// The same run with only the messages in `range`.
    pub fn only(&self, range: std::ops::Range<usize>) -> Run<'a> {
        Run {
            messages: &self.messages[range],
            ..*self
        }
    }

    /// Bytes from the first message to the last: about what a delivery of them all takes.
    #[inline(always)]
    pub fn span_bytes(&self) -> usize {
        let last = self.messages[self.messages.len() - 1];
        (last.end - self.messages[0].tail) as usize
    }

    /// Bytes of headers and payloads of all messages, for the counters.
    #[inline]
    pub fn body_bytes(&self) -> u64 {
        if let [only] = self.messages {
            return only.body_len() as u64;
        }
        self.messages.iter().map(|m| m.body_len() as u64).sum()
    }
}

//! What a trace in the log shows of messages and subscriptions, in the oracle's form. Decides nothing.

use std::borrow::Cow;

use memchr::memmem;

use crate::auth::REDACTED;
use crate::auth::violation::quoted;

use super::outbox::Prefix;
use super::run::{Message, Run};

/// `{"` in base64: what every JWT begins with.
const TOKEN_START: &[u8] = b"eyJ";

/// How much of a message a trace shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceForm {
    /// `max_traced_msg_len`: longest body shown, bytes; 0 is all.
    pub bytes_max: usize,
    /// `trace_headers`: headers are shown, payloads are not.
    pub headers_only: bool,
}

impl TraceForm {
    /// A body as it is shown; `None` where nothing of it is.
    pub fn body(&self, run: &Run<'_>, message: &Message) -> Option<String> {
        let body = run.body(message);
        let body = match self.headers_only {
            // Without the end of the last header and the empty line.
            true => &body[..(message.header_len as usize).saturating_sub(4)],
            false => body,
        };
        self.shown(body)
    }

    fn shown(&self, body: &[u8]) -> Option<String> {
        let body = &*without_tokens(body);
        match body.len() {
            0 => None,
            len if self.bytes_max > 0 && len > self.bytes_max => {
                let mut shown = quoted(&body[..self.bytes_max]);
                shown.truncate(shown.len() - 1);
                Some(shown + "...\"")
            }
            _ => Some(quoted(body)),
        }
    }
}

/// A body with `[REDACTED]` for the JWTs in it: a token may let somebody in, and the request to a callout service is one
/// that holds the client's password.
fn without_tokens(body: &[u8]) -> Cow<'_, [u8]> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut shown = Vec::new();
    let mut rest = body;
    let mut kept = body;
    while let Some(at) = memmem::find(rest, TOKEN_START) {
        let len = rest[at..].iter().take_while(|byte| is_part(byte)).count();
        let token = &rest[at..at + len];
        rest = &rest[at + len..];
        if token.iter().filter(|byte| **byte == b'.').count() == 2 {
            shown.extend_from_slice(&kept[..kept.len() - rest.len() - len]);
            shown.extend_from_slice(REDACTED.as_bytes());
            kept = rest;
        }
    }
    if shown.is_empty() {
        return Cow::Borrowed(body);
    }
    shown.extend_from_slice(kept);
    Cow::Owned(shown)
}

/// A connection whose operations are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// What the log calls it.
    pub label: Box<str>,
    /// How much of its messages is shown.
    pub form: TraceForm,
}

impl Traced {
    /// A message as it goes out to it; `strip` is whether its headers stay behind.
    #[cold]
    pub(super) fn delivered(&self, prefix: Prefix<'_>, one: &Run<'_>, strip: bool) {
        let (label, message) = (&self.label, &one.messages[0]);
        let start = String::from_utf8_lossy(&prefix.bytes[..prefix.len]);
        let shown = if strip {
            let reply = String::from_utf8_lossy(one.reply(message));
            let space = if reply.is_empty() { "" } else { " " };
            let payload = one.payload_crlf(message);
            let payload = &payload[..payload.len() - 2];
            log::trace!("{label} - ->> [{start}{reply}{space}{}]", payload.len());
            match self.form.headers_only {
                true => None,
                false => self.form.shown(payload),
            }
        } else {
            let line = &one.bytes[message.tail as usize..message.body as usize - 2];
            log::trace!("{label} - ->> [{start}{}]", String::from_utf8_lossy(line));
            self.form.body(one, message)
        };
        if let Some(shown) = shown {
            log::trace!("{label} - ->> MSG_PAYLOAD: [{shown}]");
        }
    }

    /// It is told `+OK`.
    #[cold]
    pub(super) fn said_ok(&self) {
        log::trace!("{} - ->> [OK]", self.label);
    }

    /// One of its subscriptions ends.
    #[cold]
    pub(super) fn subscription_ended(&self, sid: &[u8]) {
        let sid = String::from_utf8_lossy(sid);
        log::trace!("{} - <-> [DELSUB {sid}]", self.label);
    }
}

#[cfg(test)]
mod tests {
    use super::{TraceForm, without_tokens};
    use crate::broker::run::{Message, Run};

    #[test]
    fn as_much_is_shown_as_is_wanted() {
        let bytes = b"18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n";
        let with_headers = Message {
            tail: 0,
            reply_len: 0,
            body: 7,
            header_len: 18,
            end: 29,
        };
        let plain = Message {
            header_len: 0,
            ..with_headers
        };
        let empty = Message {
            body: 27,
            header_len: 0,
            ..with_headers
        };
        let shown = |bytes_max, headers_only, message| {
            let form = TraceForm {
                bytes_max,
                headers_only,
            };
            let run = Run {
                bytes,
                subject: b"foo",
                headers: true,
                messages: &[message],
            };
            form.body(&run, &message)
        };
        let whole = r#""NATS/1.0\r\nA: b\r\n\r\nhi""#;
        assert_eq!(shown(0, false, with_headers).as_deref(), Some(whole));
        assert_eq!(shown(20, false, with_headers).as_deref(), Some(whole));
        assert_eq!(shown(4, false, plain).as_deref(), Some("\"NATS...\""));
        assert_eq!(
            shown(0, true, with_headers).as_deref(),
            Some(r#""NATS/1.0\r\nA: b""#)
        );
        assert_eq!(shown(2, true, with_headers).as_deref(), Some("\"NA...\""));
        assert_eq!(shown(0, true, plain), None);
        assert_eq!(shown(0, false, empty), None);
    }

    #[test]
    fn tokens_are_not_shown() {
        let cases = [
            ("eyJh.eyJb.c-_", "[REDACTED]"),
            (
                "AAA|eyJh.eyJb.c\nBBB|eyJx.y.z",
                "AAA|[REDACTED]\nBBB|[REDACTED]",
            ),
            (r#"{"jwt":"eyJh.eyJb.c"}"#, r#"{"jwt":"[REDACTED]"}"#),
            ("eyJ and eyJh.b, a.b.c", "eyJ and eyJh.b, a.b.c"),
            ("eyJ no eyJh.b.c!", "eyJ no [REDACTED]!"),
            ("", ""),
        ];
        for (body, expected) in cases {
            let shown = without_tokens(body.as_bytes()).into_owned();
            assert_eq!(String::from_utf8(shown).unwrap(), expected, "{body}");
        }
    }
}

//! The texts of refused publishes and subscriptions, for the client and for the log. Decides nothing.
//!
//! Texts for the client go between the quotes of `-ERR '…'`. Names are quoted as the oracle quotes them, so that
//! whatever bytes a client sent, a text is one line of UTF-8.

use std::fmt::{self, Write};

use super::identity::{Credential, Identity};
use super::{GLOBAL_ACCOUNT, Permissions};

/// Client: a publish to `subject` is refused.
pub fn publish_refused(subject: &[u8]) -> String {
    format!("Permissions Violation for Publish to {}", quoted(subject))
}

/// Client: a publish with this reply subject is refused; see [`reply_is_reserved`](super::permission::reply_is_reserved).
pub fn reply_refused(reply: &[u8]) -> String {
    format!(
        "Permissions Violation for Publish with Reply of {}",
        quoted(reply)
    )
}

/// Client: a subscription is refused.
pub fn subscription_refused(pattern: &[u8], queue: Option<&[u8]>) -> String {
    format!(
        "Permissions Violation for Subscription to {}",
        pattern_and_queue(pattern, queue)
    )
}

/// Client: a subscription has more tokens than `max_subscription_tokens`.
pub fn subscription_too_deep(pattern: &[u8]) -> String {
    format!(
        "Permissions Violation for Subscription to {}, too many tokens",
        quoted(pattern)
    )
}

/// Client: a subscription it had is gone, because its permissions were narrowed.
pub fn subscription_lost(pattern: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> String {
    let refused = subscription_refused(pattern, queue);
    format!("{refused} (sid {})", quoted(sid))
}

/// Log: the same.
pub fn subscription_lost_log(pattern: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> String {
    let lost = pattern_and_queue(pattern, queue);
    format!("Removed sub {lost} (sid {})", quoted(sid))
}

/// Log: a publish to `subject` was refused.
pub fn publish_refused_log(subject: &[u8]) -> String {
    format!("Publish Violation - Subject {}", quoted(subject))
}

/// Log: a publish with this reply subject was refused.
pub fn reply_refused_log(reply: &[u8]) -> String {
    format!("Publish Violation - Reply {}", quoted(reply))
}

/// Log: a subscription was refused.
pub fn subscription_refused_log(pattern: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> String {
    let queue = queue
        .map(|queue| format!(", Queue: {}", quoted(queue)))
        .unwrap_or_default();
    let sid = String::from_utf8_lossy(sid);
    format!(
        "Subscription Violation - Subject {}{queue}, SID {sid}",
        quoted(pattern)
    )
}

/// Log: a subscription has too many tokens.
pub fn subscription_too_deep_log(pattern: &[u8], sid: &[u8]) -> String {
    let sid = String::from_utf8_lossy(sid);
    format!(
        "Subscription Violation Too Many Tokens - Subject {}, SID {sid}",
        quoted(pattern)
    )
}

/// Log: what stands behind each of these lines: who was refused, and why. The oracle says neither there.
pub fn who_and_why(identity: Option<&Identity>, why: impl fmt::Display) -> String {
    let account = identity.map_or(GLOBAL_ACCOUNT, |identity| &identity.account);
    let user = match identity {
        None => String::new(),
        Some(identity) => {
            let kind = match identity.credential {
                Credential::None => "",
                Credential::User => ", User ",
                Credential::Token => ", Token ",
                Credential::Nkey => ", Nkey ",
            };
            let name = (!kind.is_empty()).then(|| quoted(identity.user.as_bytes()));
            format!("{kind}{}", name.unwrap_or_default())
        }
    };
    format!(", Account {}{user}, {why}", quoted(account.as_bytes()))
}

/// Why a publish to `subject` was refused to a client with these permissions, for [`who_and_why`].
pub fn publish_refused_why(permissions: Option<&Permissions>, subject: &[u8]) -> String {
    match permissions {
        Some(permissions) if !permissions.publish_reason(subject).is_allowed() => {
            let reason = permissions.publish_reason(subject);
            let answers = match permissions.responses() {
                Some(_) => ", and it is no answer that is due",
                None => "",
            };
            format!("{reason}{answers}")
        }
        _ => RESERVED.to_owned(),
    }
}

/// Why a reply or a queue group was refused, for [`who_and_why`].
pub const RESERVED: &str = "reserved for the server";

/// `bytes` in double quotes: what cannot be seen is escaped, a byte that is not UTF-8 is `\xff`.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(c, &mut out));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| push_escape(&mut out, 'x', 2, u32::from(*byte)));
    }
    out.push('"');
    out
}

fn pattern_and_queue(pattern: &[u8], queue: Option<&[u8]>) -> String {
    match queue {
        Some(queue) => format!("{} using queue {}", quoted(pattern), quoted(queue)),
        None => quoted(pattern),
    }
}

fn push_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' '..='~' => out.push(c),
        '\0'..='\u{7f}' => push_escape(out, 'x', 2, u32::from(c)),
        _ if is_printable(c) => out.push(c),
        '\u{80}'..='\u{ffff}' => push_escape(out, 'u', 4, u32::from(c)),
        _ => push_escape(out, 'U', 8, u32::from(c)),
    }
}

fn push_escape(out: &mut String, letter: char, digits: usize, value: u32) {
    write!(out, "\\{letter}{value:0digits$x}").expect("a String takes all");
}

/// Whether a character beyond ASCII is a letter, mark, number, sign or symbol. The standard library tells only
/// through `escape_debug`, which spares combining marks behind another character.
fn is_printable(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().eq(text.chars())
}

#[cfg(test)]
mod tests {
    use super::super::permission_fixture;
    use super::*;

    #[test]
    fn texts_as_the_oracle_writes_them() {
        for (text, expected) in [
            (
                publish_refused(b"x"),
                r#"Permissions Violation for Publish to "x""#,
            ),
            (
                reply_refused(b"_R_.x"),
                r#"Permissions Violation for Publish with Reply of "_R_.x""#,
            ),
            (
                subscription_refused(b"foo.>", None),
                r#"Permissions Violation for Subscription to "foo.>""#,
            ),
            (
                subscription_refused(b"no", Some(b"q\"q")),
                r#"Permissions Violation for Subscription to "no" using queue "q\"q""#,
            ),
            (
                subscription_too_deep(b"a.b"),
                r#"Permissions Violation for Subscription to "a.b", too many tokens"#,
            ),
            (
                subscription_lost(b"gone", None, b"2"),
                r#"Permissions Violation for Subscription to "gone" (sid "2")"#,
            ),
            (
                subscription_lost(b"gone", Some(b"q"), b"2"),
                r#"Permissions Violation for Subscription to "gone" using queue "q" (sid "2")"#,
            ),
            (
                publish_refused_log(b"x"),
                r#"Publish Violation - Subject "x""#,
            ),
            (
                reply_refused_log(b"_R_.x"),
                r#"Publish Violation - Reply "_R_.x""#,
            ),
            (
                subscription_refused_log(b"a", None, b"1"),
                r#"Subscription Violation - Subject "a", SID 1"#,
            ),
            (
                subscription_refused_log(b"no", Some(b"q\"q"), b"1"),
                r#"Subscription Violation - Subject "no", Queue: "q\"q", SID 1"#,
            ),
            (
                subscription_too_deep_log(b"a.b", b"1"),
                r#"Subscription Violation Too Many Tokens - Subject "a.b", SID 1"#,
            ),
        ] {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn the_log_says_who_and_by_which_rule() {
        let permissions = permission_fixture("pub foo.* -pub foo.no sub in sub in.>,q resp 1 -1");
        let who = |permissions: &Permissions, subject: &[u8]| {
            let identity = Identity::user(&"b\"ob".into(), &"A".into(), None);
            let why = publish_refused_why(Some(permissions), subject);
            format!(
                "{}{}",
                publish_refused_log(subject),
                who_and_why(Some(&identity), why)
            )
        };
        let only_publish = permission_fixture("pub foo.* pub bar -pub foo.no");
        assert_eq!(
            who(&only_publish, b"foo.no"),
            r#"Publish Violation - Subject "foo.no", Account "A", User "b\"ob", denied by "foo.no" at test.conf:3:1"#
        );
        assert_eq!(
            who(&only_publish, b"baz"),
            r#"Publish Violation - Subject "baz", Account "A", User "b\"ob", allowed by none of the rules at test.conf:1:1"#
        );
        assert_eq!(
            who(&permissions, b"baz"),
            r#"Publish Violation - Subject "baz", Account "A", User "b\"ob", allowed by none of the rules at test.conf:1:1, and it is no answer that is due"#
        );
        assert_eq!(
            who(&only_publish, b"bar"),
            r#"Publish Violation - Subject "bar", Account "A", User "b\"ob", reserved for the server"#
        );
        let subscribe =
            |queue: Option<&[u8]>| permissions.subscribe_reason(b"in.x", queue).to_string();
        assert_eq!(
            subscribe(None),
            "allowed by none of the rules at test.conf:3:1"
        );
        assert_eq!(
            subscribe(Some(b"q")),
            r#"allowed by "in.> q" at test.conf:4:1"#
        );
        assert_eq!(who_and_why(None, "so"), r#", Account "$G", so"#);
        let token = who_and_why(Some(&Identity::token()), "so");
        assert_eq!(token, r#", Account "$G", Token "[REDACTED]", so"#);
    }

    #[test]
    fn names_are_quoted_as_the_oracle_does() {
        for (name, expected) in [
            (&b"a\"b"[..], r#""a\"b""#),
            (b"a'b", r#""a'b""#),
            (b"a\\b", r#""a\\b""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
            (b"a\0b", r#""a\x00b""#),
            (b"\x7f", r#""\x7f""#),
            (b"\x01\x07\x08\x0b\x0c\x1b", r#""\x01\a\b\v\f\x1b""#),
            (b"\xe2\x82", r#""\xe2\x82""#),
            (b"\xed\xa0\x80", r#""\xed\xa0\x80""#),
            ("é <&>😀\u{fffd}".as_bytes(), "\"é <&>😀\u{fffd}\""),
            ("a\u{301}".as_bytes(), "\"a\u{301}\""),
            ("\u{301}".as_bytes(), "\"\u{301}\""),
            ("\u{a0}".as_bytes(), r#""\u00a0""#),
            ("\u{ad}".as_bytes(), r#""\u00ad""#),
            ("\u{200b}".as_bytes(), r#""\u200b""#),
            ("\u{3000}".as_bytes(), r#""\u3000""#),
            ("\u{e000}".as_bytes(), r#""\ue000""#),
            ("\u{feff}".as_bytes(), r#""\ufeff""#),
            ("\u{e0001}".as_bytes(), r#""\U000e0001""#),
        ] {
            assert_eq!(quoted(name), expected);
        }
    }
}

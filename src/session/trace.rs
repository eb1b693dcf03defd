//! `-V`: what a session heard and said, as log lines in the oracle's form. Never shows a secret.

use memchr::memchr;
use serde_json::Value;

use crate::broker::run::Run;
use crate::proto::parser::Op;

use super::Context;
use super::client::Client;

/// Ends of the names of CONNECT fields that are not shown: whoever writes `password` for `pass` has not given it away.
const SECRETS: [&str; 8] = [
    "pass", "password", "token", "jwt", "sig", "nkey", "seed", "creds",
];

impl Client {
    /// An operation other than a publish.
    #[cold]
    pub(super) fn trace_operation(&self, op: &Op<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = match op {
            Op::Connect(json) => format!("CONNECT {}", without_secrets(json)),
            Op::Sub {
                subject,
                queue,
                sid,
            } => {
                let queue = queue
                    .map(|queue| format!("{} ", text(queue)))
                    .unwrap_or_default();
                format!("SUB {} {queue}{}", text(subject), text(sid))
            }
            Op::Unsub { sid, max } => {
                let max = max.map(|max| format!(" {max}")).unwrap_or_default();
                format!("UNSUB {}{max}", text(sid))
            }
            Op::Ping => "PING".into(),
            Op::Pong => "PONG".into(),
            // Nor does the oracle show what only servers have to say.
            Op::Ok | Op::Info(_) | Op::Err(_) | Op::Publish(_) => return,
        };
        log::trace!("{} - <<- [{shown}]", self.label());
    }

    /// The line at the start of `input`, of which the client will hear no good.
    #[cold]
    pub(super) fn trace_line(&self, input: &[u8]) {
        let end = memchr(b'\n', input).unwrap_or(input.len());
        let line = String::from_utf8_lossy(&input[..end]);
        let line = line.strip_suffix('\r').unwrap_or(&line);
        let (verb, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let argument = argument.trim_start_matches([' ', '\t']);
        let verb = verb.to_ascii_uppercase();
        log::trace!("{} - <<- [{verb} {argument}]", self.label());
    }

    /// Publishes.
    #[cold]
    pub(super) fn trace_publish(&self, context: &Context, run: &Run<'_>) {
        let verb = if run.headers { "HPUB" } else { "PUB" };
        for message in run.messages {
            let line = &run.bytes[message.tail as usize..message.body as usize - 2];
            let (subject, line) = (
                String::from_utf8_lossy(run.subject),
                String::from_utf8_lossy(line),
            );
            log::trace!("{} - <<- [{verb} {subject} {line}]", self.label());
            if let Some(shown) = context.trace_form.body(run, message) {
                log::trace!("{} - <<- MSG_PAYLOAD: [{shown}]", self.label());
            }
        }
    }

    /// What the session says, without its line's end.
    #[cold]
    pub(super) fn trace_said(&self, said: &str) {
        log::trace!("{} - ->> [{said}]", self.label());
    }
}

/// CONNECT's JSON with secrets replaced; nothing of it where it is no JSON.
fn without_secrets(json: &[u8]) -> String {
    let Ok(mut value) = serde_json::from_slice::<Value>(json) else {
        return "[not JSON]".into();
    };
    if matches!(value, Value::String(_) | Value::Array(_)) {
        return "[no object]".into();
    }
    hide_secrets(&mut value);
    value.to_string()
}

/// Hides them, however deep they stand: who puts them in the wrong place has not given them away.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let name = name.to_ascii_lowercase();
                if SECRETS.iter().any(|secret| name.ends_with(secret)) {
                    *field = "[REDACTED]".into();
                } else {
                    hide_secrets(field);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn secrets_are_not_shown() {
        let cases = [
            (
                r#"{"user":"a","pass":"x","AUTH_TOKEN":"y"}"#,
                r#"{"user":"a","pass":"[REDACTED]","AUTH_TOKEN":"[REDACTED]"}"#,
            ),
            (
                r#"{"jwt":"e.y.J","sig":"s","name":"n"}"#,
                r#"{"jwt":"[REDACTED]","sig":"[REDACTED]","name":"n"}"#,
            ),
            (
                r#"{"proxy_sig":"s","x":[{"pass":"x","y":{"sig":"z"}}]}"#,
                r#"{"proxy_sig":"[REDACTED]","x":[{"pass":"[REDACTED]","y":{"sig":"[REDACTED]"}}]}"#,
            ),
            (
                r#"{"password":"x","new_Password":"y","nkey":"SUA","my_seed":"z","nkeys":1}"#,
                r#"{"password":"[REDACTED]","new_Password":"[REDACTED]","nkey":"[REDACTED]","my_seed":"[REDACTED]","nkeys":1}"#,
            ),
            (r#"{"pass":"x""#, "[not JSON]"),
            (r#""x""#, "[no object]"),
            (r#"["x"]"#, "[no object]"),
            ("null", "null"),
        ];
        for (json, expected) in cases {
            assert_eq!(without_secrets(json.as_bytes()), expected);
        }
    }
}

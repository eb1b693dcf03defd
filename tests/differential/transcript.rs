//! Transcripts: what a script saw, normalised to text that may be compared. Owns what is compared and in which order; what
//! no two runs have in common is replaced in `normalise`.

use serde_json::Value;

use crate::case::{Case, Step};
use crate::connection::Connection;
use crate::escape::escape;
use crate::keys::curve;
use crate::normalise;
use crate::seal;

/// Keys of INFO whose value is the server's own: only that they are there is compared.
const IDENTITY: &[&str] = &[
    "server_id",
    "server_name",
    "nonce",
    "client_id",
    "port",
    "version",
    "xkey",
];

/// Keys of INFO that are left out of the comparison, and why.
const IGNORED: &[(&str, &str)] = &[
    ("go", "the compiler's version; gannet has none to tell"),
    ("git_commit", "the build's identity"),
];

/// The transcript of a case: the processes' part, then each connection's.
pub fn render(case: &Case, process: &[String], connections: &[Connection]) -> String {
    let mut text: String = process.iter().map(|l| format!("{l}\n")).collect();
    let mut merged = Vec::new();
    for connection in connections {
        let lines = connection_lines(case, connection);
        if case.merge.contains(&connection.name) {
            merged.extend(lines);
        } else {
            push_lines(&mut text, &connection.name, &lines);
        }
    }
    sort(&mut merged);
    push_lines(&mut text, &case.merge.join("+"), &merged);
    normalise::number_replies(&text, |reply| says(&case.steps, reply))
}

fn connection_lines(case: &Case, connection: &Connection) -> Vec<String> {
    let pings_count = |m: &[u8]| case.pings || m != b"PING";
    let received = connection.received.iter().filter(|m| pings_count(m));
    let mut lines: Vec<String> = received.map(|m| message(case, m)).collect();
    if case.sort {
        lines
            .chunk_by_mut(|a, b| is_delivery(a) && is_delivery(b))
            .for_each(sort);
    }
    if case.tally.contains(&connection.name) {
        lines.retain(|l| !is_delivery(l));
    }
    lines
}

/// Deliveries that differ only in a generated reply subject stay as they came.
fn sort(lines: &mut [String]) {
    lines.sort_by_cached_key(|l| normalise::anonymous(l));
}

/// Whether the script itself sends this text.
fn says(steps: &[(usize, Step)], text: &str) -> bool {
    let sends = |step: &Step| match step {
        Step::Send(_, bytes) => bytes.windows(text.len()).any(|w| w == text.as_bytes()),
        _ => false,
    };
    steps.iter().any(|(_, step)| match step {
        Step::Repeat(_, inner) => sends(inner),
        step => sends(step),
    })
}

fn is_delivery(line: &str) -> bool {
    line.starts_with("MSG ") || line.starts_with("HMSG ")
}

fn push_lines(text: &mut String, name: &str, lines: &[String]) {
    for line in lines {
        text.push_str(&format!("{name}: {line}\n"));
    }
}

fn message(case: &Case, bytes: &[u8]) -> String {
    let key = case.xkey.as_deref().map(curve);
    if let Some(opened) = key.and_then(|key| seal::opened(bytes, &key)) {
        return format!("sealed {}", escape(&normalise::delivery(&opened)));
    }
    if let Some(head) = seal::head_of_sealed(bytes) {
        return format!("sealed {}", escape(head));
    }
    match bytes.strip_prefix(b"INFO ") {
        Some(json) => match serde_json::from_slice::<Value>(json) {
            Ok(Value::Object(fields)) if case.info => info(fields),
            Ok(Value::Object(_)) => "INFO".into(),
            _ => format!("INFO that is not a JSON object: {}", escape(json)),
        },
        None if case.anysid => escape(&without_sid(&normalise::delivery(bytes))),
        None => escape(&normalise::delivery(bytes)),
    }
}

/// `MSG subject sid …` with `?` for the sid.
fn without_sid(bytes: &[u8]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = bytes.splitn(4, |b| *b == b' ').collect();
    if words.len() == 4 && (words[0] == b"MSG" || words[0] == b"HMSG") {
        words[2] = b"?";
    }
    words.join(b" ".as_slice())
}

fn info(fields: serde_json::Map<String, Value>) -> String {
    let mut keys: Vec<String> = fields
        .into_iter()
        .filter(|(key, _)| !IGNORED.iter().any(|(ignored, _)| ignored == key))
        .map(|(key, value)| match value {
            Value::String(_) if IDENTITY.contains(&key.as_str()) => format!("  {key}: a text"),
            Value::Number(_) if IDENTITY.contains(&key.as_str()) => format!("  {key}: a number"),
            value => format!("  {key}: {value}"),
        })
        .collect();
    keys.sort();
    format!("INFO\n{}", keys.join("\n"))
}

//! What differs from run to run in what a server sends: generated reply subjects, and times and identities in JSON.
//! Owns their replacement by names; knows no script.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

/// A generated reply subject begins so.
const REPLY_PREFIX: &str = "_R_.";
/// Where a server wants its own requests answered.
const INBOX_PREFIX: &str = "$SYS._INBOX.";
/// The kind of token that a server makes itself, and what of its claims is never the same twice.
const OWN_TOKEN: &str = "authorization_request";
const OWN_VOLATILE: &[&str] = &["exp", "iat", "jti", "id", "user_nkey", "nonce", "sig"];

/// The header that tells a service who asks.
const REQUEST_INFO: &[u8] = b"Nats-Request-Info: ";

/// The server's own events name their type so.
const EVENT_TYPE: &str = "io.nats.server.";

/// Keys of the JSON in request headers and events whose value is never the same twice.
const VOLATILE: &[&str] = &[
    "cid",
    "expires",
    "id",
    "rtt",
    "server",
    "service",
    "start",
    "stop",
    "system",
    "timestamp",
    "total",
    "ts",
];

/// What gannet tells of who is not let in, beyond what the oracle does.
const MORE: &str = "why";

/// Those of them that are nothing where a request failed.
const MEASURED: &[&str] = &["service", "system", "total"];

/// A delivery with its volatile JSON replaced and its sizes as if it had come so; anything else as it is. Blanks before the
/// size that a server leaves where a reply subject could be count as one.
pub fn delivery(message: &[u8]) -> Vec<u8> {
    delivery_parts(message).map_or_else(|| message.to_vec(), Parts::replaced)
}

/// The line without the identity of generated reply subjects: what it is sorted by.
pub fn anonymous(line: &str) -> String {
    each_reply(line, |_| format!("{REPLY_PREFIX}?"))
}

/// Numbers the generated reply subjects in the order of their appearance; those that `chosen` knows are the script's own.
pub fn number_replies(text: &str, chosen: impl Fn(&str) -> bool) -> String {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    each_reply(text, |reply| {
        if chosen(reply) {
            return reply.to_owned();
        }
        let next = numbers.len() + 1;
        let number = numbers.entry(reply.to_owned()).or_insert(next);
        format!("{REPLY_PREFIX}{number}")
    })
}

fn each_reply(text: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    let next = |rest: &str| {
        let found = [REPLY_PREFIX, INBOX_PREFIX].map(|prefix| Some((rest.find(prefix)?, prefix)));
        found.into_iter().flatten().min()
    };
    while let Some((at, prefix)) = next(rest) {
        let (before, found) = rest.split_at(at);
        let tail = &found[prefix.len()..];
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let length = tail.find(|c| !inside(c)).unwrap_or(tail.len());
        let (reply, after) = found.split_at(prefix.len() + length);
        out.push_str(before);
        out.push_str(&match length {
            0 => reply.to_owned(),
            _ => replace(reply),
        });
        rest = after;
    }
    out + rest
}

/// A delivery's line without its sizes, its headers and its payload.
struct Parts<'a> {
    line: Vec<&'a [u8]>,
    headers: Option<&'a [u8]>,
    payload: &'a [u8],
}

fn delivery_parts(message: &[u8]) -> Option<Parts<'_>> {
    let end = message.windows(2).position(|w| w == b"\r\n")?;
    let mut line: Vec<&[u8]> = message[..end].split(|b| *b == b' ').collect();
    line.retain(|word| !word.is_empty());
    let body = &message[end + 2..];
    match line[0] {
        b"MSG" => {
            line.pop();
            Some(Parts {
                line,
                headers: None,
                payload: body,
            })
        }
        b"HMSG" => {
            line.pop();
            let size: usize = std::str::from_utf8(line.pop()?).ok()?.parse().ok()?;
            let (headers, payload) = body.split_at_checked(size)?;
            Some(Parts {
                line,
                headers: Some(headers),
                payload,
            })
        }
        _ => None,
    }
}

impl Parts<'_> {
    fn replaced(self) -> Vec<u8> {
        let payload = event(self.payload);
        let mut out = self.line.join(b" ".as_slice());
        let headers = self.headers.map(request_headers);
        let header_len = headers.as_ref().map(|headers| len(headers));
        if let Some(len) = header_len {
            out.extend_from_slice(format!(" {len}").as_bytes());
        }
        let headers = headers.unwrap_or_default();
        let total = header_len.unwrap_or_default() + len(&payload);
        out.extend_from_slice(format!(" {total}\r\n").as_bytes());
        out.extend_from_slice(&headers);
        out.extend_from_slice(&payload);
        out
    }
}

/// How long a text would be if all generated reply subjects in it were equally long.
fn len(bytes: &[u8]) -> usize {
    match memchr::memmem::find(bytes, REPLY_PREFIX.as_bytes()) {
        None => bytes.len(),
        Some(_) => anonymous(&String::from_utf8_lossy(bytes)).len(),
    }
}

fn request_headers(headers: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in headers.split(|b| *b == b'\n') {
        let at = line
            .windows(REQUEST_INFO.len())
            .position(|w| w == REQUEST_INFO);
        let (before, json) = line.split_at(at.map_or(0, |at| at + REQUEST_INFO.len()));
        let json = json.strip_suffix(b"\r").unwrap_or(json);
        lines.push(match at.and_then(|_| object(json)) {
            Some(fields) => [before, &text_of(fields), b"\r"].concat(),
            None => line.to_vec(),
        });
    }
    lines.join(b"\n".as_slice())
}

fn event(payload: &[u8]) -> Vec<u8> {
    match object(payload) {
        Some(mut fields) if is_event(&fields) => {
            fields.shift_remove(MORE);
            text_of(fields)
        }
        _ => own_token(payload).unwrap_or_else(|| payload.to_vec()),
    }
}

/// The claims of a token that the server made.
fn own_token(payload: &[u8]) -> Option<Vec<u8>> {
    let claims = payload.split(|b| *b == b'.').nth(1)?;
    let claims = object(&BASE64URL_NOPAD.decode(claims).ok()?)?;
    let kind = claims.get("nats")?.get("type")?.as_str()?;
    if kind != OWN_TOKEN {
        return None;
    }
    Some(format!("token {}", ordered(Value::Object(claims))).into_bytes())
}

/// The same with its members in the order of their names, and without what is never the same twice.
fn ordered(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    let known = |(key, value): (String, Value)| match value {
        Value::Number(_) if OWN_VOLATILE.contains(&&*key) => (key, "a number".into()),
        Value::String(text)
            if OWN_VOLATILE.contains(&&*key) && !(key == "id" && text.starts_with('N')) =>
        {
            (key, "a text".into())
        }
        value => (key, ordered(value)),
    };
    Value::Object(fields.into_iter().map(known).collect())
}

/// An event says its type; the one of a message's trace and answers of the system account are known by their keys.
fn is_event(fields: &Map<String, Value>) -> bool {
    let kind = fields.get("type").and_then(Value::as_str);
    let trace = ["server", "request", "events"]
        .iter()
        .all(|key| fields.contains_key(*key));
    let has = |key: &str| fields.contains_key(key);
    let answer =
        fields.get("server").is_some_and(Value::is_object) && (has("data") || has("error"));
    trace || answer || kind.is_some_and(|kind| kind.starts_with(EVENT_TYPE))
}

fn object(json: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(json).ok()
}

fn text_of(mut fields: Map<String, Value>) -> Vec<u8> {
    replace(&mut fields);
    Value::Object(fields).to_string().into_bytes()
}

/// Of a server, what the configuration says of it.
fn server_of(server: &mut Map<String, Value>) -> Value {
    server.retain(|key, _| ["tags", "metadata"].contains(&key.as_str()));
    match server.is_empty() {
        true => "an object".into(),
        false => Value::Object(server.clone()),
    }
}

fn replace(fields: &mut Map<String, Value>) {
    let failed = fields.get("status").is_some_and(|status| *status != 200);
    for (key, value) in fields {
        let measured = !failed || !MEASURED.contains(&key.as_str());
        let volatile = measured && VOLATILE.contains(&key.as_str());
        match value {
            Value::Object(server) if key == "server" => *value = server_of(server),
            Value::Object(inner) => replace(inner),
            Value::Array(items) => {
                items
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(replace);
                sort_deliveries(items);
            }
            Value::Number(_) if volatile => *value = "a number".into(),
            Value::String(text) if volatile => *value = kind_of(text).into(),
            _ => {}
        }
    }
}

/// In which order a trace names those that a message reached is open: consecutive ones are sorted.
fn sort_deliveries(items: &mut [Value]) {
    let kind = |item: &Value| item.get("type").and_then(Value::as_str).map(str::to_owned);
    let delivered = |item: &Value| matches!(kind(item).as_deref(), Some("eg" | "se"));
    for run in items.chunk_by_mut(|a, b| delivered(a) && delivered(b)) {
        run.sort_by_key(Value::to_string);
    }
}

fn kind_of(text: &str) -> &'static str {
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => "a time",
        Err(_) => "a text",
    }
}

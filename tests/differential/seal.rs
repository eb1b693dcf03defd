//! What is encrypted between servers and callout services: opens requests, seals answers. Owns both; knows no connection.

use nkeys::XKey;

use crate::keys::curve;

/// The header that says whose key a request is sealed with.
const SENDER: &[u8] = b"Nats-Server-Xkey: ";

/// What is sealed begins so.
const VERSION: &[u8] = b"xkv1";

/// A delivery whose payload was sealed for this key, with the payload opened; `None` for any other.
pub fn opened(delivery: &[u8], key: &XKey) -> Option<Vec<u8>> {
    let sender = XKey::from_public_key(&sender(delivery)?).ok()?;
    let (line, headers, payload) = parts(delivery)?;
    let payload = key.open(payload, &sender).ok()?;
    let mut words: Vec<&str> = line.split(' ').collect();
    let total = (headers.len() + payload.len()).to_string();
    *words.last_mut()? = &total;
    Some([words.join(" ").as_bytes(), b"\r\n", headers, &payload].concat())
}

/// Whose key a delivery says that it is sealed with.
pub fn sender(delivery: &[u8]) -> Option<String> {
    let (_, headers, _) = parts(delivery)?;
    let line = headers
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(SENDER))?;
    Some(String::from_utf8_lossy(line).trim_end().to_owned())
}

/// What stands before the sizes and the payload of a delivery that is sealed, for whomever.
pub fn head_of_sealed(delivery: &[u8]) -> Option<&[u8]> {
    let end = delivery.windows(2).position(|pair| pair == b"\r\n")?;
    let sizes = match delivery.get(..4)? {
        b"MSG " => 1,
        b"HMSG" => 2,
        _ => return None,
    };
    delivery.windows(VERSION.len()).find(|at| *at == VERSION)?;
    delivery[..end]
        .rsplitn(sizes + 1, |byte| *byte == b' ')
        .last()
}

/// A text sealed with the key of a name.
pub fn seal(text: &[u8], by: &str, recipient: &str) -> Result<Vec<u8>, String> {
    let recipient = XKey::from_public_key(recipient).map_err(|e| e.to_string())?;
    curve(by).seal(text, &recipient).map_err(|e| e.to_string())
}

/// Line, headers and payload of a delivery with headers.
fn parts(delivery: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let end = delivery.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&delivery[..end]).ok()?;
    if !line.starts_with("HMSG ") {
        return None;
    }
    let size: usize = line.rsplit(' ').nth(1)?.parse().ok()?;
    let (headers, payload) = delivery[end + 2..].split_at_checked(size)?;
    Some((line, headers, payload))
}

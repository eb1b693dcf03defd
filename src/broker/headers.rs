//! Blocks of headers as some features need them: as maps, and with lines taken out or put in. Owns nothing; what only
//! passes through the broker is never looked into.

use std::collections::BTreeMap;

/// Values by name.
pub(super) type Headers = BTreeMap<String, Vec<String>>;

/// What every block begins with.
pub(super) const VERSION: &[u8] = b"NATS/1.0\r\n";

/// The lines of a block, each as name and value without the blanks around; those without either are left out.
pub(super) fn lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = block.strip_prefix(VERSION).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let name_len = memchr::memchr(b':', rest)?;
            let (name, behind) = rest.split_at(name_len);
            let end = memchr::memmem::find(behind, b"\r\n")?;
            rest = &behind[end + 2..];
            let value = trimmed(&behind[1..end]);
            if !name.is_empty() && !value.is_empty() {
                return Some((name, value));
            }
        }
    })
}

/// All headers of a block, names as they are written.
pub(super) fn written(block: &[u8]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines(block) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        headers.entry(text(name)).or_default().push(text(value));
    }
    headers
}

/// All headers of a block as mail has them: names in canonical form (`x-b3-sampled` is `X-B3-Sampled`), lines that begin
/// with a blank belong to the one before. None at all, if one line is none.
pub(super) fn canonical(block: &[u8]) -> Headers {
    mail_lines(block).unwrap_or_default()
}

fn mail_lines(block: &[u8]) -> Option<Headers> {
    let mut headers = Headers::new();
    let mut last: Option<String> = None;
    for line in block.split_inclusive(|byte| *byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\n")?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Some(headers);
        }
        let text = |bytes| String::from_utf8_lossy(trimmed(bytes)).into_owned();
        if matches!(line[0], b' ' | b'\t') {
            let value = headers.get_mut(&last.clone()?)?.last_mut()?;
            value.push(' ');
            value.push_str(&text(line));
            continue;
        }
        let (name, behind) = line.split_at(memchr::memchr(b':', line)?);
        let is_value = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
        if name.is_empty() || !name.iter().all(is_name_byte) || !behind.iter().all(is_value) {
            return None;
        }
        let name = canonical_name(name);
        let values = headers.entry(name.clone()).or_default();
        values.push(text(&behind[1..]));
        last = Some(name);
    }
    None
}

/// A blank may be in a name, which is no usual one then.
fn is_name_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~ ".contains(byte)
}

fn canonical_name(name: &[u8]) -> String {
    let as_it_is = name.contains(&b' ');
    let mut start = true;
    let letters = name.iter().map(|byte| {
        let letter = match (as_it_is, start) {
            (true, _) => *byte,
            (false, true) => byte.to_ascii_uppercase(),
            (false, false) => byte.to_ascii_lowercase(),
        };
        start = *byte == b'-';
        char::from(letter)
    });
    letters.collect()
}

/// Puts the lines of a block up to the empty one that ends it, without those that begin so. A block of nothing gets its
/// first line.
pub(super) fn without(block: &[u8], beginnings: &[&[u8]], into: &mut Vec<u8>) {
    if block.len() < 2 {
        return into.extend_from_slice(VERSION);
    }
    for line in block[..block.len() - 2].split_inclusive(|byte| *byte == b'\n') {
        if !beginnings
            .iter()
            .any(|beginning| line.starts_with(beginning))
        {
            into.extend_from_slice(line);
        }
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte));
    let end = value.iter().rposition(|byte| !is_blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &value[start..=end],
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const BLOCK: &[u8] = b"NATS/1.0\r\nA-b:  c \r\nEmpty:\r\na-B: d\r\nNo colon\r\nx: 1\r\n\r\n";

    #[test]
    fn maps() {
        expect![[r#"{"A-b": ["c"], "No colon\r\nx": ["1"], "a-B": ["d"]}"#]]
            .assert_eq(&format!("{:?}", written(BLOCK)));
        assert!(canonical(BLOCK).is_empty(), "a line has no colon");
        let mail =
            b"NATS/1.0 1\r\nA-b:  c \r\nEmpty:\r\na-B: d\r\n\te \r\nx y: 1\r\n\r\nf: g\r\n\r\n";
        expect![[r#"{"A-B": ["c", "d e"], "Empty": [""], "x y": ["1"]}"#]]
            .assert_eq(&format!("{:?}", canonical(mail)));
        for none in [
            "A: b\r\nc(: d\r\n\r\n",
            "A: b\r\nc: \x01\r\n\r\n",
            " A: b\r\n\r\n",
            ": b\r\n\r\n",
            "A: b\r\n",
        ] {
            let block = format!("NATS/1.0\r\n{none}");
            assert!(canonical(block.as_bytes()).is_empty(), "{none:?}");
        }
        assert!(written(b"NATS/1.0 503\r\nA: b\r\n\r\n").is_empty());
        assert!(
            written(b"NATS/1.0\r\nA: b").is_empty(),
            "the line has no end"
        );
    }

    #[test]
    fn lines_go() {
        let without = |block, beginnings: &[&[u8]]| {
            let mut kept = Vec::new();
            without(block, beginnings, &mut kept);
            kept
        };
        let kept = without(BLOCK, &[b"a-B:", b"Empty"]);
        expect!["NATS/1.0\r\nA-b:  c \r\nNo colon\r\nx: 1\r\n"]
            .assert_eq(&String::from_utf8(kept).expect("text"));
        assert_eq!(without(b"", &[]), VERSION);
        assert_eq!(without(b"abcd", &[]), b"ab");
    }
}

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

/// All headers of a block, names in canonical form: `x-b3-sampled` is `X-B3-Sampled`.
pub(super) fn canonical(block: &[u8]) -> Headers {
    let mut headers = Headers::new();
    for (name, values) in written(block) {
        let mut start = true;
        let name = name.chars().map(|c| {
            let c = if start {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            start = c == '-';
            c
        });
        headers.entry(name.collect()).or_default().extend(values);
    }
    headers
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
        expect![[r#"{"A-B": ["c", "d"], "No colon\r\nx": ["1"]}"#]]
            .assert_eq(&format!("{:?}", canonical(BLOCK)));
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

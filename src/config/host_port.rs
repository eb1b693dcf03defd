//! Owns the splitting of `host:port`. Never resolves a name.

/// Host and port of `host:port` or `[host]:port`, neither checked further. `None` without a port, or
/// with brackets or colons in the wrong place.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let bracket = |text: &str| text.contains(['[', ']']);
    (!bracket(host) && !bracket(port)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits() {
        for (text, expected) in [
            ("a:1", Some(("a", "1"))),
            (":1", Some(("", "1"))),
            ("a:", Some(("a", ""))),
            ("[::1]:1", Some(("::1", "1"))),
            ("[a]:1", Some(("a", "1"))),
            ("::1:1", None),
            ("::1", None),
            ("a", None),
            ("[::1]", None),
            ("[::1]x:1", None),
            ("[[a]:1", None),
            ("a:1]", None),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}

//! Marks in scripts: `$word(argument)`. Owns finding and replacing them; knows none.

/// What a mark stands for; `None` for a word that is none, which stays as it is.
pub type Answer = Result<Option<Vec<u8>>, String>;

/// Puts in what each mark stands for.
pub fn expand(bytes: &[u8], of: &mut dyn FnMut(&str, &str) -> Answer) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let known = match mark(rest) {
            Some((word, argument, length)) => {
                let answer = of(word, argument).map_err(|e| format!("${word}({argument}): {e}"))?;
                answer.map(|text| (text, length))
            }
            None => None,
        };
        let (text, length) = known.unwrap_or((b"$".to_vec(), 1));
        out.extend_from_slice(&text);
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// Word, argument and length of the mark that stands here.
fn mark(text: &[u8]) -> Option<(&str, &str, usize)> {
    let word = text[1..]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let open = 1 + word;
    if word == 0 || text.get(open) != Some(&b'(') {
        return None;
    }
    let length = text[open..].iter().position(|b| *b == b')')?;
    let argument = std::str::from_utf8(&text[open + 1..open + length]).ok()?;
    let word = std::str::from_utf8(&text[1..open]).ok()?;
    Some((word, argument, open + length + 1))
}

//! The one notation for bytes in scripts and transcripts. Owns escaping both ways; knows nothing of the protocol.

/// Runs of one byte at least this long are written `\*N(byte)` in transcripts.
const RUN_MIN: usize = 24;

/// Reads the notation: `\r \n \t \0 \\ \| \xNN` and `\*N(text)`, which is text N times.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (bytes, after) = one_escape(&rest[at + 1..])?;
        out.extend_from_slice(&bytes);
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Writes the notation, on one line.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let run = bytes[at..].iter().take_while(|b| **b == byte).count();
        if run >= RUN_MIN {
            out.push_str(&format!("\\*{run}({})", escape_byte(byte)));
            at += run;
        } else {
            out.push_str(&escape_byte(byte));
            at += 1;
        }
    }
    out
}

/// Splits at every `|` that is not escaped; the pieces are still in the notation.
pub fn split_pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let piece = pieces.last_mut().expect("never empty");
        match c {
            '\\' => piece.extend(std::iter::once(c).chain(chars.next())),
            '|' => pieces.push(String::new()),
            _ => piece.push(c),
        }
    }
    pieces
}

fn one_escape(text: &str) -> Result<(Vec<u8>, &str), String> {
    let kind = text
        .chars()
        .next()
        .ok_or("a backslash at the end of the line")?;
    let after = &text[kind.len_utf8()..];
    let byte = match kind {
        'r' => b'\r',
        'n' => b'\n',
        't' => b'\t',
        '0' => 0,
        '\\' | '|' => kind as u8,
        'x' => {
            let digits = after.get(..2).ok_or("\\x wants two hexadecimal digits")?;
            let byte = u8::from_str_radix(digits, 16).map_err(|e| format!("\\x{digits}: {e}"))?;
            return Ok((vec![byte], &after[2..]));
        }
        '*' => return repetition(after),
        other => return Err(format!("unknown escape \\{other}")),
    };
    Ok((vec![byte], after))
}

fn repetition(text: &str) -> Result<(Vec<u8>, &str), String> {
    let wrong = || format!("\\*{text}: a repetition is written \\*N(text)");
    let (count, rest) = text.split_once('(').ok_or_else(wrong)?;
    let (inner, after) = rest.split_once(')').ok_or_else(wrong)?;
    let count: usize = count.parse().map_err(|_| wrong())?;
    Ok((unescape(inner)?.repeat(count), after))
}

fn escape_byte(byte: u8) -> String {
    match byte {
        b'\r' => "\\r".into(),
        b'\n' => "\\n".into(),
        b'\t' => "\\t".into(),
        b'\\' => "\\\\".into(),
        0x20..=0x7e => char::from(byte).into(),
        _ => format!("\\x{byte:02x}"),
    }
}

//! The bytes of one client: what it says, and what it reads. Owns no opinion on what must come.

use super::naive::Seen;

/// A client's end of its connection.
#[derive(Debug)]
pub struct Client {
    at: usize,
    /// Said and not yet sent.
    pub out: Vec<u8>,
    input: Vec<u8>,
    /// PONGs so far.
    pub pongs: usize,
    /// What came, not yet looked at, with the number of its message; 503s and empty ones have none.
    pub seen: Vec<(Option<usize>, Seen)>,
    trace: bool,
}

/// A message as it came.
struct Body<'a> {
    headers: &'a str,
    payload: &'a [u8],
}

/// Our own header.
pub const HEADER: &str = "NATS/1.0\r\nX-Model: yes\r\n\r\n";

impl Client {
    /// Client `at`, which has said nothing yet.
    pub fn new(at: usize, trace: bool) -> Self {
        Client {
            at,
            out: Vec::new(),
            input: Vec::new(),
            pongs: 0,
            seen: Vec::new(),
            trace,
        }
    }

    /// Says something.
    pub fn say(&mut self, text: &str) {
        if self.trace {
            eprintln!("client {} says   {text:?}", self.at);
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Reads what came.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut used = 0;
        while let Some(len) = self.read_one(&input[used..])? {
            used += len;
        }
        self.input = input[used..].to_vec();
        Ok(())
    }

    fn read_one(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&input[..end]).into_owned();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.first().copied() {
            Some("INFO") => {}
            Some("PING") => self.out.extend_from_slice(b"PONG\r\n"),
            Some("PONG") => self.pongs += 1,
            Some("MSG" | "HMSG") => {
                let rest = &input[end + 2..];
                let total: usize = words[words.len() - 1].parse().map_err(|_| line.clone())?;
                let Some(body) = rest.get(..total) else {
                    return Ok(None);
                };
                if rest.get(total..total + 2) != Some(b"\r\n") {
                    return match rest.len() < total + 2 {
                        true => Ok(None),
                        false => Err(format!("client {}: {line:?} does not end", self.at)),
                    };
                }
                self.read_message(&words, body)?;
                return Ok(Some(end + 2 + total + 2));
            }
            _ => return Err(format!("client {}: the server says {line:?}", self.at)),
        }
        Ok(Some(end + 2))
    }

    fn read_message(&mut self, words: &[&str], body: &[u8]) -> Result<(), String> {
        let bad = || {
            format!(
                "client {}: {words:?} {:?}",
                self.at,
                String::from_utf8_lossy(body)
            )
        };
        if self.trace {
            eprintln!(
                "client {} reads  {words:?} {:?}",
                self.at,
                String::from_utf8_lossy(body)
            );
        }
        let with_headers = words[0] == "HMSG";
        let lens = 1 + usize::from(with_headers);
        let header_len = match with_headers {
            true => words[words.len() - 2].parse().map_err(|_| bad())?,
            false => 0,
        };
        let headers = std::str::from_utf8(&body[..header_len]).map_err(|_| bad())?;
        let body = Body {
            headers,
            payload: &body[header_len..],
        };
        let reply = (words.len() == 4 + lens).then(|| words[3].to_owned());
        let seen = Seen {
            client: self.at,
            sid: words[2].parse().map_err(|_| bad())?,
            subject: words[1].to_owned(),
            reply,
            headers: body.headers.starts_with(&HEADER[..HEADER.len() - 2]),
            asker: body.asker().ok_or_else(bad)?,
            nobody: body.nobody(),
        };
        let number = body.number().ok_or_else(bad)?;
        self.seen.push((number, seen));
        Ok(())
    }
}

impl Body<'_> {
    /// The number of the message: first in its payload. `None` if it cannot be read.
    fn number(&self) -> Option<Option<usize>> {
        if self.payload.is_empty() {
            return Some(None);
        }
        let text = std::str::from_utf8(self.payload).ok()?;
        let (number, filling) = text.split_once(' ')?;
        let number = number.parse().ok()?;
        filling
            .bytes()
            .all(|byte| byte == b'.')
            .then_some(Some(number))
    }

    fn nobody(&self) -> Option<String> {
        let subject = self
            .headers
            .strip_prefix("NATS/1.0 503\r\nNats-Subject: ")?;
        Some(subject.strip_suffix("\r\n\r\n")?.to_owned())
    }

    /// Who asks: said once, in the last line. `None` if it cannot be read.
    fn asker(&self) -> Option<Option<(String, Option<String>)>> {
        const INFO: &str = "Nats-Request-Info: ";
        let lines: Vec<&str> = self
            .headers
            .trim_end_matches("\r\n")
            .split("\r\n")
            .collect();
        let Some(json) = lines.last()?.strip_prefix(INFO) else {
            return (!self.headers.contains(INFO)).then_some(None);
        };
        let json: serde_json::Value = serde_json::from_str(json).ok()?;
        let text = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        let once = self.headers.matches(INFO).count() == 1 && json.get("rtt")?.is_u64();
        once.then_some(Some((text("acc")?, text("svc"))))
    }
}

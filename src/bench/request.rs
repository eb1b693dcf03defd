//! Owns request/reply: one request in flight a connection, timed, and the responder. Never pipelines.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, poll};

use super::conn::{Conn, Target};

/// Longest latency recorded, in nanoseconds; longer ones count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// An empty histogram of nanoseconds with three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("bounds are right")
}

/// Records one latency.
pub fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    histogram.saturating_record(ns.clamp(1, LATENCY_NS_MAX));
}

/// One connection that asks.
#[derive(Debug)]
pub struct Requester {
    conn: Conn,
    frame: Vec<u8>,
    buffer: Vec<u8>,
}

impl Requester {
    /// Connects and subscribes to an inbox of its own, `_INBOX.{unique}`.
    pub fn open(
        target: &Target,
        subject: &str,
        unique: &str,
        payload_bytes: usize,
    ) -> Result<Requester, String> {
        let mut conn = Conn::open(target)?;
        let inbox = format!("_INBOX.{unique}");
        conn.write(format!("SUB {inbox} 1\r\n").as_bytes())?;
        conn.settle()?;
        let mut frame = format!("PUB {subject} {inbox} {payload_bytes}\r\n").into_bytes();
        frame.resize(frame.len() + payload_bytes, b'x');
        frame.extend_from_slice(b"\r\n");
        Ok(Requester {
            conn,
            frame,
            buffer: vec![0; 64 << 10],
        })
    }

    /// From now on waits without sleeping.
    pub fn poll(&mut self) -> Result<(), String> {
        self.conn.poll()
    }

    /// Sends one request.
    #[inline]
    pub fn ask(&mut self) -> Result<(), String> {
        self.conn.write(&self.frame)
    }

    /// Sends so many at once.
    pub fn ask_together(&mut self, requests: u64) -> Result<(), String> {
        self.conn.write(&self.frame.repeat(requests as usize))
    }

    /// Waits for its one reply. A 503 is an error.
    #[inline]
    pub fn hear(&mut self) -> Result<(), String> {
        self.hear_together(1)
    }

    /// Waits for so many replies, those of the requests sent before. A 503 is an error.
    #[inline]
    pub fn hear_together(&mut self, requests: u64) -> Result<(), String> {
        let before = self.conn.skipper.tally();
        let wanted = before.messages + requests;
        self.conn
            .read_until(&mut self.buffer, |tally| tally.messages >= wanted)?;
        let after = self.conn.skipper.tally();
        for _ in before.pings..after.pings {
            self.conn.write(b"PONG\r\n")?;
        }
        match after {
            after if after.with_headers > before.with_headers => {
                Err("no responders: start `gannet bench serve` on the same subject".to_owned())
            }
            after if after.messages > wanted => Err("more than one reply to a request".to_owned()),
            _ => Ok(()),
        }
    }

    /// One blocking read: how many replies came. A 503 is an error.
    pub fn hear_some(&mut self) -> Result<u64, String> {
        let before = self.conn.skipper.tally();
        self.conn.read_once(&mut self.buffer)?;
        let after = self.conn.skipper.tally();
        for _ in before.pings..after.pings {
            self.conn.write(b"PONG\r\n")?;
        }
        match after.with_headers > before.with_headers {
            true => Err("no responders".to_owned()),
            false => Ok(after.messages - before.messages),
        }
    }

    /// Asks and waits; the time between.
    #[inline]
    pub fn round_trip(&mut self) -> Result<Duration, String> {
        let started = Instant::now();
        self.ask()?;
        self.hear()?;
        Ok(started.elapsed())
    }
}

/// One connection that answers whatever asks.
#[derive(Debug)]
pub struct Responder {
    conn: Conn,
    /// Bytes read and not yet taken.
    pending: Vec<u8>,
    replies: Vec<u8>,
    buffer: Vec<u8>,
    payload: Vec<u8>,
}

impl Responder {
    /// Connects and subscribes.
    pub fn open(
        target: &Target,
        subject: &str,
        queue: Option<&str>,
        payload_bytes: usize,
    ) -> Result<Responder, String> {
        let mut conn = Conn::open(target)?;
        let queue = queue.map_or(String::new(), |queue| format!(" {queue}"));
        conn.write(format!("SUB {subject}{queue} 1\r\n").as_bytes())?;
        conn.settle()?;
        conn.stream
            .set_read_timeout(None)
            .map_err(|e| e.to_string())?;
        let payload = vec![b'y'; payload_bytes];
        Ok(Responder {
            conn,
            pending: Vec::new(),
            replies: Vec::new(),
            buffer: vec![0; 64 << 10],
            payload,
        })
    }

    /// From now on waits without sleeping.
    pub fn poll(&mut self) -> Result<(), String> {
        self.conn.poll()
    }

    /// One blocking read, and the replies to all it held: how many there were.
    pub fn answer_some(&mut self) -> Result<u64, String> {
        let before = self.conn.skipper.tally();
        let n = self.conn.read_once(&mut self.buffer)?;
        self.pending.extend_from_slice(&self.buffer[..n]);
        let mut taken = 0;
        let mut answered = 0;
        while let Some((frame, bytes)) = split_frame(&self.pending[taken..]) {
            taken += bytes;
            if let Some(reply) = frame {
                answered += 1;
                self.replies.extend_from_slice(b"PUB ");
                self.replies.extend_from_slice(reply.as_bytes());
                self.replies
                    .extend_from_slice(format!(" {}\r\n", self.payload.len()).as_bytes());
                self.replies.extend_from_slice(&self.payload);
                self.replies.extend_from_slice(b"\r\n");
            }
        }
        self.pending.drain(..taken);
        for _ in before.pings..self.conn.skipper.tally().pings {
            self.replies.extend_from_slice(b"PONG\r\n");
        }
        self.conn.write(&self.replies)?;
        self.replies.clear();
        Ok(answered)
    }
}

/// Keeps so many requests in flight between the two until `end`, one thread for both: replies and requests go as they
/// come. How many were answered, all that were asked.
pub fn keep_in_flight(
    requester: &mut Requester,
    responder: &mut Responder,
    requests: u64,
    end: Instant,
) -> Result<u64, String> {
    let (mut asked, mut heard) = (requests, 0);
    requester.ask_together(requests)?;
    while heard < asked {
        let (asks, answers) = {
            let mut both = [
                PollFd::new(&requester.conn.stream, PollFlags::IN),
                PollFd::new(&responder.conn.stream, PollFlags::IN),
            ];
            poll(&mut both, None).map_err(|e| e.to_string())?;
            both.map(|one| !one.revents().is_empty()).into()
        };
        if answers {
            responder.answer_some()?;
        }
        if asks {
            let more = requester.hear_some()?;
            heard += more;
            if Instant::now() < end && more > 0 {
                requester.ask_together(more)?;
                asked += more;
            }
        }
    }
    Ok(heard)
}

/// The first whole frame: the reply subject if it is a request, and its length in bytes.
fn split_frame(bytes: &[u8]) -> Option<(Option<String>, usize)> {
    let line_end = memchr::memchr(b'\n', bytes)? + 1;
    let line = String::from_utf8_lossy(&bytes[..line_end]);
    let words: Vec<&str> = line.split_whitespace().collect();
    let words_without_reply = match words.first() {
        Some(&"MSG") => 4,
        Some(&"HMSG") => 5,
        _ => return Some((None, line_end)),
    };
    let payload_bytes: usize = words.last()?.parse().ok()?;
    let whole = line_end + payload_bytes + 2;
    let reply = (words.len() > words_without_reply).then(|| words[3].to_owned());
    (bytes.len() >= whole).then_some((reply, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Option<(Option<&str>, usize)>) {
        let found = split_frame(bytes);
        assert_eq!(
            found.as_ref().map(|(reply, n)| (reply.as_deref(), *n)),
            expected
        );
    }

    #[test]
    fn frames_are_split() {
        check(
            b"MSG a 1 _INBOX.x 2\r\nhi\r\nMSG",
            Some((Some("_INBOX.x"), 24)),
        );
        check(b"MSG a 1 2\r\nhi\r\n", Some((None, 15)));
        check(
            b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            Some((Some("r"), 34)),
        );
        check(
            b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
            Some((None, 32)),
        );
        check(b"PING\r\nMSG", Some((None, 6)));
        check(b"MSG a 1 _INBOX.x 2\r\nhi\r", None);
        check(b"MSG a 1", None);
    }
}

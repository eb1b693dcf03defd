//! The control side's own connections: it speaks to accounts like a client, over a socket pair whose other end a shard
//! serves. Owns the socket and its reading thread; knows no subject.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::shard::ToShard;

use super::workers::ShardLine;

/// Before a lost connection is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(10);

/// A message that came over a bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// Where an answer goes; empty if nowhere.
    pub reply: String,
    /// Its headers, with the version line; empty without.
    pub headers: Vec<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A connection of the broker itself to one of its accounts. It may do everything there, is no client, and counts for
/// no limit. Ends with the shards.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    account: Arc<str>,
    line: ShardLine,
    subjects: Mutex<Vec<String>>,
    writer: Mutex<Option<UnixStream>>,
}

impl Bus {
    /// Opens one to `account`, which must exist, subscribed to `subjects`. `on_message` runs on the bus's own thread.
    ///
    /// # Errors
    /// No socket pair or no thread is to be had.
    pub fn open(
        line: ShardLine,
        account: &str,
        subjects: Vec<String>,
        on_message: impl Fn(Message) + Send + 'static,
    ) -> io::Result<Bus> {
        let shared = Arc::new(Shared {
            account: account.into(),
            line,
            subjects: Mutex::new(subjects),
            writer: Mutex::new(None),
        });
        let bus = Bus {
            shared: shared.clone(),
        };
        let first = shared.connect()?;
        let (ready, is_ready) = mpsc::channel();
        thread::Builder::new()
            .name("bus".into())
            .spawn(move || shared.read_on(first, ready, &on_message))?;
        // Its subscriptions are known to every shard when the answer to PING has come.
        is_ready
            .recv()
            .map_err(|_| io::ErrorKind::ConnectionAborted)?;
        Ok(bus)
    }

    /// Subscribes to other subjects instead, if they are others.
    pub fn resubscribe(&self, subjects: Vec<String>) {
        let before = std::mem::replace(&mut *lock(&self.shared.subjects), subjects.clone());
        if before == subjects {
            return;
        }
        let mut lines: String = (1..=before.len())
            .map(|sid| format!("UNSUB {sid}\r\n"))
            .collect();
        lines += &subscribe(&subjects);
        self.shared.write(lines.as_bytes());
    }

    /// Publishes. A message that cannot be written is lost, as those to a broker that stops are.
    pub fn publish(&self, subject: &str, reply: &str, headers: &[u8], payload: &[u8]) {
        let (space, total) = (" ", headers.len() + payload.len());
        let gap = if reply.is_empty() { "" } else { space };
        let head = match headers.len() {
            0 => format!("PUB {subject}{gap}{reply} {total}\r\n"),
            len => format!("HPUB {subject}{gap}{reply} {len} {total}\r\n"),
        };
        self.shared
            .write(&[head.as_bytes(), headers, payload, b"\r\n"].concat());
    }
}

/// The lines that subscribe, numbered from 1.
fn subscribe(subjects: &[String]) -> String {
    let numbered = (1..).zip(subjects);
    numbered
        .map(|(sid, subject)| format!("SUB {subject} {sid}\r\n"))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with the lock")
}

impl Shared {
    /// A fresh socket pair, one end given to the shard.
    fn connect(&self) -> io::Result<UnixStream> {
        let (own, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let writer = own.try_clone()?;
        let mut hello: Vec<u8> = Vec::new();
        hello.extend_from_slice(subscribe(&lock(&self.subjects)).as_bytes());
        hello.extend_from_slice(b"PING\r\n");
        (&writer).write_all(&hello)?;
        *lock(&self.writer) = Some(writer);
        let served = self.line.tell(ToShard::Internal {
            socket: theirs.into(),
            account: self.account.clone(),
        });
        match served {
            true => Ok(own),
            false => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn write(&self, bytes: &[u8]) {
        if let Some(writer) = &mut *lock(&self.writer)
            && let Err(error) = writer.write_all(bytes)
        {
            log::debug!("internal connection to {:?}: {error}", self.account);
        }
    }

    fn read_on(&self, first: UnixStream, ready: Sender<()>, on_message: &impl Fn(Message)) {
        let mut socket = first;
        loop {
            if let Err(error) = self.read(socket, &ready, on_message) {
                log::debug!("internal connection to {:?}: {error}", self.account);
            }
            thread::sleep(REOPEN_AFTER);
            match self.connect() {
                Ok(again) => socket = again,
                // The shard has ended.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
                Err(error) => {
                    log::error!("internal connection to {:?}: {error}", self.account);
                    return;
                }
            }
        }
    }

    fn read(
        &self,
        socket: UnixStream,
        ready: &Sender<()>,
        on_message: &impl Fn(Message),
    ) -> io::Result<()> {
        let mut input = BufReader::new(socket);
        let mut line = String::new();
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "PING" => self.write(b"PONG\r\n"),
                // Nobody waits for it a second time.
                "PONG" => drop(ready.send(())),
                text if text.starts_with("-ERR") => {
                    log::error!("internal connection to {:?}: {text}", self.account);
                }
                text => {
                    if let Some(head) = Head::parse(text) {
                        on_message(head.message(&mut input)?);
                    }
                }
            }
        }
    }
}

/// The line of a MSG or an HMSG.
struct Head<'a> {
    subject: &'a str,
    reply: &'a str,
    header_len: usize,
    total_len: usize,
}

impl<'a> Head<'a> {
    /// `None` for any other line.
    fn parse(line: &'a str) -> Option<Head<'a>> {
        let words: Vec<&str> = line.split(' ').collect();
        let (subject, reply, lens) = match words[..] {
            ["MSG", subject, _, len] => (subject, "", ["0", len]),
            ["MSG", subject, _, reply, len] => (subject, reply, ["0", len]),
            ["HMSG", subject, _, header, len] => (subject, "", [header, len]),
            ["HMSG", subject, _, reply, header, len] => (subject, reply, [header, len]),
            _ => return None,
        };
        let [header_len, total_len] = lens.map(|len| len.parse().unwrap_or(0));
        Some(Head {
            subject,
            reply,
            header_len,
            total_len,
        })
    }

    fn message(&self, input: &mut impl Read) -> io::Result<Message> {
        let mut body = vec![0; self.total_len + 2];
        input.read_exact(&mut body)?;
        body.truncate(self.total_len);
        let payload = body.split_off(self.header_len.min(self.total_len));
        Ok(Message {
            subject: self.subject.to_owned(),
            reply: self.reply.to_owned(),
            headers: body,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_bodies() {
        let read = |line: &str, mut body: &[u8]| {
            let message = Head::parse(line)?.message(&mut body).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            Some([
                message.subject,
                message.reply,
                text(&message.headers),
                text(&message.payload),
            ])
        };
        let some = |words: [&str; 4]| Some(words.map(str::to_owned));
        assert_eq!(read("MSG a 1 2", b"hi\r\n"), some(["a", "", "", "hi"]));
        assert_eq!(read("MSG a 1 r 0", b"\r\n"), some(["a", "r", "", ""]));
        assert_eq!(
            read("HMSG a 1 3 5", b"abchi\r\n"),
            some(["a", "", "abc", "hi"])
        );
        assert_eq!(
            read("HMSG a 1 r 3 3", b"abc\r\n"),
            some(["a", "r", "abc", ""])
        );
        assert_eq!(read("PONG", b""), None);
    }
}

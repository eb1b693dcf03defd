//! One raw client connection and what it received. Owns the socket and the cutting of bytes into protocol messages;
//! judges nothing and sends nothing by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::keys::curve;
use crate::seal;
use crate::tls::{self, Stream};

/// Upper bound of every wait, only there to turn a hang into a failure.
const WAIT: Duration = Duration::from_secs(30);
const SMALL_RECEIVE_BUFFER_BYTES: usize = 4096;

/// What the next read gave.
pub enum Next {
    /// A whole protocol message, payload included, without its last CRLF.
    Message(Vec<u8>),
    /// The server closed; the bytes are what came after the last whole message.
    Closed(Vec<u8>),
}

/// A connection of a script.
pub struct Connection {
    /// Its name in the script.
    pub name: String,
    /// Everything received and looked at so far.
    pub received: Vec<Vec<u8>>,
    /// The server closed and that has been seen.
    pub closed: bool,
    /// The script is done with it.
    pub dropped: bool,
    socket: Option<Stream>,
    buffer: Vec<u8>,
    sent: PingCount,
    pongs: usize,
}

impl Connection {
    /// Connects to a server on this machine.
    pub fn open(name: &str, port: u16, small: bool) -> Result<Connection, String> {
        let socket = connect(port, small).map_err(|e| format!("{name} cannot connect: {e}"))?;
        let socket = Some(Stream::Plain(socket));
        Ok(Connection {
            name: name.to_owned(),
            received: Vec::new(),
            closed: false,
            dropped: false,
            socket,
            buffer: Vec::new(),
            sent: PingCount::default(),
            pongs: 0,
        })
    }

    /// Goes on in TLS. What came of the handshake is kept as if it had been received.
    pub fn secure(&mut self, options: &tls::Options) -> Result<(), String> {
        let Some(Stream::Plain(socket)) = self.socket.take() else {
            return Err(format!("{} is in TLS already", self.name));
        };
        let shaken = tls::connect(socket, options);
        let (text, stream) = shaken.map_err(|e| format!("{}: {e}", self.name))?;
        self.received.push(text.into_bytes());
        self.closed = stream.is_err();
        self.socket = stream.ok();
        Ok(())
    }

    /// Sends in one write. A connection the server has closed takes everything.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.sent.see(bytes);
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        match socket.write_all(bytes).and_then(|()| socket.flush()) {
            Err(e) if is_timeout(&e) => Err(format!(
                "{} cannot send: the server reads nothing",
                self.name
            )),
            _ => Ok(()),
        }
    }

    /// Sends a PING and reads to its PONG, which is not kept.
    pub fn fence(&mut self) -> Result<(), String> {
        self.send(b"PING\r\n")?;
        let wanted = self.sent.pings.max(self.pongs + 1);
        while self.pongs < wanted && !self.closed {
            self.read_one("a PONG")?;
        }
        if !self.closed {
            self.received.pop();
        }
        Ok(())
    }

    /// Reads one message, or the end, and keeps it.
    pub fn read_one(&mut self, waiting_for: &str) -> Result<(), String> {
        match self.next(waiting_for)? {
            Next::Message(message) => {
                self.pongs += usize::from(message == b"PONG");
                self.received.push(message);
            }
            Next::Closed(rest) => {
                self.closed = true;
                if !rest.is_empty() {
                    self.received
                        .push([b"<cut off> ".as_slice(), &rest].concat());
                }
                self.received.push(b"<closed>".to_vec());
            }
        }
        Ok(())
    }

    /// The reply subject of the delivery that is the `number`th, from 1, of those that have one; waits for it.
    pub fn reply_of(&mut self, number: usize) -> Result<Vec<u8>, String> {
        let request = self.request(number)?;
        Ok(reply_subject(&request).expect("it has one").to_vec())
    }

    /// The payload of the same delivery, opened if it is sealed for this key.
    pub fn request_of(&mut self, number: usize, xkey: Option<&str>) -> Result<Vec<u8>, String> {
        let sealed = self.request(number)?;
        let opened = xkey.and_then(|name| seal::opened(&sealed, &curve(name)));
        let request = opened.unwrap_or(sealed);
        let line = request.split(|b| *b == b'\r').next().unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        let headers = match words[0] {
            b"HMSG" => std::str::from_utf8(words[words.len() - 2]).unwrap_or_default(),
            _ => "0",
        };
        let headers: usize = headers.parse().map_err(|e| format!("{e}"))?;
        Ok(request[line.len() + 2 + headers..].to_vec())
    }

    /// The curve key of the server that sent the same delivery: by its headers, or the INFO that came first.
    pub fn server_key(&mut self, number: usize) -> Result<Option<String>, String> {
        let request = self.request(number)?;
        Ok(seal::sender(&request).or_else(|| self.info("xkey")))
    }

    /// The nonce of the INFO that came first, if it has one.
    pub fn nonce(&self) -> Option<String> {
        self.info("nonce")
    }

    fn info(&self, key: &str) -> Option<String> {
        let info = self.received.first()?.strip_prefix(b"INFO ")?;
        let fields: serde_json::Value = serde_json::from_slice(info).ok()?;
        Some(fields.get(key)?.as_str()?.to_owned())
    }

    fn request(&mut self, number: usize) -> Result<Vec<u8>, String> {
        loop {
            let mut requests = self.received.iter().filter(|m| reply_subject(m).is_some());
            if let Some(request) = requests.nth(number - 1) {
                return Ok(request.clone());
            }
            if self.closed {
                return Err(format!("{} is closed: no reply subject", self.name));
            }
            self.read_one(&format!("delivery {number} with a reply"))?;
        }
    }

    /// Reads to the end and keeps only that.
    pub fn cut(&mut self) -> Result<(), String> {
        while !matches!(self.next("the server to close")?, Next::Closed(_)) {}
        self.closed = true;
        self.received.push(b"<closed>".to_vec());
        Ok(())
    }

    /// Closes the sending half.
    pub fn half_close(&mut self) {
        self.socket.iter_mut().for_each(Stream::half_close);
    }

    /// Closes.
    pub fn close(&mut self) {
        self.dropped = true;
        let socket = self.socket.as_ref().map(Stream::socket);
        let _ = socket.map(|socket| socket.shutdown(Shutdown::Both));
    }

    fn next(&mut self, waiting_for: &str) -> Result<Next, String> {
        loop {
            if let Some(end) = message_end(&self.buffer) {
                let rest = self.buffer.split_off(end);
                let mut message = std::mem::replace(&mut self.buffer, rest);
                message.truncate(end - 2);
                return Ok(Next::Message(message));
            }
            let mut chunk = [0; 65536];
            let Some(socket) = &mut self.socket else {
                return Ok(Next::Closed(Vec::new()));
            };
            match socket.read(&mut chunk) {
                Ok(0) => return Ok(Next::Closed(std::mem::take(&mut self.buffer))),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                    return Ok(Next::Closed(std::mem::take(&mut self.buffer)));
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => {
                    return Err(format!(
                        "{} waits for {waiting_for} and nothing comes",
                        self.name
                    ));
                }
                Err(e) => return Err(format!("{} cannot read: {e}", self.name)),
            }
        }
    }
}

/// A round trip through the server on a connection of its own: what was sent elsewhere before has had time to be read.
pub fn round_trip(port: u16) -> Result<(), String> {
    Connection::open("round trip", port, false)?.read_one("INFO")
}

fn connect(port: u16, small: bool) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if small {
        socket.set_recv_buffer_size(SMALL_RECEIVE_BUFFER_BYTES)?;
    }
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.set_write_timeout(Some(WAIT))?;
    Ok(socket)
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The reply subject in a delivery, if there is one.
fn reply_subject(message: &[u8]) -> Option<&[u8]> {
    let line = message.split(|b| *b == b'\r').next()?;
    let words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
    let words: Vec<&[u8]> = words.collect();
    match (words[0], words.len()) {
        (b"MSG", 5) | (b"HMSG", 6) => Some(words[3]),
        _ => None,
    }
}

/// Where the first whole message ends, its CRLF included.
fn message_end(buffer: &[u8]) -> Option<usize> {
    let line_end = buffer.windows(2).position(|w| w == b"\r\n")? + 2;
    let line = &buffer[..line_end - 2];
    if !line.starts_with(b"MSG ") && !line.starts_with(b"HMSG ") {
        return Some(line_end);
    }
    let size = line
        .rsplit(|b| *b == b' ')
        .next()
        .and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok());
    let end = line_end + size.map_or(0, |n| n + 2);
    (buffer.len() >= end).then_some(end)
}

/// Counts the PINGs in a sent stream: lines that begin so.
#[derive(Default)]
struct PingCount {
    pings: usize,
    line_head: Vec<u8>,
}

impl PingCount {
    fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.pings += usize::from(self.line_head.eq_ignore_ascii_case(b"PING"));
                    self.line_head.clear();
                }
                _ if self.line_head.len() < 4 => self.line_head.push(*byte),
                _ => {}
            }
        }
    }
}

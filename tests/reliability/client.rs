//! A plain client over a blocking socket: frames out, frames in. Owns one socket; asserts the protocol, never a test's facts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::server::{Server, WAIT};

/// One frame from the server; PING is answered and not shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// MSG or HMSG.
    Message(Message),
    /// PONG.
    Pong,
    /// The text of -ERR.
    Error(String),
    /// The server has closed the connection.
    End,
}

/// A message as received.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// The subscription.
    pub sid: u64,
    /// Where an answer goes; empty if nowhere.
    pub reply: String,
    /// Headers, if any, and payload.
    pub body: Vec<u8>,
}

impl Message {
    /// The payload as a number in text, as these tests send them; filler behind a space is left out.
    pub fn number(&self) -> u64 {
        let text = std::str::from_utf8(&self.body).expect("text");
        let digits = text.split(' ').next().unwrap_or_default();
        digits.parse().expect("a number")
    }
}

/// A connected client.
pub struct Client {
    reader: BufReader<Socket>,
}

/// Most bytes of one read.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A socket that rests after each read.
struct Socket {
    stream: TcpStream,
    rest: Duration,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if !self.rest.is_zero() {
            std::thread::sleep(self.rest);
        }
        Ok(count)
    }
}

impl Client {
    /// Connects and waits until the server has taken the CONNECT.
    pub fn connect(server: &Server) -> Client {
        let mut client = Client::dial(server);
        client.send(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"echo\":true}\r\n");
        client.barrier();
        client
    }

    /// Likewise, as this user, whose password is `p`.
    pub fn connect_as(server: &Server, user: &str) -> Client {
        let mut client = Client::dial(server);
        client.op(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":{user:?},\"pass\":\"p\"}}"
        ));
        client.barrier();
        client
    }

    /// Connects and reads INFO, no more.
    pub fn dial(server: &Server) -> Client {
        Client::over(dial(server))
    }

    /// Reads INFO from a new socket.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("nodelay");
        let rest = Duration::ZERO;
        let mut client = Client {
            reader: BufReader::with_capacity(READ_BYTES_MAX, Socket { stream, rest }),
        };
        let info = client.line().expect("INFO");
        assert!(info.starts_with("INFO {"), "{info:?}");
        client
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.reader.get_ref().stream
    }

    /// From now on rests after each read of at most 64 KiB.
    pub fn rest_between_reads(&mut self, rest: Duration) {
        self.reader.get_mut().rest = rest;
    }

    /// A second handle on the socket, for a thread that only writes.
    pub fn writer(&self) -> TcpStream {
        self.stream().try_clone().expect("a second handle")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream().write_all(bytes).expect("the server reads");
    }

    /// Sends the text and a line end.
    pub fn op(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// PING, then the messages that came before the PONG.
    pub fn barrier(&mut self) -> Vec<Message> {
        self.op("PING");
        let mut messages = Vec::new();
        loop {
            match self.frame() {
                Frame::Message(message) => messages.push(message),
                Frame::Pong => return messages,
                other => panic!("{other:?} instead of PONG"),
            }
        }
    }

    /// A request is answered by the server: nobody is there.
    pub fn assert_no_responders(&mut self, subject: &str) {
        self.op(&format!("SUB inbox 9999999\r\nPUB {subject} inbox 0\r\n"));
        let answers = self.barrier();
        self.op("UNSUB 9999999");
        assert_eq!(answers.len(), 1, "{answers:?}");
        let text = String::from_utf8_lossy(&answers[0].body);
        assert!(text.starts_with("NATS/1.0 503\r\n"), "{text:?}");
    }

    /// The next frame, which must be a message.
    pub fn message(&mut self) -> Message {
        match self.frame() {
            Frame::Message(message) => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        loop {
            let Some(line) = self.line() else {
                return Frame::End;
            };
            match line.split(' ').next().unwrap_or_default() {
                "PING" => self.op("PONG"),
                "INFO" => {}
                "PONG" => return Frame::Pong,
                "-ERR" => return Frame::Error(line[5..].to_string()),
                "MSG" | "HMSG" => return Frame::Message(self.body(&line)),
                _ => panic!("unknown frame {line:?}"),
            }
        }
    }

    /// Ends with a reset: what was not sent or read is lost.
    pub fn reset(self) {
        reset(self.reader.into_inner().stream);
    }

    /// Says that nothing more will be sent.
    pub fn shut_down_writing(&self) {
        self.stream().shutdown(Shutdown::Write).expect("connected");
    }

    /// A line without its end; `None` once the connection has ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => None,
            Ok(_) => Some(line.trim_end_matches("\r\n").to_string()),
            Err(e) => panic!("no line: {e}"),
        }
    }

    fn body(&mut self, line: &str) -> Message {
        let words: Vec<&str> = line.split(' ').collect();
        let len: usize = words[words.len() - 1].parse().expect("a size");
        let mut body = vec![0; len + 2];
        self.reader.read_exact(&mut body).expect("a whole message");
        assert_eq!(&body[len..], b"\r\n", "the end of {line:?}");
        body.truncate(len);
        let sizes = if words[0] == "HMSG" { 2 } else { 1 };
        let reply = words[3..words.len() - sizes].first();
        Message {
            subject: words[1].to_string(),
            reply: reply.map_or_else(String::new, ToString::to_string),
            sid: words[2].parse().expect("a sid"),
            body,
        }
    }
}

/// A connected socket, nothing read yet.
pub fn dial(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server accepts");
    stream.set_read_timeout(Some(WAIT)).expect("a bound");
    stream.set_write_timeout(Some(WAIT)).expect("a bound");
    stream
}

/// Closes a socket with a reset.
pub fn reset(stream: TcpStream) {
    let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger.expect("SO_LINGER");
}

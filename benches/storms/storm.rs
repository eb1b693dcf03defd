//! One storm: so many clients, a thread each, log in at once. Owns their connections until the last is in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use rustls::{ClientConnection, StreamOwned};

use crate::material::{Material, Part};
use crate::server::Server;

const STACK_BYTES: usize = 128 << 10;

/// Logs so many clients in. Gives the seconds until the last one was in.
pub fn run(server: &Server, material: &Material, logins: usize) -> Result<f64, String> {
    raise_limit();
    let begin = Barrier::new(logins + 1);
    let end = Barrier::new(logins + 1);
    thread::scope(|scope| {
        let client = || {
            // It is only a wish.
            let _ = nice(19);
            begin.wait();
            let client = Client::open(server.port, material, Part::Storm);
            let at = Instant::now();
            end.wait();
            client.map(|_| at)
        };
        let spawn = |_| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, client).expect("a thread")
        };
        let clients: Vec<_> = (0..logins).map(spawn).collect();
        begin.wait();
        let start = Instant::now();
        end.wait();
        let ended: Result<Vec<Instant>, String> = clients
            .into_iter()
            .map(|client| client.join().expect("no panic"))
            .collect();
        let last = ended
            .map_err(|e| format!("{e}\n{}", tail(&server.log())))?
            .into_iter()
            .max();
        Ok(last.map_or(0.0, |last| last.duration_since(start).as_secs_f64()))
    })
}

fn tail(log: &str) -> &str {
    let from = log.len().saturating_sub(2000);
    log.get(from..).unwrap_or(log)
}

/// Each client needs a socket here, and one in the server, which inherits the limit.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // With a lower one a large storm fails, and says so.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection that is let in.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects and waits for the PONG that says that it is in.
    pub fn open(port: u16, material: &Material, part: Part) -> Result<Client, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let info = line_of(&stream)?;
        let mut stream: Box<dyn Stream> = match material.tls(part) {
            None => Box::new(stream),
            Some(tls) => {
                let name = "localhost".try_into().map_err(|_| "no name")?;
                let tls = ClientConnection::new(Arc::clone(&tls), name);
                Box::new(StreamOwned::new(tls.map_err(|e| e.to_string())?, stream))
            }
        };
        let connect = material.connect(part, nonce(&info))?;
        let hello = format!("{connect}PING\r\n");
        stream
            .write_all(hello.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|e| e.to_string())?;
        let mut client = Client {
            stream: BufReader::with_capacity(512, stream),
        };
        client.until("PONG")?;
        Ok(client)
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.stream.get_mut().write_all(bytes);
        sent.map_err(|e| e.to_string())
    }

    /// Reads up to a line that begins so. Answers PINGs.
    pub fn until(&mut self, beginning: &str) -> Result<(), String> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stream.read_line(&mut line);
            if read.map_err(|e| e.to_string())? == 0 {
                return Err("the server closed a connection".to_owned());
            }
            match line.trim_end() {
                line if line.starts_with(beginning) => return Ok(()),
                "PING" => self.send(b"PONG\r\n")?,
                line if line.starts_with("-ERR") => return Err(line.to_owned()),
                _ => {}
            }
        }
    }
}

/// One line, and not a byte beyond it.
fn line_of(mut stream: &TcpStream) -> Result<String, String> {
    let mut line = Vec::new();
    let mut bytes = [0; 1024];
    loop {
        let peeked = stream.peek(&mut bytes).map_err(|e| e.to_string())?;
        if peeked == 0 {
            return Err("the server closed a connection".to_owned());
        }
        let end = bytes[..peeked].iter().position(|byte| *byte == b'\n');
        let take = end.map_or(peeked, |end| end + 1);
        stream
            .read_exact(&mut bytes[..take])
            .map_err(|e| e.to_string())?;
        line.extend_from_slice(&bytes[..take]);
        if end.is_some() {
            return String::from_utf8(line).map_err(|e| e.to_string());
        }
    }
}

fn nonce(info: &str) -> &str {
    let after = info.split_once("\"nonce\":\"");
    after.map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default())
}

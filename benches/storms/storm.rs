//! One storm: so many clients log in at once. Owns their connections until the last is in.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::thread;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use rustls::ClientConnection;

use crate::material::{Material, Part};
use crate::server::Server;

/// Threads that the clients share: so many that the server has to do with several at once.
const THREADS: usize = 2;

/// Events taken in one call.
const EVENTS: usize = 256;

/// Logs so many clients in. Gives the seconds until the last one was in.
pub fn run(server: &Server, material: &Material, logins: usize) -> Result<f64, String> {
    raise_limit();
    let start = Instant::now();
    let share = |thread: usize| thread * logins / THREADS..(thread + 1) * logins / THREADS;
    thread::scope(|scope| {
        let start_thread = |thread| {
            scope.spawn(move || {
                // It is only a wish.
                let _ = nice(19);
                log_in(server.port, material, share(thread))
            })
        };
        let threads: Vec<_> = (0..THREADS).map(start_thread).collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        let joined: Result<Vec<_>, String> = joined.collect();
        joined.map_err(|e| format!("{e}\n{}", tail(&server.log())))?;
        Ok(start.elapsed().as_secs_f64())
    })
}

/// Connects the clients of these numbers, each when its time has come, and keeps all of them going until each is in.
fn log_in(port: u16, material: &Material, mut logins: Range<usize>) -> Result<(), String> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
    let start = Instant::now();
    let between = material.between() * THREADS as u32;
    let mut clients = Vec::new();
    let mut waiting = logins.len();
    let mut events = Vec::with_capacity(EVENTS);
    while waiting > 0 {
        let mut patience = None;
        while !logins.is_empty() {
            let due = between * clients.len() as u32;
            let left = due.saturating_sub(start.elapsed());
            if !left.is_zero() {
                patience = Some(left);
                break;
            }
            let number = logins.next().expect("not empty");
            let client = Attempt::new(port, number)?;
            let data = epoll::EventData::new_u64(clients.len() as u64);
            epoll::add(&epoll, &client.stream, data, epoll::EventFlags::IN)
                .map_err(|e| e.to_string())?;
            clients.push(client);
        }
        let patience = patience.map(|left| Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        });
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), patience.as_ref())
            .map_err(|e| e.to_string())?;
        for event in &events {
            let client = &mut clients[event.data.u64() as usize];
            waiting -= usize::from(client.go_on(material)?);
        }
    }
    Ok(())
}

/// A client that is not in yet.
struct Attempt {
    number: usize,
    stream: TcpStream,
    tls: Option<ClientConnection>,
    heard: Vec<u8>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    /// INFO has not come.
    Silent,
    /// CONNECT and PING have been said.
    Said,
    /// PONG has come.
    In,
}

impl Attempt {
    fn new(port: u16, number: usize) -> Result<Attempt, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_nonblocking(true))
            .map_err(|e| e.to_string())?;
        Ok(Attempt {
            number,
            stream,
            tls: None,
            heard: Vec::new(),
            state: State::Silent,
        })
    }

    /// Takes what has come. True if that lets it in.
    fn go_on(&mut self, material: &Material) -> Result<bool, String> {
        self.read()?;
        if self.state == State::Silent && self.heard.ends_with(b"\n") {
            let info = String::from_utf8_lossy(&self.heard).into_owned();
            self.heard.clear();
            let part = Part::Storm(self.number);
            self.tls = tls(material, part)?;
            let connect = material.connect(part, nonce(&info))?;
            self.write(format!("{connect}PING\r\n").as_bytes())?;
            self.state = State::Said;
        }
        let mut is_in = false;
        while let Some(line) = self.line() {
            match line.as_str() {
                "PING" => self.write(b"PONG\r\n")?,
                "PONG" if self.state == State::Said => {
                    self.state = State::In;
                    is_in = true;
                }
                line if line.starts_with("-ERR") => return Err(line.to_owned()),
                _ => {}
            }
        }
        Ok(is_in)
    }

    /// The next whole line behind INFO.
    fn line(&mut self) -> Option<String> {
        let end = self.heard.iter().position(|byte| *byte == b'\n');
        let end = end.filter(|_| self.state != State::Silent)?;
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn read(&mut self) -> Result<(), String> {
        let mut bytes = [0; 4096];
        let mut take = |stream: &mut TcpStream| match stream.read(&mut bytes) {
            Ok(0) => Err("the server closed a connection".to_owned()),
            Ok(n) => Ok(Some(bytes[..n].to_vec())),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e.to_string()),
        };
        let Some(heard) = take(&mut self.stream)? else {
            return Ok(());
        };
        let Some(tls) = &mut self.tls else {
            self.heard.extend_from_slice(&heard);
            return Ok(());
        };
        let mut heard = &heard[..];
        while !heard.is_empty() {
            tls.read_tls(&mut heard).map_err(|e| e.to_string())?;
            tls.process_new_packets().map_err(|e| e.to_string())?;
        }
        match tls.reader().read_to_end(&mut self.heard) {
            Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e.to_string()),
            _ => {}
        }
        self.write(b"")
    }

    /// What a client says fits into its socket.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(tls) => tls.writer().write_all(bytes).and_then(|()| {
                while tls.wants_write() {
                    tls.write_tls(&mut self.stream)?;
                }
                Ok(())
            }),
        };
        written.map_err(|e| e.to_string())
    }
}

fn tls(material: &Material, part: Part) -> Result<Option<ClientConnection>, String> {
    let Some(config) = material.tls(part) else {
        return Ok(None);
    };
    let name = "localhost".try_into().map_err(|_| "no name")?;
    let connection = ClientConnection::new(config, name).map_err(|e| e.to_string())?;
    Ok(Some(connection))
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

/// A connection that is let in, in plain text; its socket blocks.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and waits for the PONG that says that it is in.
    pub fn open(port: u16, material: &Material, part: Part) -> Result<Client, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut client = Client {
            stream: BufReader::new(stream),
        };
        let mut info = String::new();
        let read = client.stream.read_line(&mut info);
        read.map_err(|e| e.to_string())?;
        let connect = material.connect(part, nonce(&info))?;
        client.send(format!("{connect}PING\r\n").as_bytes())?;
        client.until("PONG")?;
        Ok(client)
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.stream.get_mut().write_all(bytes);
        sent.map_err(|e| e.to_string())
    }

    /// Another way to send.
    pub fn writer(&self) -> Result<TcpStream, String> {
        self.stream.get_ref().try_clone().map_err(|e| e.to_string())
    }

    /// Reads a line.
    pub fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err("the server closed a connection".to_owned()),
            Ok(_) => Ok(line),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Reads the payload behind a line.
    pub fn payload(&mut self, len: usize) -> Result<Vec<u8>, String> {
        let mut payload = vec![0; len + 2];
        let read = self.stream.read_exact(&mut payload);
        read.map_err(|e| e.to_string())?;
        payload.truncate(len);
        Ok(payload)
    }

    /// Reads up to a line that begins so. Answers PINGs.
    pub fn until(&mut self, beginning: &str) -> Result<(), String> {
        loop {
            match self.line()?.trim_end() {
                line if line.starts_with(beginning) => return Ok(()),
                "PING" => self.send(b"PONG\r\n")?,
                line if line.starts_with("-ERR") => return Err(line.to_owned()),
                _ => {}
            }
        }
    }
}

fn nonce(info: &str) -> &str {
    let after = info.split_once("\"nonce\":\"");
    after.map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default())
}

//! Owns one client connection of the generator: dialling, the handshake, blocking reads and writes.
//! Never interprets messages beyond counting them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::skipper::{Skipper, Tally};

/// How long a server may take to answer before it is given up.
pub const ANSWER_SECONDS_MAX: u64 = 30;

/// How often a polling read asks before it gives the server up: for about [`ANSWER_SECONDS_MAX`] at 0.3 µs each.
const POLLS_MAX: u64 = ANSWER_SECONDS_MAX * 3_000_000;

/// A server and who we are to it.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `host:port`.
    pub server: String,
    /// User name, if any.
    pub user: Option<String>,
    /// Password, if any.
    pub password: Option<String>,
    /// Authorization token, if any.
    pub token: Option<String>,
}

/// A connection whose handshake is done. Its socket blocks until [`Conn::unblock`].
#[derive(Debug)]
pub struct Conn {
    /// The socket.
    pub stream: TcpStream,
    /// Everything the server sent has passed through it.
    pub skipper: Skipper,
    /// Reads ask again and again instead of sleeping.
    polls: bool,
}

impl Conn {
    /// Dials, says CONNECT and waits for the PONG that says the server took it.
    pub fn open(target: &Target) -> Result<Conn, String> {
        let stream =
            TcpStream::connect(&target.server).map_err(|e| format!("{}: {e}", target.server))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream
            .set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))
            .map_err(|e| e.to_string())?;
        let mut conn = Conn {
            stream,
            skipper: Skipper::default(),
            polls: false,
        };
        let info = conn.read_info()?;
        if info
            .get("tls_required")
            .and_then(serde_json::Value::as_bool)
            == Some(true)
        {
            return Err(format!(
                "{} requires TLS, which the generator does not speak",
                target.server
            ));
        }
        conn.write(connect_line(target).as_bytes())?;
        conn.settle()?;
        Ok(conn)
    }

    /// Sends PING and waits for its PONG: everything written before has been taken by the server.
    pub fn settle(&mut self) -> Result<(), String> {
        self.write(b"PING\r\n")?;
        let wanted = self.skipper.tally().pongs + 1;
        let mut buffer = [0; 4096];
        self.read_until(&mut buffer, |tally| tally.pongs >= wanted)
    }

    /// Writes all of `bytes`, blocking.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(bytes)
            .map_err(|e| format!("writing to the server: {e}"))
    }

    /// Reads, blocking, until `enough` of what has been seen.
    #[inline]
    pub fn read_until(
        &mut self,
        buffer: &mut [u8],
        enough: impl Fn(Tally) -> bool,
    ) -> Result<(), String> {
        while !enough(self.skipper.tally()) {
            self.read_once(buffer)?;
        }
        Ok(())
    }

    /// One blocking read, counted. The end of the stream is an error: the server cut us off.
    #[inline]
    pub fn read_once(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        let mut patience = POLLS_MAX;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the server closed a connection".to_owned()),
                Ok(n) => {
                    self.skipper
                        .feed(&buffer[..n])
                        .map_err(|fault| fault.to_string())?;
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock && self.polls && patience > 0 => {
                    patience -= 1;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Err(format!(
                        "no answer from the server in {ANSWER_SECONDS_MAX} s"
                    ));
                }
                Err(e) => return Err(format!("reading from the server: {e}")),
            }
        }
    }

    /// From now on reads ask again and again instead of sleeping, as clients do for which a wake-up takes too long.
    pub fn poll(&mut self) -> Result<(), String> {
        self.polls = true;
        self.unblock()
    }

    /// Makes the socket non-blocking, for the epoll loop.
    pub fn unblock(&self) -> Result<(), String> {
        self.stream.set_nonblocking(true).map_err(|e| e.to_string())
    }

    fn read_info(&mut self) -> Result<serde_json::Value, String> {
        let mut line = Vec::new();
        let mut buffer = [0; 4096];
        while !line.ends_with(b"\n") {
            let n = self.read_once(&mut buffer)?;
            line.extend_from_slice(&buffer[..n]);
        }
        let text = String::from_utf8_lossy(&line);
        let body = text
            .strip_prefix("INFO ")
            .ok_or_else(|| format!("no NATS server: it said {}", text.trim()))?;
        serde_json::from_str(body).map_err(|e| format!("INFO of the server: {e}"))
    }
}

/// Waits until something accepts at `target` and speaks the protocol, or `seconds_max` are over.
pub fn wait_ready(target: &Target, seconds_max: u64) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(seconds_max);
    loop {
        match Conn::open(target) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn connect_line(target: &Target) -> String {
    let mut connect = serde_json::json!({
        "verbose": false, "pedantic": false, "tls_required": false, "echo": true,
        "name": "gannet bench", "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
        "protocol": 1, "headers": true, "no_responders": true,
    });
    let credentials = [
        ("user", &target.user),
        ("pass", &target.password),
        ("auth_token", &target.token),
    ];
    for (key, value) in credentials {
        if let Some(value) = value {
            connect[key] = value.clone().into();
        }
    }
    format!("CONNECT {connect}\r\n")
}

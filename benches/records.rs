//! What records of TLS cost: CPU of a server for each message that a client publishes and another one receives, both over
//! TLS 1.3, by size of message, several servers in turns. Owns the load and the table.
//!
//! `cargo bench --bench records -- [--pairs N] [--seconds S] [--with PATH]…`; this build's gannet, and each program named
//! `--with`. The servers have one core, the clients another.

#[path = "../tests/differential/pki.rs"]
#[allow(dead_code, reason = "the differential tests use more of it")]
mod pki;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use gannet::bench::spread;
use mimalloc::MiMalloc;
use pki::identities;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// That of the clients: they shall not be slower than need be.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SIZES: &[usize] = &[16, 128, 1024, 16 * 1024];

/// Bytes on the way, at most: nobody is cut for being behind.
const WINDOW_BYTES: u64 = 4 << 20;

/// Bytes in one write of the publisher, about.
const WRITE_BYTES: usize = 64 * 1024;

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn main() -> Result<(), String> {
    let (mut pairs, mut seconds) = (3, 1.0);
    let mut programs = vec![env!("CARGO_BIN_EXE_gannet").to_owned()];
    // `cargo bench` adds a flag of its own.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} what?"))?;
        let wrong = |_| format!("{flag} {value}");
        match flag.as_str() {
            "--pairs" => pairs = value.parse().map_err(|_| wrong(()))?,
            "--seconds" => seconds = value.parse().map_err(|_| wrong(()))?,
            "--with" => programs.push(value),
            _ => return Err(format!("no flag {flag}")),
        }
    }
    println!("| message | server | CPU ns a message | | messages/s |\n|---|---|---|---|---|");
    for size in SIZES {
        let mut samples = vec![Vec::new(); programs.len()];
        for pair in 0..pairs {
            for turn in 0..programs.len() {
                let side = (pair + turn) % programs.len();
                samples[side].push(measure(&programs[side], *size, seconds)?);
            }
        }
        for (program, samples) in programs.iter().zip(&samples) {
            let cpu = spread(samples.iter().map(|sample| sample.0)).ok_or("no pairs")?;
            let rate = spread(samples.iter().map(|sample| sample.1)).ok_or("no pairs")?;
            println!(
                "| {size} B | {program} | {:.0} | {:.0}–{:.0} | {:.0} |",
                cpu.median, cpu.min, cpu.max, rate.median
            );
        }
    }
    Ok(())
}

/// CPU ns a message, and messages a second.
fn measure(program: &str, size: usize, seconds: f64) -> Result<(f64, f64), String> {
    let server = Server::start(program)?;
    let mut subscriber = server.client()?;
    say(&mut subscriber, b"SUB t 1\r\nPING\r\n")?;
    until(&mut subscriber, b"PONG\r\n")?;
    let mut publisher = server.client()?;
    let message = format!("PUB t {size}\r\n{}\r\n", "x".repeat(size));
    let batch = message.repeat((WRITE_BYTES / message.len()).max(1));
    let each = format!("MSG t 1 {size}\r\n{}\r\n", "x".repeat(size)).len() as u64;
    let batch_bytes = (batch.len() / message.len()) as u64 * each;
    let (sent, heard, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let hears = scope.spawn(|| {
            let mut room = vec![0; 256 * 1024];
            loop {
                match subscriber.read(&mut room) {
                    Ok(0) => return Err("the server closed a connection".to_owned()),
                    Ok(len) => heard.fetch_add(len as u64, Relaxed),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                    Err(e) => return Err(e.to_string()),
                };
                if stop.load(Relaxed) && heard.load(Relaxed) == sent.load(Relaxed) {
                    return Ok(());
                }
            }
        });
        let mut publish_for = |seconds: f64| {
            let until = Instant::now() + Duration::from_secs_f64(seconds);
            while Instant::now() < until {
                if sent.load(Relaxed) - heard.load(Relaxed) > WINDOW_BYTES {
                    thread::sleep(Duration::from_micros(200));
                    continue;
                }
                say(&mut publisher, batch.as_bytes())?;
                sent.fetch_add(batch_bytes, Relaxed);
            }
            Ok::<(), String>(())
        };
        let done = (|| {
            publish_for(seconds / 2.0)?;
            let (before, from, start) = (server.cpu_ns(), heard.load(Relaxed), Instant::now());
            publish_for(seconds)?;
            let cpu = server.cpu_ns() - before;
            let messages = (heard.load(Relaxed) - from) as f64 / each as f64;
            Ok((
                cpu as f64 / messages,
                messages / start.elapsed().as_secs_f64(),
            ))
        })();
        stop.store(true, Relaxed);
        hears.join().expect("no panic")?;
        done
    })
}

fn say(client: &mut Tls, bytes: &[u8]) -> Result<(), String> {
    let said = client.write_all(bytes).and_then(|()| client.flush());
    said.map_err(|e| e.to_string())
}

fn until(client: &mut Tls, end: &[u8]) -> Result<(), String> {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        let mut room = [0; 4096];
        let len = client.read(&mut room).map_err(|e| e.to_string())?;
        heard.extend_from_slice(&room[..len]);
    }
    Ok(())
}

/// A server under measurement. Dropping it kills it.
struct Server {
    child: Child,
    port: u16,
    tls: Arc<ClientConfig>,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(program: &str) -> Result<Server, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let identity = &identities()["server"];
        let config = "tls { cert_file: \"server.pem\", key_file: \"server.key\" }\n".to_owned();
        for (name, text) in [
            ("server.pem", &identity.chain),
            ("server.key", &identity.key),
            ("tls.conf", &config),
        ] {
            fs::write(directory.path().join(name), text).map_err(|e| e.to_string())?;
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.map_err(|e| e.to_string())?.port();
        let mut command = Command::new("taskset");
        command.args(["-c", "0", program, "-a", "127.0.0.1", "-p"]);
        command.args([&port.to_string(), "-c", "tls.conf"]);
        let log = fs::File::create(directory.path().join("log")).map_err(|e| e.to_string())?;
        let child = command
            .current_dir(directory.path())
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let server = Server {
            child,
            port,
            tls: Arc::new(tls()?),
            _directory: directory,
        };
        let patience = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > patience {
                return Err(format!("{program} does not listen"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn client(&self) -> Result<Tls, String> {
        let fail = |e: std::io::Error| e.to_string();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        stream
            .set_read_timeout(Some(Duration::from_millis(500)))
            .map_err(fail)?;
        let mut info = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut info).map_err(fail)?;
        let name = "localhost".try_into().map_err(|_| "no name")?;
        let tls = ClientConnection::new(Arc::clone(&self.tls), name);
        let mut client = StreamOwned::new(tls.map_err(|e| e.to_string())?, reader.into_inner());
        say(&mut client, b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        until(&mut client, b"PONG\r\n")?;
        Ok(client)
    }

    /// CPU that all its threads have used.
    fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        let used = tasks.map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let used = text.split_whitespace().next().map(str::parse::<u64>);
            used.and_then(Result::ok).unwrap_or(0)
        });
        used.sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let added = roots.add(identities()["ca"].der.clone().into());
    added.map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|e| e.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

//! The least that a request and its reply take through anything that stands between two sockets: a relay that spins on both
//! and copies bytes, without a protocol. What a broker takes beyond it is the broker's; the rest is the kernel's and the
//! client's. The client is that of `gannet bench compare --rows request`: one thread for both ends, on core 1; the relay is
//! on core 0, or on the client's, where it sleeps until something comes. It is a process of its own, as a broker is.
//!
//! `cargo bench --bench floor` prints p50 and p99 in µs and the relay's CPU time, for a client that sleeps until something
//! comes, for one that polls, and for both on one core.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gannet::bench::{Latency, histogram, record};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

const RELAY_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
const MEASURED: Duration = Duration::from_secs(2);

/// As long as a request with 16 bytes in the protocol; the reply is not much shorter.
const MESSAGE: [u8; 48] = [b'x'; 48];

/// Tells the relay's process how to wait.
const RELAY: &str = "GANNET_FLOOR_RELAY";

/// Who waits how.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The relay spins, the client sleeps.
    Apart,
    /// Both spin.
    Polling,
    /// Both sleep, on one core.
    Together,
}

fn main() {
    if let Ok(way) = env::var(RELAY) {
        let cpu_ns = relay(&way).expect("the relay ends with its sockets");
        return eprint!("{cpu_ns}");
    }
    for (way, title) in [
        (Way::Apart, "a relay, and a client that sleeps"),
        (Way::Polling, "a relay, and a client that polls"),
        (Way::Together, "a relay and a client on one core"),
    ] {
        let (latency, cpu_ns) = measure(way).expect("sockets on the loopback");
        println!(
            "{title}: p50 {:.1} µs, p99 {:.1} µs, CPU of the relay {cpu_ns} ns",
            latency.p50 / 1000.0,
            latency.p99 / 1000.0
        );
    }
}

/// Latencies, and the CPU time of the relay for each request with its reply.
fn measure(way: Way) -> io::Result<(Latency, u64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut requester = connect(&listener)?;
    let mut responder = connect(&listener)?;
    let relay = Command::new(env::current_exe()?)
        .env(RELAY, format!("{way:?}"))
        .stdin(OwnedFd::from(requester.1))
        .stdout(OwnedFd::from(responder.1))
        .stderr(Stdio::piped())
        .spawn()?;
    on_core(CLIENT_CORE);
    requester.0.set_nonblocking(way == Way::Polling)?;
    responder.0.set_nonblocking(way == Way::Polling)?;
    let mut latencies = histogram();
    let end = Instant::now() + MEASURED;
    loop {
        let started = Instant::now();
        if started >= end {
            break;
        }
        requester.0.write_all(&MESSAGE)?;
        hear(&mut responder.0)?;
        responder.0.write_all(&MESSAGE)?;
        hear(&mut requester.0)?;
        record(&mut latencies, started.elapsed());
    }
    drop((requester.0, responder.0));
    let told = relay.wait_with_output()?.stderr;
    let cpu_ns: u64 = String::from_utf8_lossy(&told)
        .parse()
        .map_err(io::Error::other)?;
    Ok((Latency::of(&latencies), cpu_ns / latencies.len().max(1)))
}

/// A client's socket, and the relay's end of it.
fn connect(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (relayed, _) = listener.accept()?;
    client.set_nodelay(true)?;
    relayed.set_nodelay(true)?;
    Ok((client, relayed))
}

/// Waits for one message.
fn hear(stream: &mut TcpStream) -> io::Result<()> {
    let mut heard = 0;
    let mut bytes = [0; 4096];
    while heard < MESSAGE.len() {
        match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => heard += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The relay's process: copies what comes from either of its sockets, the standard input and output, to the other, until one
/// ends. Gives its CPU time, ns.
fn relay(way: &str) -> io::Result<u64> {
    let together = way == format!("{:?}", Way::Together);
    on_core(if together { CLIENT_CORE } else { RELAY_CORE });
    let mut one = TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut other = TcpStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    // They take turns: who sleeps for one misses nothing of the other.
    one.set_nonblocking(!together)?;
    other.set_nonblocking(!together)?;
    let mut bytes = [0; 4096];
    let mut copy = |from: &mut TcpStream, to: &mut TcpStream| match from.read(&mut bytes) {
        Ok(0) => Ok(false),
        Ok(count) => to.write_all(&bytes[..count]).map(|()| true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    };
    while copy(&mut one, &mut other)? && copy(&mut other, &mut one)? {}
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    Ok(cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64)
}

fn on_core(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("two cores");
}

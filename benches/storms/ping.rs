//! Who is there already: a request and its reply between two connections, one in flight, a thousand a second. Owns the thread
//! that measures.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gannet::bench::{histogram, record};
use hdrhistogram::Histogram;
use rustix::thread::gettid;

use crate::material::{Material, Part};
use crate::server::Server;
use crate::storm::{Client, raise_limit};

/// Between two of them: the measurement leaves the machine to the storm.
const PAUSE: Duration = Duration::from_millis(1);

/// The measuring thread.
pub struct Pinger {
    samples: Arc<Mutex<Histogram<u64>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Pinger {
    /// Connects and begins.
    pub fn start(server: &Server, material: &Material) -> Result<Pinger, String> {
        raise_limit();
        let open = || Client::open(server.port, material, Part::Calm);
        let (mut responder, mut requester) = (open()?, open()?);
        for (client, subscribe) in [
            (&mut responder, "SUB ping 1\r\nPING\r\n"),
            (&mut requester, "SUB pong 1\r\nPING\r\n"),
        ] {
            client.send(subscribe.as_bytes())?;
            client.until("PONG")?;
        }
        let samples = Arc::new(Mutex::new(histogram()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, stopped) = (Arc::clone(&samples), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            be_first();
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                requester.send(b"PUB ping 0\r\n\r\n")?;
                responder.until("MSG ping")?;
                responder.send(b"PUB pong 0\r\n\r\n")?;
                requester.until("MSG pong")?;
                let took = start.elapsed();
                record(&mut into.lock().expect("no panic"), took);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Pinger {
            samples,
            stop,
            thread,
        })
    }

    /// What was measured since the last turn.
    pub fn turn(&self) -> Histogram<u64> {
        let mut samples = self.samples.lock().expect("no panic");
        std::mem::replace(&mut *samples, histogram())
    }

    /// Ends it.
    pub fn end(self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// Makes this thread a real-time one, so that what it measures is the server and not its own waiting for a core. Without
/// the right to that it measures both, of either server.
fn be_first() {
    let thread = gettid().as_raw_nonzero().to_string();
    let _ = Command::new("chrt")
        .args(["--fifo", "--pid", "50", &thread])
        .status();
}

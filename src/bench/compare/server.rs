//! Owns a server under measurement: starting it on its core, its CPU time and memory, stopping it.
//! Never sends it a message.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::accounts::as_user;
use super::rows::{Place, Row};
use crate::bench::conn::{Target, wait_ready};

const START_SECONDS_MAX: u64 = 10;
const STOP_SECONDS_MAX: u64 = 10;
/// One clock tick of /proc/PID/stat (USER_HZ is 100 on Linux).
const TICK_NS: u64 = 10_000_000;

/// A server program with its extra flags.
#[derive(Debug, Clone)]
pub struct Side {
    /// The program.
    pub program: PathBuf,
    /// Flags added to those of the row.
    pub extra: Vec<String>,
    /// Whether it is nats-server; everything else is taken for gannet.
    pub oracle: bool,
}

/// What the rows need to know of the machine and the command line.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// The core of the server.
    pub server: usize,
    /// The core of the generator.
    pub generator: usize,
    /// gannet's spin in `Place::ApartSpinning`, in microseconds.
    pub spin_us: u64,
}

impl Side {
    /// Reads `PROGRAM [FLAGS…]`, parted by spaces.
    pub fn parse(command: &str) -> Result<Side, String> {
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("an empty command")?;
        let oracle = Path::new(&program)
            .file_name()
            .is_some_and(|name| name == "nats-server");
        Ok(Side {
            program: PathBuf::from(program),
            extra: words.collect(),
            oracle,
        })
    }

    /// What tables call it: the program and its extra flags.
    pub fn name(&self) -> String {
        let program = self
            .program
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        std::iter::once(program)
            .chain(self.extra.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// What the program says its version is.
    pub fn version(&self) -> Result<String, String> {
        let output = Command::new(&self.program).arg("-v").output();
        let output = output.map_err(|e| format!("{}: {e}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// How many shards a gannet has in this place.
    pub fn shards(&self, place: Place) -> Option<usize> {
        let shards = if place == Place::TwoCores { 2 } else { 1 };
        (!self.oracle).then_some(shards)
    }

    fn command(&self, port: u16, place: Place, cores: Cores) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        match self.shards(place) {
            None if place != Place::TwoCores => {
                command.env("GOMAXPROCS", "1");
            }
            None => {}
            Some(shards) => {
                command.args(["--shards", &shards.to_string()]);
            }
        }
        if !self.oracle && place == Place::ApartSpinning {
            command.args(["--spin", &cores.spin_us.to_string()]);
        }
        command.args(&self.extra).stdin(Stdio::null());
        command
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    config: Option<PathBuf>,
    /// Where it listens.
    pub target: Target,
}

impl Server {
    /// Starts `side` for a row on a free port of the loopback, and waits until it speaks.
    pub fn start(side: &Side, row: &Row, cores: Cores) -> Result<Server, String> {
        let place = row.place;
        let port = free_port()?;
        let log =
            std::env::temp_dir().join(format!("gannet-bench-{}-{port}.log", std::process::id()));
        let file = fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = side.command(port, place, cores);
        let road = row.work.road();
        let config = road.map(|_| log.with_extension("conf"));
        if let (Some(road), Some(path)) = (road, &config) {
            fs::write(path, road.config()).map_err(|e| format!("{}: {e}", path.display()))?;
            command.arg("-c").arg(path);
        }
        command
            .stdout(file.try_clone().map_err(|e| e.to_string())?)
            .stderr(file);
        let core = (place != Place::TwoCores).then_some(cores.server);
        let child =
            spawn_on(command, core).map_err(|e| format!("{}: {e}", side.program.display()))?;
        let mut target = Target {
            server: format!("127.0.0.1:{port}"),
            ..Target::default()
        };
        if let Some(road) = road {
            target = as_user(&target, road.anybody());
        }
        let mut server = Server {
            child,
            log,
            config,
            target,
        };
        server.wait_ready()?;
        Ok(server)
    }

    /// CPU time used so far, user and system, in ns: the sum over the threads' schedstat. Exact while the
    /// server sleeps.
    pub fn cpu(&self) -> Result<Cpu, String> {
        let pid = self.child.id();
        let mut threads = BTreeMap::new();
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .map_err(|e| format!("the server is gone: {e}"))?;
        for task in tasks.flatten() {
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let ns = text
                .split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0);
            threads.insert(task.file_name().to_string_lossy().into_owned(), ns);
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| e.to_string())?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|word| word.parse::<u64>().ok())
            .sum();
        Ok(Cpu {
            threads,
            process_ns: ticks * TICK_NS,
        })
    }

    /// Resident memory in bytes, once it has stood still for half a second.
    pub fn resident_bytes(&self) -> Result<u64, String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut last = self.resident_now()?;
        let mut calm = 0;
        while calm < 5 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.resident_now()?;
            calm = if now.abs_diff(last) * 500 < last {
                calm + 1
            } else {
                0
            };
            last = now;
        }
        Ok(last)
    }

    /// Whether the server's log speaks of a slow consumer.
    pub fn check_log(&self) -> Result<(), String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        match text
            .lines()
            .find(|line| line.to_ascii_lowercase().contains("slow consumer"))
        {
            Some(line) => Err(format!("the server cut a subscriber: {}", line.trim())),
            None => Ok(()),
        }
    }

    fn resident_now(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(path).map_err(|e| format!("the server is gone: {e}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        let kib: u64 = line
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
        Ok(kib * 1024)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "the server ended at once, {status}: {}",
                    self.log_tail()
                ));
            }
            match wait_ready(&self.target, 0) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!(
                        "the server is not ready: {error}: {}",
                        self.log_tail()
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _already_gone = kill_process(pid, Signal::TERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _already_gone = self.child.kill();
            let _status = self.child.wait();
        }
        for file in std::iter::once(&self.log).chain(&self.config) {
            let _kept_if_it_cannot = fs::remove_file(file);
        }
    }
}

/// CPU time at one moment.
#[derive(Debug, Clone)]
pub struct Cpu {
    threads: BTreeMap<String, u64>,
    process_ns: u64,
}

impl Cpu {
    /// ns used since `earlier`. If a thread has ended since, the kernel's coarser count of the whole process.
    pub fn since(&self, earlier: &Cpu) -> u64 {
        if earlier
            .threads
            .keys()
            .any(|thread| !self.threads.contains_key(thread))
        {
            return self.process_ns - earlier.process_ns;
        }
        let sum = |cpu: &Cpu| cpu.threads.values().sum::<u64>();
        sum(self) - sum(earlier)
    }

    /// The thread that used most since `earlier`.
    pub fn busiest_since(&self, earlier: &Cpu) -> Option<String> {
        let used = |(thread, ns): (&String, &u64)| {
            (
                ns - earlier.threads.get(thread).copied().unwrap_or(0),
                thread.clone(),
            )
        };
        self.threads
            .iter()
            .map(used)
            .max()
            .map(|(_, thread)| thread)
    }
}

/// Confines the calling thread, and what it starts, to one core; without a core, to all there are.
pub fn confine(core: Option<usize>) -> Result<(), String> {
    let mut set = CpuSet::new();
    match core {
        Some(core) => set.set(core),
        None => (0..CpuSet::MAX_CPU).for_each(|core| set.set(core)),
    }
    sched_setaffinity(None, &set).map_err(|e| format!("cannot confine to core {core:?}: {e}"))
}

/// A child inherits the mask of the thread that starts it.
fn spawn_on(mut command: Command, core: Option<usize>) -> Result<Child, String> {
    let thread = std::thread::spawn(move || {
        confine(core)?;
        command.spawn().map_err(|e| e.to_string())
    });
    thread.join().expect("starting a server panicked")
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

//! The two servers: where their binaries are, starting one, its log, its end. Owns child processes; knows no protocol.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Upper bound of every wait, only there to turn a hang into a failure.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// A program under comparison and the flags that choose its variant.
#[derive(Clone, Debug)]
pub struct Program {
    /// The binary.
    pub binary: PathBuf,
    /// Flags of the variant, for servers only.
    pub flags: Vec<String>,
}

/// A running server. Killed when dropped.
pub struct Server {
    /// Where it listens.
    pub port: u16,
    /// Everything it writes: its own log, or what it prints.
    log: PathBuf,
    child: Child,
}

/// A process that ran to its end.
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Both its outputs.
    pub text: String,
}

/// The oracle's binary, installed when it is not there. `GANNET_ORACLE` names another one.
pub fn oracle() -> &'static Path {
    static ORACLE: OnceLock<PathBuf> = OnceLock::new();
    ORACLE.get_or_init(|| {
        if let Some(path) = std::env::var_os("GANNET_ORACLE") {
            return path.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = root.join("scripts/install-oracle.sh");
        let status = Command::new(&script).status();
        let status = status.unwrap_or_else(|e| panic!("{}: {e}", script.display()));
        assert!(status.success(), "{} failed", script.display());
        root.join("target/oracle/bin/nats-server")
    })
}

/// The program compared with the oracle. `GANNET_BIN` names another one.
pub fn gannet() -> PathBuf {
    std::env::var_os("GANNET_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_gannet").into(), PathBuf::from)
}

impl Program {
    /// Whether it is the oracle: gannet's variants are chosen by flags.
    pub fn is_oracle(&self) -> bool {
        self.flags.is_empty()
    }

    /// Starts a server on a port of the kernel's choice and waits until it is ready. `log` is the file it is told to log to,
    /// if it is told so.
    pub fn start(
        &self,
        directory: &Path,
        flags: &[String],
        log: Option<&str>,
    ) -> Result<Server, String> {
        let printed = directory.join("printed");
        let log = log.map_or_else(|| printed.clone(), |name| directory.join(name));
        let child = self
            .command(directory, &printed)?
            .args(["-a", "127.0.0.1", "-p", "-1"])
            .args(flags)
            .args(&self.flags)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.binary.display()))?;
        let mut server = Server {
            port: 0,
            log,
            child,
        };
        server.wait_for_log("Server is ready")?;
        server.port = listening_port(&server.log_text()).ok_or("the log does not say the port")?;
        Ok(server)
    }

    /// Runs another process to its end.
    pub fn run(&self, directory: &Path, arguments: &[String]) -> Result<Output, String> {
        let printed = directory.join("printed by run");
        let mut child = self
            .command(directory, &printed)?
            .args(arguments)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.binary.display()))?;
        let status = wait(&mut child);
        let text = read(&printed);
        Ok(Output {
            status: status.map_err(|e| format!("{arguments:?}: {e}\n{text}"))?,
            text,
        })
    }

    fn command(&self, directory: &Path, printed: &Path) -> Result<Command, String> {
        let out = File::create(printed).map_err(|e| e.to_string())?;
        let also = out.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.binary);
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(also);
        Ok(command)
    }
}

impl Server {
    /// Waits until the log holds the text.
    pub fn wait_for_log(&mut self, text: &str) -> Result<(), String> {
        let found = wait_for(&format!("{text:?} in the log"), || {
            // The end first: what it wrote before it ended is in the log then.
            let ended = self.child.try_wait().ok().flatten();
            match (self.log_text().contains(text), ended) {
                (true, _) => Some(Ok(())),
                (false, Some(status)) => Some(Err(format!(
                    "ended ({status}) before its log said {text:?}"
                ))),
                (false, None) => None,
            }
        });
        let found = found.unwrap_or_else(Err);
        found.map_err(|e| format!("{e}:\n{}", self.log_text()))
    }

    /// Sends SIGHUP and waits for what the log says of it: whether the configuration was taken.
    pub fn reload(&mut self) -> Result<bool, String> {
        let before = reloads(&self.log_text()).len();
        self.signal("HUP")?;
        let outcome = wait_for("the outcome of the reload in the log", || {
            let ended = self.child.try_wait().ok().flatten();
            match reloads(&self.log_text()).get(before) {
                Some(taken) => Some(Ok(*taken)),
                None => ended.map(|status| Err(format!("ended ({status}) when told to reload"))),
            }
        });
        let outcome = outcome.unwrap_or_else(Err);
        outcome.map_err(|e| format!("{e}:\n{}", self.log_text()))
    }

    /// Everything logged so far.
    pub fn log_text(&self) -> String {
        read(&self.log)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let signal = match name {
            "INT" => Signal::INT,
            "TERM" => Signal::TERM,
            "HUP" => Signal::HUP,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            _ => return Err(format!("no such signal: {name}")),
        };
        kill_process(Pid::from_child(&self.child), signal).map_err(|e| e.to_string())
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> Result<ExitStatus, String> {
        wait(&mut self.child)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(format!("waited in vain for {what}"));
        }
        std::thread::sleep(POLL);
    }
}

fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    let ended = wait_for("the process to end", || child.try_wait().transpose());
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended?.map_err(|e| e.to_string())
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Every reload that the log tells of: whether it was taken.
fn reloads(log: &str) -> Vec<bool> {
    const TAKEN: &str = "Reloaded server configuration";
    const REFUSED: &str = "Failed to reload server configuration";
    let outcome = |line: &str| match (line.contains(TAKEN), line.contains(REFUSED)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    // A line still being written does not count.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole.lines().filter_map(outcome).collect()
}

fn listening_port(log: &str) -> Option<u16> {
    let line = log
        .lines()
        .find(|l| l.contains("Listening for client connections on "))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

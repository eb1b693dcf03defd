//! A gannet of a test's own: started on a free port, watched from outside, killed when dropped. Knows no protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::io::Io;

/// Upper bound of every wait, only there to turn a hang into a failure.
pub const WAIT: Duration = Duration::from_secs(120);

/// Flags of every server: two shards, also where there is one core.
const FLAGS: &[&str] = &["-a", "127.0.0.1", "-p", "-1", "--shards", "2", "--no-pin"];

/// A running server.
pub struct Server {
    /// Where it listens.
    pub port: u16,
    child: Child,
    directory: TempDir,
}

impl Server {
    /// Starts one with the defaults.
    pub fn start(io: Io) -> Server {
        Server::with_config(io, "")
    }

    /// Starts one with a configuration file, unless its text is empty.
    pub fn with_config(io: Io, config: &str) -> Server {
        Server::by(Command::new(binary()), io, config)
    }

    /// Starts one with a directory at `place` of its own, which takes so many KiB.
    pub fn with_small_disk(io: Io, place: &Path, kib: usize, config: &str) -> Server {
        const SCRIPT: &str =
            "mount -t tmpfs -o size=\"$1\"k small \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "sh", &kib.to_string()]);
        command.arg(place).arg(binary());
        Server::by(command, io, config)
    }

    fn by(mut command: Command, io: Io, config: &str) -> Server {
        let directory = tempfile::tempdir().expect("a directory for the server");
        let printed = fs::File::create(directory.path().join("log")).expect("a log file");
        command
            .args(FLAGS)
            .args(["--io", io.name()])
            .arg("--ports_file_dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(printed.try_clone().expect("a second handle"))
            .stderr(printed);
        if !config.is_empty() {
            let file = directory.path().join("server.conf");
            fs::write(&file, config).expect("the configuration is written");
            command.arg("-c").arg(file);
        }
        let child = command.spawn().expect("gannet starts");
        let mut server = Server {
            port: 0,
            child,
            directory,
        };
        server.wait_until("the server is ready", |s| {
            s.log().contains("Server is ready")
        });
        let file = ports_file(server.directory.path(), server.child.id());
        server.wait_until("the ports file is there", |_| {
            fs::read_to_string(&file).is_ok_and(|text| text.ends_with('}'))
        });
        server.port = server.read_port();
        if io != Io::Auto {
            let on = format!("2 shards on {}", io.full_name());
            assert!(server.log().contains(&on), "{}", server.log());
        }
        server
    }

    /// Rewrites the configuration file of a server that was started with one, and waits until it is in force.
    pub fn reload(&mut self, config: &str) {
        let said = self.log().len();
        self.rewrite(config);
        self.wait_until("the configuration is taken", |server| {
            let log = server.log();
            assert!(!log[said..].contains("Failed to reload"), "{log}");
            log[said..].contains("Reloaded server configuration")
        });
    }

    /// Likewise with one that is refused.
    pub fn reload_in_vain(&mut self, config: &str) {
        self.rewrite(config);
        self.wait_for_log("Failed to reload server configuration");
    }

    fn rewrite(&self, config: &str) {
        let file = self.directory.path().join("server.conf");
        fs::write(&file, config).expect("the configuration is written");
        let sent = kill_process(Pid::from_child(&self.child), Signal::HUP);
        sent.expect("the server runs");
    }

    /// Waits until a line of the log holds the text; gives the line.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let find = |log: String| {
            log.lines()
                .find(|line| line.contains(text))
                .map(str::to_owned)
        };
        let mut found = None;
        self.wait_until(&format!("{text:?} is logged"), |server| {
            found = find(server.log());
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Open descriptors of the process.
    pub fn descriptors(&self) -> usize {
        let list = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        list.expect("the server runs").count()
    }

    /// Resident memory of the process, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("VmRSS in kB") * 1024
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the process has exactly so many open descriptors.
    pub fn wait_for_descriptors(&mut self, count: usize) {
        let what = format!("{count} open descriptors");
        self.wait_until(&what, |server| server.descriptors() == count);
    }

    /// Asks again and again until it is so; panics when the server ends or it never becomes so.
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&Server) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !is_so(self) {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                panic!("the server ended ({status}) before {what}:\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain until {what}; {} descriptors:\n{}",
                self.descriptors(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The port the log names; the ports file must say the same.
    fn read_port(&self) -> u16 {
        let log = self.log();
        let line = log
            .lines()
            .find(|line| line.contains("Listening for client connections on "));
        let port = line.and_then(|line| line.rsplit(':').next()?.trim().parse().ok());
        let port = port.unwrap_or_else(|| panic!("the log does not say the port:\n{log}"));
        let file = ports_file(self.directory.path(), self.child.id());
        let ports = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(ports.contains(&format!(":{port}\"")), "{ports}");
        port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what the server logged:\n{}", self.log());
        }
    }
}

/// `GANNET_BIN`, or the binary built with these tests.
pub fn binary() -> PathBuf {
    std::env::var_os("GANNET_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_gannet").into(), PathBuf::from)
}

fn ports_file(directory: &Path, pid: u32) -> PathBuf {
    let program = binary();
    let name = program.file_name().expect("a file").to_string_lossy();
    directory.join(format!("{name}_{pid}.ports"))
}

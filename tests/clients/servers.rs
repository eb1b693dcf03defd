//! The servers one client program talks to, one for each file in `config/`. Owns their processes, ports and logs; knows no
//! protocol.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::material;

/// Upper bound of every wait, only there to turn a hang into a failure.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

const NAMES: &[&str] = &[
    "open",
    "large",
    "users",
    "token",
    "accounts",
    "nkeys",
    "operator",
    "tls",
    "tls_verify",
    "tls_map",
];

/// A server program and the flags that choose its variant.
#[derive(Clone, Debug)]
pub struct Start {
    /// The binary.
    pub binary: PathBuf,
    /// Flags of the variant.
    pub flags: Vec<String>,
}

/// Running servers. Killed when dropped.
pub struct Servers {
    start: Start,
    directory: TempDir,
    servers: Vec<Server>,
}

struct Server {
    name: &'static str,
    port: u16,
    log: PathBuf,
    /// None while killed.
    child: Option<Child>,
}

impl Servers {
    /// Starts one of each, on ports of the kernel's choice.
    pub fn new(start: &Start) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/config");
        material::write(directory.path(), &configs, NAMES)?;
        let servers = NAMES.iter().map(|name| Server {
            name,
            port: 0,
            log: directory.path().join(format!("{name}.log")),
            child: None,
        });
        let mut servers = Servers {
            start: start.clone(),
            servers: servers.collect(),
            directory,
        };
        for name in NAMES {
            servers.start(name)?;
        }
        Ok(servers)
    }

    /// Where the keys, certificates and credentials of clients are.
    pub fn material(&self) -> &Path {
        self.directory.path()
    }

    /// Name and URL of each. Certificates are for the name, so that is what those that show one are called by.
    pub fn urls(&self) -> impl Iterator<Item = (&'static str, String)> {
        let url = |server: &Server| {
            let host = match server.name.starts_with("tls") {
                true => "localhost",
                false => "127.0.0.1",
            };
            (server.name, format!("nats://{host}:{}", server.port))
        };
        self.servers.iter().map(url)
    }

    /// Starts a killed one again, on the port it had. Returns when it is ready.
    pub fn start(&mut self, name: &str) -> Result<(), String> {
        let server = find(&mut self.servers, name)?;
        if server.child.is_some() {
            return Err(format!("{name} runs already"));
        }
        server.run(&self.start, self.directory.path())?;
        server.wait_until_ready()
    }

    /// Kills one without warning and waits for its end.
    pub fn kill(&mut self, name: &str) -> Result<(), String> {
        let server = find(&mut self.servers, name)?;
        let mut child = server.child.take().ok_or("killed twice")?;
        child.kill().map_err(|e| e.to_string())?;
        child.wait().map_err(|e| e.to_string())?;
        Ok(())
    }

    /// What all of them logged, since their last start.
    pub fn logs(&self) -> String {
        let log = |server: &Server| format!("[{}]\n{}", server.name, read(&server.log));
        self.servers.iter().map(log).collect()
    }
}

impl Server {
    fn run(&mut self, start: &Start, directory: &Path) -> Result<(), String> {
        let out = File::create(&self.log).map_err(|e| e.to_string())?;
        let also = out.try_clone().map_err(|e| e.to_string())?;
        let port = match self.port {
            0 => "-1".to_owned(),
            port => port.to_string(),
        };
        let child = Command::new(&start.binary)
            .current_dir(directory)
            .args(["-a", "127.0.0.1", "-p", &port, "-c"])
            .arg(format!("{}.conf", self.name))
            .args(&start.flags)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(also)
            .spawn();
        self.child = Some(child.map_err(|e| format!("{}: {e}", start.binary.display()))?);
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + WAIT;
        loop {
            let child = self.child.as_mut().expect("running");
            let ended = child.try_wait().map_err(|e| e.to_string())?;
            let log = read(&self.log);
            if log.contains("Server is ready") {
                self.port = listening_port(&log).ok_or("the log does not say the port")?;
                return Ok(());
            }
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("{} did not get ready:\n{log}", self.name));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn find<'a>(servers: &'a mut [Server], name: &str) -> Result<&'a mut Server, String> {
    let found = servers.iter_mut().find(|server| server.name == name);
    found.ok_or_else(|| format!("no server is called {name}"))
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn listening_port(log: &str) -> Option<u16> {
    let line = log
        .lines()
        .find(|l| l.contains("Listening for client connections on "))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

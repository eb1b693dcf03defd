//! Owns a server of one storm. Never sends it a message.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::material::Material;

const POLL: Duration = Duration::from_millis(10);

/// A running server. Dropping it stops it.
pub struct Server {
    child: Child,
    directory: TempDir,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts a program and waits until it listens.
    pub fn start(program: &str, material: &Material) -> Result<Server, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let config = material.write(directory.path())?;
        let log = File::create(directory.path().join("log")).map_err(|e| e.to_string())?;
        let also = log.try_clone().map_err(|e| e.to_string())?;
        let child = Command::new(program)
            .current_dir(directory.path())
            .args(["-a", "127.0.0.1", "-p", "-1", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(also)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let mut server = Server {
            child,
            directory,
            port: 0,
        };
        while server.port == 0 {
            let log = server.log();
            if server.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(format!("{program} ended:\n{log}"));
            }
            if log.contains("Server is ready") {
                server.port = port(&log).ok_or("it does not say where it listens")?;
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn port(log: &str) -> Option<u16> {
    let line = log
        .lines()
        .find(|line| line.contains("Listening for client connections"))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

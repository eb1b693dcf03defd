//! The pid file and the ports file. Never logs: errors are texts for the caller to log.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::host_port;

/// Writes `pid`, digits only, to `path`, which may exist. Mode 0600 for a new file, as the oracle's; like there it
/// stays behind when the broker ends.
///
/// # Errors
/// The oracle's text for its `[FTL]` line.
pub fn write_pid_file(path: &Path, pid: u32) -> Result<(), String> {
    (OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path))
    .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
    .map_err(|error| format!("Could not write pidfile: open {}: {error}", path.display()))
}

/// A written ports file.
#[derive(Debug)]
pub struct PortsFile {
    path: PathBuf,
}

impl PortsFile {
    /// Writes `{"nats":["nats://127.0.0.1:4222"]}` to `DIR/PROGRAM_PID.ports`; `program` is the name the process was
    /// started by, of which the last part counts. It appears whole: tools poll for it.
    ///
    /// # Errors
    /// The oracle's text for its `[ERR]` line.
    pub fn write(
        dir: &Path,
        program: &str,
        pid: u32,
        nats: &[String],
    ) -> Result<PortsFile, String> {
        let program = Path::new(program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let path = dir.join(format!("{program}_{pid}.ports"));
        let half = dir.join(format!(".{program}_{pid}.ports.tmp"));
        let text = serde_json::json!({ "nats": nats }).to_string();
        let written = fs::write(&half, text).and_then(|()| fs::rename(&half, &path));
        match written {
            Ok(()) => Ok(PortsFile { path }),
            Err(error) => Err(format!(
                "Error writing ports file ({}): {error}",
                path.display()
            )),
        }
    }

    /// Removes it.
    ///
    /// # Errors
    /// The oracle's text for its `[ERR]` line.
    pub fn remove(self) -> Result<(), String> {
        fs::remove_file(&self.path).map_err(|error| {
            format!(
                "Error cleaning up ports file {}: {error}",
                self.path.display()
            )
        })
    }
}

/// The URLs a listener on `address` is reached by. One on the unspecified address is reached by each of
/// `interfaces`, as in the oracle's ports file.
pub fn client_urls(address: SocketAddr, interfaces: &[IpAddr]) -> Vec<String> {
    let url = |ip: IpAddr| format!("nats://{}", host_port(&ip.to_string(), address.port()));
    if address.ip().is_unspecified() {
        interfaces.iter().copied().map(url).collect()
    } else {
        vec![url(address.ip())]
    }
}

/// The addresses of this machine's interfaces, one interface after the other; none if the kernel does not list them.
pub fn interface_addresses() -> Vec<IpAddr> {
    let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    // The kernel lists all addresses of one family, then all of the other.
    interfaces.sort_by_key(|interface| interface.index);
    interfaces.iter().map(if_addrs::Interface::ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_pid_file_holds_digits_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        write_pid_file(&path, 42).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "42");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn the_ports_file_is_named_after_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let urls = client_urls("127.0.0.1:4222".parse().unwrap(), &[]);
        let file = PortsFile::write(dir.path(), "./target/gannet", 42, &urls).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["gannet_42.ports"]);
        expect![[r#"{"nats":["nats://127.0.0.1:4222"]}"#]]
            .assert_eq(&fs::read_to_string(dir.path().join("gannet_42.ports")).unwrap());
        file.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unspecified_address_is_each_interface() {
        let interfaces: [IpAddr; 2] = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let urls = client_urls("0.0.0.0:4222".parse().unwrap(), &interfaces);
        assert_eq!(urls, ["nats://127.0.0.1:4222", "nats://[::1]:4222"]);
        assert!(interface_addresses().contains(&interfaces[0]));
    }

    #[test]
    fn errors_are_the_oracles() {
        let pid = write_pid_file(Path::new("/nonexistent/pid"), 1).unwrap_err();
        let ports = PortsFile::write(Path::new("/nonexistent"), "gannet", 7, &[]).unwrap_err();
        let gone = PortsFile {
            path: "/nonexistent/gannet_7.ports".into(),
        }
        .remove()
        .unwrap_err();
        expect![[r#"
            Could not write pidfile: open /nonexistent/pid: No such file or directory (os error 2)
            Error writing ports file (/nonexistent/gannet_7.ports): No such file or directory (os error 2)
            Error cleaning up ports file /nonexistent/gannet_7.ports: No such file or directory (os error 2)"#]].assert_eq(&[pid, ports, gone].join("\n"));
    }
}

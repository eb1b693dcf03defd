//! The process and its machine: cores, descriptors, pid file, ports file, server id, start-up lines.
//! Never opens sockets, never ends the process.

mod cores;
mod files;
mod priority;

use nkeys::{KeyPair, XKey};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::proto::handshake::Info;
pub use cores::{UsableCores, pin};
pub use files::{PortsFile, client_urls, interface_addresses, write_pid_file};
pub use priority::{give_way, give_way_most, giving_way_most};

/// Raises the soft limit on open files to the hard one, as the Go runtime does for the oracle.
/// Returns the limit in force then; `None` is no limit.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        return raised.current;
    }
    limit.current
}

/// Room for descriptors beside those of connections.
const OTHER_FILES: u64 = 1024;

/// The most descriptors that room is made for at start: 8 MiB in the kernel.
const ROOM_FOR_FILES_MAX: u64 = 1 << 20;

/// Makes room in the kernel's table of descriptors for as many connections as there may be. The kernel doubles the table
/// when it is full, and where a process has threads, whoever opens the descriptor waits for all processors each time: up to 20
/// ms, in which a shard would do nothing (`expand_fdtable` in Linux's fs/file.c). It is only a wish.
pub fn make_room_for_files(open_files_max: Option<u64>, connections_max: i64) {
    let wanted = u64::try_from(connections_max).unwrap_or(ROOM_FOR_FILES_MAX);
    let wanted = wanted.saturating_add(OTHER_FILES).min(ROOM_FOR_FILES_MAX);
    let last = open_files_max.map_or(wanted, |max| max.min(wanted));
    let last = i32::try_from(last.saturating_sub(1)).expect("below the most");
    // The table stays as large as it once was; the descriptor is closed again.
    match rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), last) {
        Ok(highest) => drop(highest),
        Err(error) => log::debug!("no room for {last} descriptors at once: {error}"),
    }
}

/// The keys of this run of the server. The public part of the first is the server's id.
pub struct ServerKeys {
    /// Signs requests to callout services.
    pub key: KeyPair,
    /// Their answers may be encrypted for it.
    pub xkey: XKey,
}

impl ServerKeys {
    /// Fresh ones.
    pub fn new() -> Self {
        ServerKeys {
            key: KeyPair::new_server(),
            xkey: XKey::new(),
        }
    }

    /// What everybody may know of them.
    pub fn public(&self) -> PublicKeys {
        PublicKeys {
            id: self.key.public_key(),
            xkey: self.xkey.public_key(),
        }
    }
}

/// What INFO says of the server's keys.
pub struct PublicKeys {
    /// The server's id: 56 characters that begin with `N`.
    pub id: String,
    /// For whom services may encrypt: 56 characters that begin with `X`.
    pub xkey: String,
}

impl PublicKeys {
    /// Those that an INFO says.
    pub fn of(info: &Info) -> PublicKeys {
        PublicKeys {
            id: info.server_id.clone(),
            xkey: info.xkey.clone(),
        }
    }
}

impl Default for ServerKeys {
    fn default() -> Self {
        ServerKeys::new()
    }
}

/// The first lines of the log, in order: program, version, name, id, and where the configuration came from
/// (`digest` is that of `-t`, such as `sha256:…`).
pub fn banner(config: &Config, server_id: &str, file: Option<(&str, &str)>) -> Vec<String> {
    let name = config.server_name.as_deref().unwrap_or(server_id);
    let mut lines = vec![
        format!("Starting {}", crate::cli::PROGRAM),
        format!("  Version:  {}", env!("CARGO_PKG_VERSION")),
        format!("  Name:     {name}"),
        format!("  ID:       {server_id}"),
    ];
    if let Some((path, digest)) = file {
        lines.push(format!("Using configuration file: {path} ({digest})"));
    }
    lines
}

/// `host:port`, with brackets around an IPv6 address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn server_ids_are_fresh_server_keys() {
        let (one, two) = (ServerKeys::new().public().id, ServerKeys::new().public().id);
        assert_ne!(one, two);
        assert_eq!((one.len(), one.as_bytes()[0]), (56, b'N'));
        assert!(nkeys::KeyPair::from_public_key(&one).is_ok());
    }

    #[test]
    fn the_banner_names_the_server() {
        let config = Config {
            server_name: Some("one".into()),
            ..Config::default()
        };
        let lines = banner(&config, "NID", Some(("a.conf", "sha256:00"))).join("\n");
        let version = env!("CARGO_PKG_VERSION");
        expect![[r#"
            Starting gannet
              Version:  VERSION
              Name:     one
              ID:       NID
            Using configuration file: a.conf (sha256:00)"#]]
        .assert_eq(&lines.replace(version, "VERSION"));
        assert!(banner(&Config::default(), "NID", None).contains(&"  Name:     NID".to_string()));
    }

    #[test]
    fn ipv6_addresses_are_bracketed() {
        assert_eq!(host_port("::1", 4222), "[::1]:4222");
        assert_eq!(host_port("localhost", 4222), "localhost:4222");
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((raised, limit.current), (limit.maximum, limit.maximum));
    }

    #[test]
    fn there_is_room_for_the_descriptors_of_all_connections() {
        let open_files_max = raise_open_files();
        make_room_for_files(open_files_max, 3000);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        let size: u64 = size.unwrap().trim().parse().unwrap();
        let wanted = 3000 + OTHER_FILES;
        assert!(size >= open_files_max.map_or(wanted, |max| max.min(wanted)));
    }
}

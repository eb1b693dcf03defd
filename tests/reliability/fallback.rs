//! Where io_uring is refused for real, by a seccomp filter on the whole process: the server runs on epoll and says why, and
//! with `--io uring` it does not start. Owns the filters; why a kernel refuses is told apart in `shard::ring::probe`.

use std::process::{Command, Stdio};
use std::thread;

use gannet::shard::ring::RingOptions;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::client::{Client, Frame};
use super::io::Io;
use super::server::{Server, binary};

/// The number of the system call: the same on every architecture.
const IO_URING_SETUP: i64 = 425;

/// Which rings are refused.
#[derive(Clone, Copy)]
enum Rings {
    /// All.
    All,
    /// Those of shards, not the small one that is tried before: as where the limit on locked memory is in between.
    OfShards,
}

/// Runs `f` on a thread of its own where io_uring_setup fails with `errno`: what it starts inherits the filter.
fn refused<T: Send + 'static>(
    errno: Errno,
    rings: Rings,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    let rules = match rings {
        Rings::All => Vec::new(),
        Rings::OfShards => {
            let entries = RingOptions::default().submission_entries.into();
            let condition =
                SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, entries);
            vec![SeccompRule::new(vec![condition.unwrap()]).unwrap()]
        }
    };
    let filtered = move || {
        let filter = SeccompFilter::new(
            [(IO_URING_SETUP, rules)].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(errno.raw_os_error() as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        f()
    };
    thread::spawn(filtered).join().unwrap()
}

pub fn a_server_runs_on_epoll_and_says_why() {
    let refusals = [
        (Errno::PERM, Rings::All),
        (Errno::NOSYS, Rings::All),
        (Errno::NOMEM, Rings::All),
        (Errno::NOMEM, Rings::OfShards),
    ];
    for (errno, rings) in refusals {
        let server = refused(errno, rings, || Server::start(Io::Auto));
        let log = server.log();
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains("[WRN]")).collect();
        let [warning] = warnings[..] else {
            panic!("one warning, not {warnings:?}:\n{log}");
        };
        assert!(
            warning.contains("io_uring is not available, using the slower epoll: "),
            "{warning}"
        );
        assert!(log.contains("2 shards on epoll"), "{log}");
        assert!(!log.contains("shards on io_uring"), "{log}");
        let (mut from, mut to) = (Client::connect(&server), Client::connect(&server));
        to.op("SUB foo 1");
        to.barrier();
        from.send(b"PUB foo 2\r\n17\r\n");
        let Frame::Message(message) = to.frame() else {
            panic!("no message");
        };
        assert_eq!(message.number(), 17);
    }
}

pub fn with_io_uring_asked_for_it_does_not_start() {
    let refusals = [
        (Errno::PERM, Rings::All),
        (Errno::NOSYS, Rings::All),
        (Errno::NOMEM, Rings::OfShards),
    ];
    for (errno, rings) in refusals {
        let output = refused(errno, rings, || {
            let mut command = Command::new(binary());
            command.args([
                "-a",
                "127.0.0.1",
                "-p",
                "-1",
                "--shards",
                "2",
                "--io",
                "uring",
            ]);
            command.stdin(Stdio::null()).output().expect("gannet runs")
        });
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains("[FTL] "), "{log}");
        assert!(last.contains("io_uring is not available: "), "{log}");
        assert!(!log.contains("Server is ready"), "{log}");
    }
}

//! Which ring to run on: tries io_uring for real, and says in one line what refused it and how to mend
//! it. Never judges by the kernel's version, and never keeps the ring it tried.

use std::fmt;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Resource, getegid, getgroups, getrlimit};

use super::uring::UringRing;
use super::uring::setup::{Features, SetupError};
use super::{Event, Ring, RingOptions, Token, Wait};
use crate::config::IoChoice;

/// The kind of ring to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`UringRing`].
    Uring,
    /// [`EpollRing`](super::epoll::EpollRing).
    Epoll,
}

/// Says, in one line for the log, that epoll is used instead of io_uring, why, and how to change that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackNotice(pub Cause);

impl fmt::Display for FallbackNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "io_uring is not available, using the slower epoll: {}",
            self.0
        )
    }
}

/// io_uring cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Cause);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring is not available: {}", self.0)
    }
}

impl std::error::Error for Refusal {}

impl From<SetupError> for Refusal {
    fn from(error: SetupError) -> Self {
        Refusal(cause(&error, &Facts::gather()))
    }
}

/// What refused io_uring. Displays as one sentence that ends in the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `kernel.io_uring_disabled = 2`.
    DisabledForAll,
    /// `kernel.io_uring_disabled = 1`, and this process is neither privileged nor in the group.
    DisabledForMost {
        /// `kernel.io_uring_group`; `None` where no group is set.
        group: Option<u32>,
    },
    /// A seccomp filter, such as Docker's default profile.
    Seccomp,
    /// RLIMIT_MEMLOCK.
    LockedMemory {
        /// The soft limit, bytes.
        limit: u64,
    },
    /// gVisor's kernel.
    Gvisor,
    /// A kernel without io_uring.
    Absent,
    /// A kernel too old: what it lacks of what Linux 6.1 has, in the kernel's words.
    Lacks(Vec<&'static str>),
    /// Anything else, as the kernel says it.
    Other(i32),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::DisabledForAll => f.write_str(
                "the sysctl kernel.io_uring_disabled is 2; set it to 0 (sysctl -w kernel.io_uring_disabled=0)",
            ),
            Cause::DisabledForMost { group: Some(group) } => write!(
                f,
                "the sysctl kernel.io_uring_disabled is 1; run gannet in group {group} (kernel.io_uring_group) \
                 or set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
            ),
            Cause::DisabledForMost { group: None } => f.write_str(
                "the sysctl kernel.io_uring_disabled is 1; set kernel.io_uring_group to a group of gannet's \
                 or set it to 0 (sysctl -w kernel.io_uring_disabled=0)",
            ),
            Cause::Seccomp => f.write_str(
                "a seccomp filter refuses it, as Docker's default profile does; allow io_uring_setup, \
                 io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE.json)",
            ),
            Cause::LockedMemory { limit } => write!(
                f,
                "the limit on locked memory is {limit} bytes; raise it (ulimit -l unlimited, \
                 LimitMEMLOCK=infinity in systemd, docker run --ulimit memlock=-1)"
            ),
            Cause::Gvisor => f.write_str(
                "gVisor does not offer it; run the container with another runtime (docker run --runtime=runc)",
            ),
            Cause::Absent => f.write_str(
                "the kernel is built without it; run a kernel of 6.1 or later with CONFIG_IO_URING=y",
            ),
            Cause::Lacks(names) => write!(
                f,
                "the kernel's io_uring lacks {}; run Linux 6.1 or later",
                names.join(", ")
            ),
            Cause::Other(errno) => write!(
                f,
                "{}; see io_uring_setup(2)",
                std::io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}

/// What the cause of a refusal is determined from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `/proc/sys/kernel/io_uring_disabled`; absent before Linux 6.6.
    pub io_uring_disabled: Option<u32>,
    /// `/proc/sys/kernel/io_uring_group`; -1 is none.
    pub io_uring_group: Option<i64>,
    /// The groups of this process.
    pub groups: Vec<u32>,
    /// CAP_SYS_ADMIN is effective.
    pub privileged: bool,
    /// A seccomp filter is installed (`Seccomp: 2`).
    pub seccomp: bool,
    /// RLIMIT_MEMLOCK's soft limit, bytes; `None` is no limit.
    pub locked_memory_max: Option<u64>,
    /// `/proc/version`.
    pub version: String,
}

impl Facts {
    /// Looks them up for the calling thread.
    pub fn gather() -> Facts {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/thread-self/status");
        let mut groups: Vec<u32> = getgroups()
            .unwrap_or_default()
            .iter()
            .map(|g| g.as_raw())
            .collect();
        groups.push(getegid().as_raw());
        Facts {
            io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled")
                .trim()
                .parse()
                .ok(),
            io_uring_group: read("/proc/sys/kernel/io_uring_group").trim().parse().ok(),
            groups,
            privileged: has_sys_admin(&status),
            seccomp: field(&status, "Seccomp:") == Some("2"),
            locked_memory_max: getrlimit(Resource::Memlock).current,
            version: read("/proc/version"),
        }
    }
}

/// The cause of an error in setting up a ring, from the facts.
pub fn cause(error: &SetupError, facts: &Facts) -> Cause {
    let errno = match error {
        SetupError::Lacks(names) => return Cause::Lacks(names.clone()),
        SetupError::Refused(error) => error.raw_os_error().unwrap_or(0),
    };
    match errno {
        libc::EPERM if facts.io_uring_disabled == Some(2) => Cause::DisabledForAll,
        libc::EPERM if disabled_for_us(facts) => {
            let group = facts
                .io_uring_group
                .and_then(|group| u32::try_from(group).ok());
            Cause::DisabledForMost { group }
        }
        libc::EPERM | libc::ENOSYS | libc::EACCES if is_gvisor(facts) => Cause::Gvisor,
        libc::EPERM | libc::ENOSYS | libc::EACCES if facts.seccomp => Cause::Seccomp,
        libc::ENOSYS => Cause::Absent,
        libc::ENOMEM => match facts.locked_memory_max {
            Some(limit) => Cause::LockedMemory { limit },
            None => Cause::Other(errno),
        },
        // No set of flags and no buffer ring is taken, not even the oldest.
        libc::EINVAL => Cause::Lacks(vec!["IORING_REGISTER_PBUF_RING"]),
        _ => Cause::Other(errno),
    }
}

fn disabled_for_us(facts: &Facts) -> bool {
    let in_group = facts
        .groups
        .iter()
        .any(|group| facts.io_uring_group == Some(i64::from(*group)));
    facts.io_uring_disabled == Some(1) && !facts.privileged && !in_group
}

/// gVisor names itself in its release, or (older) gives this version, which is the same in each build.
fn is_gvisor(facts: &Facts) -> bool {
    facts.version.contains("gvisor")
        || facts.version.contains("gVisor")
        || facts
            .version
            .contains("#1 SMP Sun Jan 10 15:06:54 PST 2016")
}

/// Chooses the kind of ring for this process. Makes an io_uring and uses it, as the shards will.
///
/// # Errors
/// `choice` is io_uring, and it cannot be had.
pub fn choose(choice: IoChoice) -> Result<(Kind, Option<FallbackNotice>), Refusal> {
    if choice == IoChoice::Epoll {
        return Ok((Kind::Epoll, None));
    }
    match (try_uring(), choice) {
        (Ok(_), _) => Ok((Kind::Uring, None)),
        (Err(refusal), IoChoice::Uring) => Err(refusal),
        (Err(Refusal(cause)), _) => Ok((Kind::Epoll, Some(FallbackNotice(cause)))),
    }
}

/// Makes a ring as a shard does, sends a byte to itself and receives it.
fn try_uring() -> Result<Features, Refusal> {
    let options = RingOptions {
        receive_buffers: 1,
        greedy_buffers: 1,
        whole_buffers_min: 1,
        submission_entries: 8,
        completion_entries: 16,
    };
    let mut ring = UringRing::new(options)?;
    let failed = |error: std::io::Error| Refusal::from(SetupError::Refused(error));
    let (ours, mut other) = UnixStream::pair().map_err(failed)?;
    other.write_all(&[1]).map_err(failed)?;
    ring.receive(Token(0), ours.as_raw_fd());
    let mut events = Vec::new();
    // What is there already completes in the first turn; the bound is for a kernel that does nothing.
    for _ in 0..100 {
        ring.turn(Wait::For(Duration::from_millis(10)), &mut events)
            .map_err(failed)?;
        if !events.is_empty() {
            break;
        }
    }
    let received = matches!(events.first(), Some(Event::Received { len: 1, .. }));
    // A receive that is not multishot has ended with that.
    let goes_on = !events
        .iter()
        .any(|event| matches!(event, Event::ReceiveEnded { .. }));
    match received && goes_on {
        true => Ok(ring.features()),
        false => Err(SetupError::Lacks(vec!["multishot IORING_OP_RECV"]).into()),
    }
}

fn has_sys_admin(status: &str) -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = field(status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    effective.is_some_and(|set| set >> CAP_SYS_ADMIN & 1 == 1)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    use std::thread;

    /// What a kernel said, what is known of it -> the line for the log.
    fn check(errno: i32, facts: Facts, expected: Expect) {
        let error = SetupError::Refused(std::io::Error::from_raw_os_error(errno));
        expected.assert_eq(&FallbackNotice(cause(&error, &facts)).to_string());
    }

    fn ordinary() -> Facts {
        Facts {
            io_uring_disabled: Some(0),
            io_uring_group: Some(-1),
            groups: vec![1000],
            locked_memory_max: Some(65536),
            version: "Linux version 6.12.0".into(),
            ..Facts::default()
        }
    }

    #[test]
    fn sysctl() {
        let all = Facts {
            io_uring_disabled: Some(2),
            seccomp: true,
            ..ordinary()
        };
        check(
            libc::EPERM,
            all,
            expect![
                "io_uring is not available, using the slower epoll: the sysctl kernel.io_uring_disabled is 2; set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
            ],
        );
        let most = Facts {
            io_uring_disabled: Some(1),
            ..ordinary()
        };
        check(
            libc::EPERM,
            most.clone(),
            expect![
                "io_uring is not available, using the slower epoll: the sysctl kernel.io_uring_disabled is 1; set kernel.io_uring_group to a group of gannet's or set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
            ],
        );
        let group = Facts {
            io_uring_group: Some(77),
            ..most.clone()
        };
        check(
            libc::EPERM,
            group.clone(),
            expect![
                "io_uring is not available, using the slower epoll: the sysctl kernel.io_uring_disabled is 1; run gannet in group 77 (kernel.io_uring_group) or set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
            ],
        );
        // It does not apply to us, so something else has refused.
        let member = Facts {
            groups: vec![77],
            seccomp: true,
            ..group
        };
        check(
            libc::EPERM,
            member,
            expect![
                "io_uring is not available, using the slower epoll: a seccomp filter refuses it, as Docker's default profile does; allow io_uring_setup, io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE.json)"
            ],
        );
        let root = Facts {
            privileged: true,
            seccomp: true,
            ..most
        };
        check(
            libc::EPERM,
            root,
            expect![
                "io_uring is not available, using the slower epoll: a seccomp filter refuses it, as Docker's default profile does; allow io_uring_setup, io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE.json)"
            ],
        );
    }

    #[test]
    fn seccomp() {
        let facts = Facts {
            seccomp: true,
            ..ordinary()
        };
        check(
            libc::EPERM,
            facts.clone(),
            expect![
                "io_uring is not available, using the slower epoll: a seccomp filter refuses it, as Docker's default profile does; allow io_uring_setup, io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE.json)"
            ],
        );
        check(
            libc::ENOSYS,
            facts,
            expect![
                "io_uring is not available, using the slower epoll: a seccomp filter refuses it, as Docker's default profile does; allow io_uring_setup, io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE.json)"
            ],
        );
        check(
            libc::EPERM,
            ordinary(),
            expect![
                "io_uring is not available, using the slower epoll: Operation not permitted (os error 1); see io_uring_setup(2)"
            ],
        );
    }

    #[test]
    fn memory() {
        check(
            libc::ENOMEM,
            ordinary(),
            expect![
                "io_uring is not available, using the slower epoll: the limit on locked memory is 65536 bytes; raise it (ulimit -l unlimited, LimitMEMLOCK=infinity in systemd, docker run --ulimit memlock=-1)"
            ],
        );
        let unlimited = Facts {
            locked_memory_max: None,
            ..ordinary()
        };
        check(
            libc::ENOMEM,
            unlimited,
            expect![
                "io_uring is not available, using the slower epoll: Cannot allocate memory (os error 12); see io_uring_setup(2)"
            ],
        );
    }

    #[test]
    fn kernels() {
        let gvisor = |version: &str| Facts {
            version: version.into(),
            seccomp: true,
            ..ordinary()
        };
        check(
            libc::ENOSYS,
            gvisor("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"),
            expect![
                "io_uring is not available, using the slower epoll: gVisor does not offer it; run the container with another runtime (docker run --runtime=runc)"
            ],
        );
        check(
            libc::ENOSYS,
            gvisor("Linux version 4.19.0-gvisor #1 SMP"),
            expect![
                "io_uring is not available, using the slower epoll: gVisor does not offer it; run the container with another runtime (docker run --runtime=runc)"
            ],
        );
        check(
            libc::ENOSYS,
            ordinary(),
            expect![
                "io_uring is not available, using the slower epoll: the kernel is built without it; run a kernel of 6.1 or later with CONFIG_IO_URING=y"
            ],
        );
        check(
            libc::EINVAL,
            ordinary(),
            expect![
                "io_uring is not available, using the slower epoll: the kernel's io_uring lacks IORING_REGISTER_PBUF_RING; run Linux 6.1 or later"
            ],
        );
        check(
            libc::EMFILE,
            ordinary(),
            expect![
                "io_uring is not available, using the slower epoll: Too many open files (os error 24); see io_uring_setup(2)"
            ],
        );
        let lacks = SetupError::Lacks(vec!["IORING_FEAT_EXT_ARG", "multishot IORING_OP_RECV"]);
        let refusal = Refusal(cause(&lacks, &ordinary()));
        expect!["io_uring is not available: the kernel's io_uring lacks IORING_FEAT_EXT_ARG, multishot IORING_OP_RECV; run Linux 6.1 or later"].assert_eq(&refusal.to_string());
    }

    #[test]
    fn status_is_read() {
        let status = "Name:\tx\nCapEff:\t0000000000200000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert!(has_sys_admin(status));
        assert!(!has_sys_admin("CapEff:\t00000000a80425fb\n"));
        assert_eq!(field(status, "Seccomp:"), Some("2"));
    }

    /// Runs on a thread of its own with a filter that answers io_uring_setup with an error. A filter is
    /// the thread's, so this is what a process sees whose first thread has one.
    fn refused<T: Send + 'static>(errno: i32, f: impl FnOnce() -> T + Send + 'static) -> T {
        let filtered = move || {
            let filter = SeccompFilter::new(
                [(libc::SYS_io_uring_setup, vec![])].into(),
                SeccompAction::Allow,
                SeccompAction::Errno(errno as u32),
                std::env::consts::ARCH.try_into().unwrap(),
            );
            let program: BpfProgram = filter.unwrap().try_into().unwrap();
            seccompiler::apply_filter(&program).unwrap();
            f()
        };
        thread::spawn(filtered).join().unwrap()
    }

    #[test]
    fn a_real_filter_makes_auto_fall_back_and_uring_refuse() {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let (auto, uring, epoll) = refused(errno, || {
                (
                    choose(IoChoice::Auto),
                    choose(IoChoice::Uring),
                    choose(IoChoice::Epoll),
                )
            });
            let notice = FallbackNotice(Cause::Seccomp);
            assert_eq!(auto, Ok((Kind::Epoll, Some(notice))), "{errno}");
            assert_eq!(uring, Err(Refusal(Cause::Seccomp)), "{errno}");
            assert_eq!(epoll, Ok((Kind::Epoll, None)), "{errno}");
        }
    }

    #[test]
    fn here_it_is_uring() {
        assert_eq!(choose(IoChoice::Auto), Ok((Kind::Uring, None)));
        assert_eq!(choose(IoChoice::Uring), Ok((Kind::Uring, None)));
        assert_eq!(choose(IoChoice::Epoll), Ok((Kind::Epoll, None)));
    }
}

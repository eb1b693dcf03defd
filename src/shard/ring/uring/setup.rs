//! Making an io_uring with what this kernel has, found by trying and by IORING_REGISTER_PROBE, never by
//! its version. Never does I/O on it.

use std::io;

use io_uring::{IoUring, Parameters, Probe, opcode};

use super::super::RingOptions;

/// What the kernel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The set-up flags, in the kernel's words.
    pub flags: &'static str,
    /// Completions are made in `io_uring_enter` of this thread only (DEFER_TASKRUN).
    pub deferred: bool,
    /// The submission queue says when there is work that only an enter does (TASKRUN_FLAG).
    pub taskrun_flag: bool,
    /// Peers are woken from ring to ring (MSG_RING), else by eventfd.
    pub msg_ring: bool,
    /// Waiting does not count as waiting for a disk (IORING_ENTER_NO_IOWAIT).
    pub no_iowait: bool,
    /// One buffer takes several receives (IOU_PBUF_RING_INC).
    pub incremental_buffers: bool,
}

/// Why there is no ring.
#[derive(Debug)]
pub enum SetupError {
    /// The kernel refused.
    Refused(io::Error),
    /// The kernel has io_uring, but not these, all of which Linux 6.1 has.
    Lacks(Vec<&'static str>),
}

impl From<io::Error> for SetupError {
    fn from(error: io::Error) -> Self {
        SetupError::Refused(error)
    }
}

/// Sets of flags, best first: SINGLE_ISSUER and DEFER_TASKRUN are of 6.1, NO_SQARRAY of 6.6, the others
/// older. The first that the kernel takes is used.
const FLAG_SETS: [FlagSet; 4] = [
    FlagSet {
        name: "SINGLE_ISSUER DEFER_TASKRUN COOP_TASKRUN TASKRUN_FLAG SUBMIT_ALL NO_SQARRAY",
        deferred: true,
        cooperative: true,
        no_array: true,
    },
    FlagSet {
        name: "SINGLE_ISSUER DEFER_TASKRUN COOP_TASKRUN TASKRUN_FLAG SUBMIT_ALL",
        deferred: true,
        cooperative: true,
        no_array: false,
    },
    FlagSet {
        name: "COOP_TASKRUN TASKRUN_FLAG SUBMIT_ALL",
        deferred: false,
        cooperative: true,
        no_array: false,
    },
    FlagSet {
        name: "SUBMIT_ALL",
        deferred: false,
        cooperative: false,
        no_array: false,
    },
];

struct FlagSet {
    name: &'static str,
    deferred: bool,
    cooperative: bool,
    no_array: bool,
}

/// Makes a ring for the calling thread.
///
/// # Errors
/// The kernel refuses, or lacks what a shard cannot do without.
pub(super) fn make(options: RingOptions) -> Result<(IoUring, Features), SetupError> {
    let (ring, set) = first_that_is_taken(options)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let lacks = lacks(ring.params(), &probe);
    if !lacks.is_empty() {
        return Err(SetupError::Lacks(lacks));
    }
    let features = Features {
        flags: set.name,
        deferred: set.deferred,
        taskrun_flag: set.cooperative,
        msg_ring: probe.is_supported(opcode::MsgRingData::CODE),
        no_iowait: ring.params().is_feature_no_iowait(),
        incremental_buffers: false,
    };
    Ok((ring, features))
}

fn first_that_is_taken(options: RingOptions) -> io::Result<(IoUring, &'static FlagSet)> {
    let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
    for set in &FLAG_SETS {
        match build(options, set) {
            Ok(ring) => return Ok((ring, set)),
            // A flag it does not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refusal = error,
            Err(error) => return Err(error),
        }
    }
    Err(refusal)
}

fn build(options: RingOptions, set: &FlagSet) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .dontfork()
        .setup_cqsize(options.completion_entries)
        .setup_submit_all();
    if set.deferred {
        builder.setup_single_issuer().setup_defer_taskrun();
    }
    if set.cooperative {
        builder.setup_coop_taskrun().setup_taskrun_flag();
    }
    if set.no_array {
        builder.setup_no_sqarray();
    }
    builder.build(options.submission_entries)
}

/// Names of what is needed and not there.
fn lacks(params: &Parameters, probe: &Probe) -> Vec<&'static str> {
    let needed = [
        ("IORING_FEAT_NODROP", params.is_feature_nodrop()),
        ("IORING_FEAT_FAST_POLL", params.is_feature_fast_poll()),
        ("IORING_FEAT_EXT_ARG", params.is_feature_ext_arg()),
        (
            "IORING_FEAT_CQE_SKIP",
            params.is_feature_skip_cqe_on_success(),
        ),
        (
            "IORING_OP_POLL_ADD",
            probe.is_supported(opcode::PollAdd::CODE),
        ),
        (
            "IORING_OP_RECV",
            probe.is_supported(opcode::RecvMulti::CODE),
        ),
        ("IORING_OP_SEND", probe.is_supported(opcode::Send::CODE)),
        (
            "IORING_OP_POLL_ADD",
            probe.is_supported(opcode::PollAdd::CODE),
        ),
        (
            "IORING_OP_ASYNC_CANCEL",
            probe.is_supported(opcode::AsyncCancel::CODE),
        ),
    ];
    needed
        .iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| *name)
        .collect()
}

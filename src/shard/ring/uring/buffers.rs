//! The receive buffers a shard provides to its io_uring, and which of them are lent to the shard. Never
//! looks into the bytes.
//!
//! There are two groups of them. Who has much to say receives into the second: however fast such peers send, there is room in
//! the first for everybody else, at every turn.
//!
//! In the plain mode a receive takes a whole buffer. In the incremental mode (IOU_PBUF_RING_INC, Linux
//! 6.12) there is one large buffer that the kernel fills by one receive after the other until it is full: many small
//! receives do not run out of buffers, and who sends much is received in large pieces, which costs less (measured:
//! `perf/`). It goes back when it is full and all its parts are recycled.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::super::{BufferId, RECEIVE_BUFFER_BYTES};

/// The group for everybody.
pub(super) const GENERAL: usize = 0;

/// The group for those who send much.
pub(super) const GREEDY: usize = 1;

/// The bit of a [`BufferId`] that says which group; the others are the place in it.
const GROUP_SHIFT: u32 = 31;

/// `IOU_PBUF_RING_INC` of linux/io_uring.h.
const INCREMENTAL: u16 = 2;

const PAGE_BYTES: usize = 4096;

/// The buffers and the ring of their descriptions that is shared with the kernel.
///
/// Invariant: a buffer is the kernel's, or it has parts lent, or (incremental) both.
pub(super) struct ReceiveBuffers {
    group: u32,
    descriptions: Block,
    bytes: Block,
    /// Descriptions less one; their number is a power of two and not less than the buffers'.
    mask: u16,
    /// Descriptions ever written, modulo 2^16: the kernel's tail.
    tail: u16,
    incremental: bool,
    /// Size of each.
    buffer_bytes: usize,
    states: Box<[State]>,
    /// Buffers the kernel may receive into, as far as the completions seen so far say.
    provided: usize,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Parts lent to the shard.
    lent: u32,
    /// Where the kernel's next receive into this buffer will start.
    filled: u32,
    /// The kernel may receive into it.
    provided: bool,
}

impl ReceiveBuffers {
    /// Both groups, [`GENERAL`] and [`GREEDY`].
    ///
    /// # Errors, Safety
    /// Those of [`Self::register`], for each.
    pub(super) unsafe fn register_both(
        submitter: &Submitter<'_>,
        counts: [[u16; 2]; 2],
        incremental: bool,
    ) -> io::Result<[ReceiveBuffers; 2]> {
        // SAFETY: the caller's promise.
        let general = unsafe { Self::register(submitter, GENERAL, counts[GENERAL], incremental)? };
        // SAFETY: as above. Where this fails nothing is in flight yet, and the ring goes before the memory is used anew.
        let greedy = unsafe { Self::register(submitter, GREEDY, counts[GREEDY], incremental) };
        match greedy {
            Ok(greedy) => Ok([general, greedy]),
            Err(error) => {
                general.unregister(submitter)?;
                Err(error)
            }
        }
    }

    /// The group a part is in.
    pub(super) fn group_of(id: &BufferId) -> usize {
        (id.0 >> GROUP_SHIFT) as usize
    }

    /// Registers so many buffers with a ring, as one in the incremental mode if `incremental` and possible; otherwise at
    /// least the second number of them.
    ///
    /// # Errors
    /// The kernel knows no provided buffer rings (under 5.19), or no memory could be pinned.
    ///
    /// # Safety
    /// What is returned must outlive the registration: it may be dropped only when the ring has no
    /// operation in flight and [`Self::unregister`] has succeeded, or when the ring is gone.
    unsafe fn register(
        submitter: &Submitter<'_>,
        group: usize,
        [count, whole_min]: [u16; 2],
        incremental: bool,
    ) -> io::Result<ReceiveBuffers> {
        let most = count.max(whole_min);
        assert!(count >= 1 && most <= 1 << 15, "1 to 32768 buffers");
        let entries = most.next_power_of_two();
        let descriptions = Block::new(usize::from(entries) * size_of::<BufRingEntry>());
        let register = |flags| {
            let address = descriptions.start.as_ptr() as u64;
            // SAFETY: the block is page-aligned and holds `entries` descriptions; the caller sees to it
            // that it outlives the registration.
            unsafe { submitter.register_buf_ring_with_flags(address, entries, group as u16, flags) }
        };
        let incremental = incremental && register(INCREMENTAL).is_ok();
        if !incremental {
            register(0)?;
        }
        let (count, buffer_bytes) = match incremental {
            true => (1, usize::from(count) * RECEIVE_BUFFER_BYTES),
            false => (most, RECEIVE_BUFFER_BYTES),
        };
        let mut buffers = ReceiveBuffers {
            group: group as u32,
            descriptions,
            bytes: Block::new(usize::from(count) * buffer_bytes),
            mask: entries - 1,
            tail: 0,
            incremental,
            buffer_bytes,
            states: vec![State::default(); usize::from(count)].into_boxed_slice(),
            provided: 0,
        };
        (0..count).for_each(|index| buffers.provide(index));
        Ok(buffers)
    }

    /// Takes the registration back. After it the kernel does not touch the memory any more, provided
    /// that no operation is in flight.
    pub(super) fn unregister(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buf_ring(self.group as u16)
    }

    /// Whether the kernel fills buffers by and by.
    pub(super) fn incremental(&self) -> bool {
        self.incremental
    }

    /// Whether a receive could find a buffer.
    pub(super) fn any_provided(&self) -> bool {
        self.provided > 0
    }

    /// Notes that the kernel has received `len` bytes into a buffer, and lends them to the shard; whether the buffer is full now.
    /// `more`: the kernel goes on filling this buffer.
    pub(super) fn lend(&mut self, index: u16, len: usize, more: bool) -> (BufferId, bool) {
        let state = &mut self.states[usize::from(index)];
        debug_assert!(state.provided, "received into a buffer not provided");
        let start = state.filled;
        state.lent += 1;
        state.filled += len as u32;
        assert!(state.filled as usize <= self.buffer_bytes);
        if !more {
            state.provided = false;
            self.provided -= 1;
        }
        let full = state.filled as usize == self.buffer_bytes;
        let place = u32::from(index) * self.buffer_bytes as u32 + start;
        (BufferId(self.group << GROUP_SHIFT | place), full)
    }

    /// Notes that the kernel gave up a buffer without receiving into it.
    pub(super) fn given_up(&mut self, index: u16, more: bool) {
        let (unused, _) = self.lend(index, 0, more);
        self.recycle(unused);
    }

    /// What was lent, and the rest of the buffer.
    pub(super) fn bytes(&self, id: &BufferId) -> &[u8] {
        let start = place(id);
        let end = (start / self.buffer_bytes + 1) * self.buffer_bytes;
        assert!(end <= self.states.len() * self.buffer_bytes);
        // SAFETY: within the block, which is initialised (zeroed, then written by the kernel) and lives as
        // long as self. Nobody writes while this borrow lasts: in the plain mode the buffer is not the
        // kernel's while it is lent; in the incremental mode the kernel writes only in io_uring_enter of
        // this thread (DEFER_TASKRUN, which `setup` asks for with it), which takes `&mut` of the ring.
        unsafe { std::slice::from_raw_parts(self.bytes.start.as_ptr().add(start), end - start) }
    }

    /// Takes a part back; the buffer goes to the kernel again when all of it is back.
    pub(super) fn recycle(&mut self, id: BufferId) {
        let index = (place(&id) / self.buffer_bytes) as u16;
        let state = &mut self.states[usize::from(index)];
        assert!(state.lent > 0, "a buffer given back twice");
        state.lent -= 1;
        if state.lent == 0 && !state.provided {
            self.provide(index);
        }
    }

    fn provide(&mut self, index: u16) {
        self.states[usize::from(index)] = State {
            lent: 0,
            filled: 0,
            provided: true,
        };
        self.provided += 1;
        let offset = u64::from(index) * self.buffer_bytes as u64;
        let address = self.bytes.start.as_ptr() as u64 + offset;
        let entries = self.descriptions.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the masked index is within the block. The kernel reads only descriptions before the
        // tail, and this one is behind it: at most `mask + 1` buffers are provided at a time. The fields
        // written are not the tail, which lies in the unused field of the first description.
        let entry = unsafe { &mut *entries.add(usize::from(self.tail & self.mask)) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a u16 in the first description, aligned, and shared with the kernel, which
        // reads it atomically. Release: the description is written before the kernel sees it provided.
        unsafe {
            let tail = BufRingEntry::tail(entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

/// Where a part starts, in its group.
fn place(id: &BufferId) -> usize {
    (id.0 & !(1 << GROUP_SHIFT)) as usize
}

/// Zeroed memory, page-aligned.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    fn new(bytes: usize) -> Block {
        let layout = Layout::from_size_align(bytes, PAGE_BYTES).expect("a small block");
        assert!(bytes > 0);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Block { start, layout }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, once; whoever registered it with a kernel has seen to it
        // that the kernel is done with it.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

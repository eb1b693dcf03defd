//! Received bytes while a shard works on them. Owns the claim on the ring's buffer, not the buffer.

use std::ops::Deref;
use std::ptr::NonNull;

use super::ring::{BufferId, Ring};

/// A lent buffer's bytes, usable beside the ring itself: a session sends while it reads.
#[derive(Debug)]
pub struct Lent {
    id: BufferId,
    bytes: NonNull<[u8]>,
}

impl Lent {
    /// The first `len` bytes of a buffer that the ring has lent.
    pub fn new<R: Ring>(ring: &R, id: BufferId, len: usize) -> Self {
        let bytes = NonNull::from(&ring.buffer(&id)[..len]);
        Lent { id, bytes }
    }

    /// Gives the buffer back.
    pub fn recycle<R: Ring>(self, ring: &mut R) {
        ring.recycle(self.id);
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: a ring neither moves, frees nor writes a lent buffer before `Ring::recycle` takes its id, which
        // only `Lent::recycle` can do as it owns the id; a shard drops no ring while it handles a buffer of it.
        unsafe { self.bytes.as_ref() }
    }
}

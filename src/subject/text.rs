//! Owns the bytes of patterns and tokens: short ones in place, long ones apart. Never interprets them.

use super::slab::Slab;

/// The length that says "the bytes are in [`LongTexts`]".
const LONG: u8 = u8::MAX;

/// Up to `N` bytes in place; more in [`LongTexts`], with the key in the first four bytes here.
///
/// It must be released to the [`LongTexts`] it was stored with.
#[derive(Debug)]
pub(super) struct Text<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

/// The texts that did not fit in place.
#[derive(Debug)]
pub(super) struct LongTexts {
    texts: Slab<Box<[u8]>>,
    bytes: usize,
}

impl<const N: usize> Text<N> {
    const FITS: () = assert!(N >= 4 && N < LONG as usize);

    /// Stores a text.
    pub(super) fn store(text: &[u8], long: &mut LongTexts) -> Self {
        let () = Self::FITS;
        let mut bytes = [0; N];
        if let Some(place) = bytes.get_mut(..text.len()) {
            place.copy_from_slice(text);
            return Text {
                len: text.len() as u8,
                bytes,
            };
        }
        long.bytes += text.len();
        bytes[..4].copy_from_slice(&long.texts.insert(text.into()).to_le_bytes());
        Text { len: LONG, bytes }
    }

    /// The bytes stored.
    #[inline]
    pub(super) fn get<'a>(&'a self, long: &'a LongTexts) -> &'a [u8] {
        match self.bytes.get(..self.len as usize) {
            Some(text) => text,
            None => long.texts.get(self.key()),
        }
    }

    /// Gives back the memory of a long text.
    pub(super) fn release(self, long: &mut LongTexts) {
        if self.len == LONG {
            long.bytes -= long.texts.remove(self.key()).len();
        }
    }

    fn key(&self) -> u32 {
        u32::from_le_bytes([self.bytes[0], self.bytes[1], self.bytes[2], self.bytes[3]])
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text {
            len: 0,
            bytes: [0; N],
        }
    }
}

impl LongTexts {
    /// None yet, without memory.
    pub(super) const fn new() -> Self {
        LongTexts {
            texts: Slab::new(),
            bytes: 0,
        }
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.texts.memory_bytes() + self.bytes
    }

    /// The number of long texts.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }
}

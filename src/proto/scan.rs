//! Finds separators in the first bytes of a control line, sixteen at a time. Never allocates.

use wide::u8x16;

/// How many bytes [`separators`] looks at.
pub const WINDOW: usize = 64;

/// Bit `i` is set where byte `i` is a space or a control character (at most `0x20`).
#[inline(always)]
pub fn separators(window: &[u8; WINDOW]) -> u64 {
    let limit = u8x16::splat(0x20);
    let (parts, _) = window.as_chunks::<16>();
    let mut mask = 0u64;
    for (i, part) in parts.iter().enumerate() {
        let lanes = u8x16::new(*part);
        mask |= u64::from(lanes.min(limit).simd_eq(lanes).to_bitmask()) << (16 * i);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_value_at_every_place() {
        for value in 0..=255u8 {
            for place in 0..WINDOW {
                let mut window = [b'x'; WINDOW];
                window[place] = value;
                let expected = if value <= 0x20 { 1u64 << place } else { 0 };
                assert_eq!(separators(&window), expected, "{value} at {place}");
            }
        }
    }
}

//! Whether resident memory grows from round to round of the same work. Owns how that is told from the allocator's noise.

/// The reading of a round goes up and down by some tens of MB: what was freed goes back to the system late. The least of
/// some rounds does not, so that of the last third is held against that of the second.
pub fn assert_steady(resident: &[u64], bytes_a_round_max: u64) {
    let part = resident.len() / 3;
    assert!(part > 1, "too few rounds: {resident:?}");
    let least = |rounds: &[u64]| rounds.iter().copied().min().expect("some");
    let before = least(&resident[part..resident.len() - part]);
    let after = least(&resident[resident.len() - part..]);
    let growth = after.saturating_sub(before);
    println!("resident after each round: {resident:?}");
    assert!(
        growth <= part as u64 * bytes_a_round_max,
        "resident memory grows by {growth} bytes in {part} rounds: {resident:?}"
    );
}

//! Owns `jetstream` where it says "off", of the outermost level and of accounts: files made by generators say so.
//! Never takes anything that asks for JetStream: that is refused.

use super::{Field, Schema};
use crate::config::value::{Kind, Map};

/// What a member of the block has to be.
enum Sort {
    Flag,
    Text,
    Whole,
    /// A number, or a text such as "10G".
    Size,
    Duration,
    /// "always", or a duration.
    Sync,
    Cipher,
    Block(&'static [Member]),
}

/// The names of a member, and its sort.
type Member = (&'static [&'static str], Sort);

const MEMBERS: &[Member] = &[
    (&["cipher"], Sort::Cipher),
    (&["domain"], Sort::Text),
    (&["enable", "enabled"], Sort::Flag),
    (&["encryption_key", "ek", "key"], Sort::Text),
    (&["extension_hint"], Sort::Text),
    (&["info_queue_limit"], Sort::Whole),
    (&["limits"], Sort::Block(LIMITS)),
    (&["max_buffered_msgs"], Sort::Whole),
    (&["max_buffered_size"], Sort::Size),
    (&["max_concurrent_io"], Sort::Whole),
    (&["max_file", "max_file_store"], Sort::Size),
    (
        &["max_mem", "max_mem_store", "max_memory_store"],
        Sort::Size,
    ),
    (&["max_outstanding_catchup"], Sort::Size),
    (&["meta_compact"], Sort::Whole),
    (&["meta_compact_size"], Sort::Size),
    (&["meta_compact_sync"], Sort::Flag),
    (&["prev_encryption_key", "prev_ek", "prev_key"], Sort::Text),
    (&["request_queue_limit"], Sort::Whole),
    (&["store", "store_dir", "storedir"], Sort::Text),
    (&["strict"], Sort::Flag),
    (&["sync", "sync_interval"], Sort::Sync),
    (&["tpm"], Sort::Block(TPM)),
    (&["unique_tag"], Sort::Text),
];

const LIMITS: &[Member] = &[
    (&["batch"], Sort::Block(BATCH)),
    (&["duplicate_window"], Sort::Duration),
    (&["max_ack_pending"], Sort::Whole),
    (&["max_ha_assets"], Sort::Whole),
    (&["max_request_batch"], Sort::Whole),
];

const BATCH: &[Member] = &[
    (&["max_inflight_per_stream"], Sort::Whole),
    (&["max_inflight_total"], Sort::Whole),
    (&["max_msgs"], Sort::Whole),
    (&["timeout"], Sort::Duration),
];

const TPM: &[Member] = &[
    (&["cipher"], Sort::Cipher),
    (&["encryption_password"], Sort::Text),
    (&["keys_file"], Sort::Text),
    (&["pcr"], Sort::Whole),
    (&["srk_password"], Sort::Text),
];

/// The server's. In a block that is switched off the other members mean nothing, but have to be what they should be.
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) {
    match &field.value.kind {
        Kind::Map(map) if is_disabled(map) => members(schema, map, MEMBERS),
        _ => of_account(schema, field),
    }
}

/// An account's: its block is of limits, and has no switch.
pub(super) fn of_account(schema: &mut Schema<'_>, field: Field<'_>) {
    if !says_off(&field.value.kind) {
        schema.refuse_yet(field);
    }
}

fn says_off(kind: &Kind) -> bool {
    match kind {
        Kind::Boolean(on) => !on,
        Kind::Text(text) => matches!(&*text.to_lowercase(), "disable" | "disabled"),
        _ => false,
    }
}

/// Whether the last switch in a block is off.
fn is_disabled(map: &Map) -> bool {
    let switches = map.iter().map(Field::of);
    let last = switches
        .filter(|field| matches!(&*field.key(), "enable" | "enabled"))
        .last();
    last.is_some_and(|field| matches!(field.value.kind, Kind::Boolean(false)))
}

fn members(schema: &mut Schema<'_>, map: &Map, known: &[Member]) {
    for field in map.iter().map(Field::of) {
        let key = field.key();
        match known.iter().find(|(names, _)| names.contains(&&*key)) {
            Some((_, sort)) => member(schema, field, sort),
            None => {
                let names: Vec<&str> = known
                    .iter()
                    .flat_map(|(names, _)| *names)
                    .copied()
                    .collect();
                schema.unknown(field, &names);
            }
        }
    }
}

fn member(schema: &mut Schema<'_>, field: Field<'_>, sort: &Sort) {
    match (sort, &field.value.kind) {
        (Sort::Flag, _) => _ = schema.boolean(field),
        (Sort::Text, _) => _ = schema.text(field),
        (Sort::Whole, _) => _ = schema.integer(field),
        (Sort::Size, Kind::Integer(_)) => {}
        (Sort::Size, Kind::Text(text)) if is_size(text) => {}
        (Sort::Size, _) => schema.wrong(field, "a size such as 10G"),
        (Sort::Sync, Kind::Text(text)) if text.eq_ignore_ascii_case("always") => {}
        (Sort::Duration | Sort::Sync, _) => _ = schema.duration_ms(field),
        (Sort::Cipher, _) => {
            let known = |text: &str| matches!(text, "aes" | "chacha" | "chachapoly");
            if let Some(text) = schema.text(field)
                && !known(&text.to_lowercase())
            {
                let text = format!("{text:?} is not a cipher; there are chacha and aes");
                schema.error(field.at, text);
            }
        }
        (Sort::Block(known), _) => {
            if let Some(map) = schema.map(field) {
                members(schema, map, known);
            }
        }
    }
}

/// Digits and a unit, as in a text.
fn is_size(text: &str) -> bool {
    let digits = text.strip_suffix(['K', 'M', 'G', 'T']);
    text.is_empty() || digits.is_some_and(|digits| digits.parse::<i64>().is_ok())
}

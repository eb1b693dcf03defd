//! Owns the names of the oracle's settings that gannet refuses, so that none is taken and ignored, and the values by
//! which each asks for nothing: files made by generators switch off by name what they do not want.
//! Never holds a name that gannet reads: that is in `settings`.

use crate::config::value::Kind;

/// Whether a value asks for nothing.
type Off = fn(&Kind) -> bool;

/// Settings of features that are to come.
pub(super) const LATER: &[(&str, Off)] = &[
    ("cluster", no_members),
    ("connect_error_reports", never),
    ("default_js_domain", never),
    ("gateway", no_members),
    ("http", zero),
    ("http_base_path", never),
    ("http_port", zero),
    ("https", zero),
    ("https_port", zero),
    ("lame_duck_duration", never),
    ("lame_duck_grace_period", never),
    ("leaf", no_members),
    ("leafnodes", no_members),
    ("max_closed_clients", never),
    ("monitor_port", zero),
    ("mqtt", no_members),
    ("ocsp", no),
    ("ocsp_cache", no),
    ("proxies", never),
    ("proxy_protocol", no),
    ("reconnect_error_reports", never),
    ("remote_syslog", nothing),
    ("syslog", no),
    ("websocket", no_members),
    ("write_timeout", never),
    ("ws", no_members),
];

/// Settings that are about the inside of the oracle, why gannet has nothing they could set, and when they set nothing.
pub(super) const NEVER: &[(&str, &str, Off)] = &[
    ("disable_sublist_cache", NO_CACHE, no),
    ("no_sublist_cache", NO_CACHE, no),
    (
        "feature_flags",
        "it switches parts of nats-server on and off",
        never,
    ),
    ("prof_block_rate", PROFILER, zero),
    ("prof_port", PROFILER, zero),
];

const NO_CACHE: &str = "the matching of subjects is another one here";
const PROFILER: &str = "it belongs to the profiler of Go programs; use perf instead";

fn never(_: &Kind) -> bool {
    false
}

fn no(kind: &Kind) -> bool {
    matches!(kind, Kind::Boolean(false))
}

fn zero(kind: &Kind) -> bool {
    matches!(kind, Kind::Integer(0))
}

fn nothing(kind: &Kind) -> bool {
    matches!(kind, Kind::Text(text) if text.is_empty())
}

/// A block that opens no port and connects to nothing.
fn no_members(kind: &Kind) -> bool {
    matches!(kind, Kind::Map(map) if map.is_empty())
}

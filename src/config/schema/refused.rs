//! Owns the names of the oracle's settings that gannet refuses, so that none is taken and ignored.
//! Never holds a name that gannet reads: that is in `settings`.

/// Settings of features that are to come.
pub(super) const LATER: &[&str] = &[
    "cluster",
    "connect_error_reports",
    "default_js_domain",
    "gateway",
    "http",
    "http_base_path",
    "http_port",
    "https",
    "https_port",
    "jetstream",
    "lame_duck_duration",
    "lame_duck_grace_period",
    "leaf",
    "leafnodes",
    "max_closed_clients",
    "monitor_port",
    "mqtt",
    "ocsp",
    "ocsp_cache",
    "proxies",
    "proxy_protocol",
    "reconnect_error_reports",
    "remote_syslog",
    "syslog",
    "websocket",
    "write_timeout",
    "ws",
];

/// Settings that are about the inside of the oracle, and why gannet has nothing they could set.
pub(super) const NEVER: &[(&str, &str)] = &[
    ("disable_sublist_cache", NO_CACHE),
    ("no_sublist_cache", NO_CACHE),
    (
        "feature_flags",
        "it switches parts of nats-server on and off",
    ),
    ("prof_block_rate", PROFILER),
    ("prof_port", PROFILER),
];

const NO_CACHE: &str = "the matching of subjects is another one here";
const PROFILER: &str = "it belongs to the profiler of Go programs; use perf instead";

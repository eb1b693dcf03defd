//! Explanations against the broker: what `explain` says of a configuration is what the pure broker and its sessions do with
//! it. Random configurations, the examples of the documentation word for word, and what the log says of refusals.

mod agree;
mod broker;
mod denials;
mod jwt;
mod outcome;
mod page;
mod random;
#[path = "../sim/rng.rs"]
#[expect(dead_code, reason = "the simulation uses more of it")]
mod rng;

use std::path::Path;

use gannet::config::{Config, ConfigError, load_with};

/// Reads a configuration that stands in `f.conf`.
fn config(text: &str) -> Result<Config, Vec<ConfigError>> {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    load_with(Path::new("f.conf"), &|_| None, &read).map(|loaded| loaded.config)
}

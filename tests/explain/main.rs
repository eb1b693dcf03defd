//! Explanations against the broker: what `explain` says of a configuration is what the pure broker and its sessions do with
//! it. Random configurations, the examples of the documentation word for word, and what the log says of refusals.

mod agree;
mod answered;
mod broker;
mod denials;
mod jwt;
mod outcome;
mod page;
mod random;
#[path = "../sim/rng.rs"]
#[expect(dead_code, reason = "the simulation uses more of it")]
mod rng;
mod shut;

use std::io::ErrorKind;
use std::path::Path;

use gannet::config::{Config, ConfigError, load_with};

/// Reads a configuration that stands in `f.conf`.
fn config(text: &str) -> Result<Config, Vec<ConfigError>> {
    let read = |path: &Path| match path == Path::new("f.conf") {
        true => Ok(text.as_bytes().to_vec()),
        false => Err(ErrorKind::NotFound.into()),
    };
    load_with(Path::new("f.conf"), &|_| None, &read).map(|loaded| loaded.config)
}

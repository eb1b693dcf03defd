//! Owns the way from a file to a checked configuration. Never opens sockets, never logs.

use std::fmt;
use std::io;
use std::path::Path;

use super::parser::{self, Sources};
use super::{Config, Position, digest, schema};

/// What is wrong with a configuration, and where. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands.
    pub at: Position,
    /// A sentence that names the culprit.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration that can be started with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is taken but should be mended. The oracle starts with them and fails its `-t` for them.
    pub warnings: Vec<ConfigError>,
    /// What is as in the oracle and may surprise, but cannot be seen in `config` any more; the rest of it is
    /// found by [`lint`](super::lint()).
    pub hints: Vec<ConfigError>,
    /// `sha256:…` of the values in the file, equal to the oracle's of the same file.
    pub digest: String,
}

/// Loads the file at `path`; `env` looks up environment variables. Paths of includes are relative
/// to the file that holds them.
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<ConfigError>> {
    load_with(path, env, &|path| std::fs::read(path))
}

/// As [`load`], with `read` in place of the file system.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Vec<ConfigError>> {
    let parsed = parser::parse(path, Sources { env, read });
    let mut checked = schema::check(&parsed, read);
    let mut errors = parsed.errors;
    errors.append(&mut checked.errors);
    if !errors.is_empty() {
        errors.sort_by(|a, b| a.at.cmp(&b.at));
        return Err(errors);
    }
    if parsed.map.is_empty() {
        let at = Position {
            file: path.to_string_lossy().into(),
            line: 1,
            column: 1,
        };
        checked.warnings.push(ConfigError {
            at,
            text: "the file holds no settings".into(),
        });
    }
    let digest = digest::digest(&parsed.map);
    Ok(Loaded {
        config: checked.config,
        warnings: checked.warnings,
        hints: checked.hints,
        digest,
    })
}

//! From flags and file to a configuration that can be started or gone on with. Owns the order: the file, the flags over
//! it, what can only be seen of both; never puts anything into force.

use std::path::Path;

use crate::auth::operators::{self, OperatorMode};
use crate::cli::Flags;
use crate::config::{self, Config, ConfigError, Loaded};

use super::{resolver, tls};

/// Where a configuration came from, for the log.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file as named on the command line.
    pub path: String,
    /// Its digest.
    pub digest: String,
}

/// A configuration with nothing wrong.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The file's settings with the flags over them.
    pub config: Config,
    /// The file; `None` without one.
    pub source: Option<Source>,
    /// What is taken, but should be mended.
    pub warnings: Vec<String>,
}

/// Reads the file that the flags name, if they name one, and lays them over it.
///
/// # Errors
/// Everything that is wrong, a text each; with `--strict` the warnings as well.
pub fn read(flags: &Flags) -> Result<Ready, Vec<String>> {
    let (mut config, source, mut warnings, hints) = match &flags.config_file {
        None => (Config::default(), None, Vec::new(), Vec::new()),
        Some(file) => {
            let loaded = load(file)?;
            let source = Source {
                path: file.display().to_string(),
                digest: loaded.digest,
            };
            let warnings = texts(&loaded.warnings);
            (loaded.config, Some(source), warnings, loaded.hints)
        }
    };
    flags.apply(&mut config);
    let mut errors = config.check_start();
    errors.extend(OperatorMode::compile(&config).err().unwrap_or_default());
    if !errors.is_empty() {
        return Err(texts(&errors));
    }
    warnings.extend(Flags::warnings(&config));
    if flags.strict {
        warnings.extend(lint(&config, hints));
        if !warnings.is_empty() {
            return Err(warnings);
        }
    }
    Ok(Ready {
        config,
        source,
        warnings,
    })
}

/// The file's settings.
///
/// # Errors
/// Everything that is wrong with it, a text each.
pub fn load(file: &Path) -> Result<Loaded, Vec<String>> {
    let loaded = config::load(file, &|name| std::env::var(name).ok());
    let loaded = loaded.map_err(|errors| texts(&errors))?;
    let mut errors = operators::check(&loaded.config);
    errors.extend(resolver::check(&loaded.config));
    errors.extend(tls::load(&loaded.config).err().unwrap_or_default());
    match errors.is_empty() {
        true => Ok(loaded),
        false => Err(texts(&errors)),
    }
}

/// What gannet warns of beyond the oracle, in the order of the files.
pub fn lint(config: &Config, mut hints: Vec<ConfigError>) -> Vec<String> {
    hints.extend(config::lint(config));
    hints.sort_by(|a, b| a.at.cmp(&b.at));
    texts(&hints)
}

/// Errors as they are shown.
pub fn texts(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

//! Credentials files: a user's token and its seed between lines of dashes. Owns finding them in the text; opens no file.

use std::fmt;

use nkeys::KeyPair;

/// What a credentials file holds. `Debug` shows no secret.
#[derive(Clone)]
pub struct Creds {
    /// The user's token.
    pub token: String,
    /// Its key, where the file has a seed.
    pub key: Option<KeyPair>,
}

/// Why a text is no credentials file. Displays nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredsError {
    /// There is no token in it.
    NoToken,
    /// What should be the seed is none.
    Seed,
}

impl Creds {
    /// Finds a token, and a seed if there is one: each alone on a line between two lines of dashes, the token first. A text
    /// without such lines is a token.
    ///
    /// # Errors
    /// See [`CredsError`].
    pub fn parse(text: &str) -> Result<Creds, CredsError> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut found = Vec::new();
        let mut rest = lines.as_slice();
        while let [first, body, last, after @ ..] = rest {
            if is_dashes(first) && !body.is_empty() && !is_dashes(body) && is_dashes(last) {
                found.push(*body);
                rest = after;
            } else {
                rest = &rest[1..];
            }
        }
        if found.is_empty() && !lines.iter().any(|line| is_dashes(line)) {
            found.push(text.trim());
        }
        let token = found.first().filter(|token| !token.is_empty());
        let key = found.get(1).map(|seed| KeyPair::from_seed(seed));
        Ok(Creds {
            token: (*token.ok_or(CredsError::NoToken)?).to_owned(),
            key: key.transpose().map_err(|_| CredsError::Seed)?,
        })
    }
}

/// `-----BEGIN SOMETHING-----`.
fn is_dashes(line: &str) -> bool {
    line.len() >= 6 && line.starts_with("---") && line.ends_with("---")
}

impl fmt::Debug for Creds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[credentials]")
    }
}

impl std::error::Error for CredsError {}

impl fmt::Display for CredsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredsError::NoToken => "there is no token in the credentials file",
            CredsError::Seed => "the seed in the credentials file is none",
        })
    }
}

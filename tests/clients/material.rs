//! What clients log in with: certificates, seeds and credentials files, made for one run in a directory. Owns their names; the
//! keys, tokens and certificates are those of the differential tests.
//!
//! Certificates and keys, NAME.pem and NAME.key: `ca`, `other-ca`, `server`; clients `joe` and `names` (users of
//! `tls_map.conf`), `mail` (of the same authority, no user), `client-stray` (of another authority). Seeds, with their
//! public keys: `alice.seed`, `alice.pub`, `stranger.seed`, `stranger.pub`. Credentials: `app.creds`, and those that are refused: `expired.creds`, `foreign.creds` (by an account that
//! nobody knows), `mismatch.creds` (with the seed of somebody else).

use std::fs;
use std::path::Path;

use crate::keys::Keys;
use crate::pki::identities;
use crate::token::Block;

const IDENTITIES: &[&str] = &[
    "ca",
    "other-ca",
    "server",
    "joe",
    "names",
    "mail",
    "client-stray",
];

const TOKENS: &[(&str, &str)] = &[
    ("operator", "kind: operator\nby: O.op"),
    ("app", "kind: account\nby: O.op\nfor: A.app"),
    ("user", "kind: user\nby: A.app\nfor: U.alice"),
    ("expired", "like: user\nexp: -60"),
    ("foreign", "like: user\nby: A.foreign"),
];

const FILES: &[(&str, &str)] = &[
    ("alice.pub", "$pub(U.alice)"),
    ("stranger.pub", "$pub(U.stranger)"),
    ("alice.seed", "$seed(U.alice)"),
    ("stranger.seed", "$seed(U.stranger)"),
    ("app.creds", "$creds(user U.alice)"),
    ("expired.creds", "$creds(expired U.alice)"),
    ("foreign.creds", "$creds(foreign U.alice)"),
    ("mismatch.creds", "$creds(user U.stranger)"),
];

/// Writes all of them, and the configurations of `configs` with their marks replaced.
pub fn write(directory: &Path, configs: &Path, names: &[&str]) -> Result<(), String> {
    let write = |name: String, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    };
    for name in IDENTITIES {
        let identity = identities().get(name).ok_or("no such identity")?;
        write(format!("{name}.pem"), &identity.chain)?;
        write(format!("{name}.key"), &identity.key)?;
    }
    let block = |(name, text): &(&str, &str)| Ok(((*name).to_owned(), Block::parse(text)?));
    let tokens: Vec<_> = TOKENS.iter().map(block).collect::<Result<_, String>>()?;
    let keys = Keys::new(&tokens);
    for (name, text) in FILES {
        write((*name).to_owned(), &keys.text(text)?)?;
    }
    for name in names {
        let path = configs.join(format!("{name}.conf"));
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        write(format!("{name}.conf"), &keys.text(&text)?)?;
    }
    Ok(())
}

//! Keys of a case: made from names, the same every time, and what stands for them in scripts and transcripts.
//! Owns every mark that needs no connection; makes no token itself.

use std::cell::RefCell;
use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use nkeys::{KeyPair, KeyPairType, XKey};
use sha2::{Digest, Sha256};

use crate::marks::{Answer, expand};
use crate::token::Block;

/// Tokens within tokens.
const DEPTH_MAX: usize = 8;
/// Characters of a public key.
const PUBLIC_CHARS: usize = 56;

/// What marks only a running script can answer.
pub type Live<'a> = &'a mut dyn FnMut(&str, &str) -> Answer;

/// The keys and tokens of one run.
pub struct Keys<'a> {
    tokens: &'a [(String, Block)],
    /// When the run began.
    pub now: Timestamp,
    /// Texts that were put in, and the marks they came from.
    shown: RefCell<BTreeMap<String, String>>,
}

impl<'a> Keys<'a> {
    /// Those of a case that begins now.
    pub fn new(tokens: &'a [(String, Block)]) -> Self {
        Keys {
            tokens,
            now: Timestamp::now(),
            shown: RefCell::default(),
        }
    }

    /// Text that is in no connection: a file, a flag.
    pub fn text(&self, text: &str) -> Result<String, String> {
        let expanded = self.bytes(text.as_bytes(), &mut |_, _| Ok(None))?;
        String::from_utf8(expanded).map_err(|e| e.to_string())
    }

    /// Anything; `live` is asked first.
    pub fn bytes(&self, bytes: &[u8], live: Live<'_>) -> Result<Vec<u8>, String> {
        self.bytes_at(bytes, live, 0)
    }

    /// As `bytes`, so deep within tokens.
    pub fn bytes_at(&self, bytes: &[u8], live: Live<'_>, depth: usize) -> Result<Vec<u8>, String> {
        expand(bytes, &mut |word, argument| match live(word, argument)? {
            Some(text) => Ok(Some(text)),
            None => self.stands_for(word, argument, &mut *live, depth),
        })
    }

    /// The public key of a name, which transcripts then show by that name.
    pub fn public(&self, name: &str) -> Result<String, String> {
        let text = match name.starts_with('X') {
            true => curve(name).public_key(),
            false => key(name)?.public_key(),
        };
        let mark = format!("$pub({name})");
        self.shown.borrow_mut().insert(text.clone(), mark);
        Ok(text)
    }

    /// The block of a token.
    pub fn block(&self, name: &str) -> Result<&'a Block, String> {
        let found = self.tokens.iter().rfind(|(own, _)| own == name);
        found
            .map(|(_, block)| block)
            .ok_or_else(|| format!("there is no `jwt {name}:`"))
    }

    /// A transcript with keys and tokens replaced by the marks they came from.
    pub fn hide(&self, transcript: &str) -> String {
        let shown = self.shown.borrow();
        let mut texts: Vec<_> = shown.iter().collect();
        texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let known = texts
            .into_iter()
            .fold(transcript.to_owned(), |all, (text, mark)| {
                all.replace(text, mark)
            });
        hide_servers(&known)
    }

    fn stands_for(&self, word: &str, argument: &str, live: Live<'_>, depth: usize) -> Answer {
        let text = match word {
            "pub" => self.public(argument)?,
            "seed" => key(argument)?.seed().map_err(|e| e.to_string())?,
            "time" => (self.now.as_second() + seconds(argument)?).to_string(),
            "clock" => return self.clock(argument).map(|text| Some(text.into_bytes())),
            "jwt" if depth >= DEPTH_MAX => return Err("tokens within tokens without end".into()),
            "jwt" => self
                .block(argument)?
                .sign(argument, self, live, depth + 1)?,
            "len" => {
                let (token, more) = argument.split_once('+').unwrap_or((argument, "0"));
                let token = self.block(token)?.sign(token, self, live, depth + 1)?;
                (token.len() as i64 + seconds(more)?).to_string()
            }
            "creds" => {
                let (token, name) = argument
                    .split_once(' ')
                    .ok_or("a token and a key are wanted")?;
                let token = self.block(token)?.sign(token, self, live, depth + 1)?;
                creds(&token, &key(name)?)?
            }
            _ => return Ok(None),
        };
        if matches!(word, "seed" | "jwt") {
            let mark = format!("${word}({argument})");
            self.shown.borrow_mut().insert(text.clone(), mark);
        }
        Ok(Some(text.into_bytes()))
    }

    fn clock(&self, argument: &str) -> Result<String, String> {
        let (offset, zone) = argument.split_once(' ').unwrap_or((argument, "UTC"));
        let zone = TimeZone::get(zone).map_err(|e| e.to_string())?;
        let time = self.now + seconds(offset)?.seconds();
        Ok(time.to_zoned(zone).strftime("%H:%M:%S").to_string())
    }
}

/// The key of a name: its first letter says the kind, its hash is the secret.
pub fn key(name: &str) -> Result<KeyPair, String> {
    let kind = match name.chars().next() {
        Some('O') => KeyPairType::Operator,
        Some('A') => KeyPairType::Account,
        Some('U') => KeyPairType::User,
        Some('N') => KeyPairType::Server,
        _ => {
            return Err(format!(
                "the name of a key begins with O, A, U, N or X: {name:?}"
            ));
        }
    };
    KeyPair::new_from_raw(kind, secret(name)).map_err(|e| e.to_string())
}

/// The curve key of a name.
pub fn curve(name: &str) -> XKey {
    XKey::new_from_raw(secret(name))
}

fn secret(name: &str) -> [u8; 32] {
    Sha256::digest(format!("gannet's tests: {name}")).into()
}

/// A signature in the two alphabets that the marks `sign` and `sign64` name.
pub fn signature(word: &str, name: &str, signed: &[u8]) -> Result<Vec<u8>, String> {
    let key = match nkeys::KeyPair::from_seed(name) {
        Ok(key) => key,
        Err(_) => key(name)?,
    };
    let bytes = key.sign(signed).map_err(|e| e.to_string())?;
    Ok(match word {
        "sign64" => BASE64.encode(&bytes),
        _ => BASE64URL_NOPAD.encode(&bytes),
    }
    .into_bytes())
}

/// `+60`, `-5`, `0`.
pub fn seconds(text: &str) -> Result<i64, String> {
    text.parse().map_err(|e| format!("{text:?}: {e}"))
}

fn creds(token: &str, key: &KeyPair) -> Result<String, String> {
    let seed = key.seed().map_err(|e| e.to_string())?;
    Ok(format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ))
}

/// Keys of servers are never the same twice.
fn hide_servers(text: &str) -> String {
    let is_key = |c: char| c.is_ascii_uppercase() || matches!(c, '2'..='7');
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_key) {
        let length = rest[start..]
            .find(|c| !is_key(c))
            .unwrap_or(rest.len() - start);
        let (before, word) = rest[..start + length].split_at(start);
        out.push_str(before);
        let whole = word.len() == PUBLIC_CHARS && nkeys::from_public_key(word).is_ok();
        out.push_str(match word.as_bytes()[0] {
            b'N' if whole => "$server",
            b'X' if whole => "$xkey",
            _ => word,
        });
        rest = &rest[start + length..];
    }
    out + rest
}

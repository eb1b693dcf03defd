//! `jwt NAME:` blocks: text to [`Block`]s, and those to signed tokens. Owns both; knows no connection.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512_256};

use crate::keys::{Keys, Live, key, seconds};

/// When tokens are issued that do not say when.
const ISSUED: i64 = 1_704_067_200;

const KEYS: &[&str] = &[
    "like", "kind", "by", "for", "name", "iat", "exp", "nbf", "aud", "version", "nats", "claims",
    "header", "flaw",
];

/// What a block says, in order.
#[derive(Clone, Default, Debug)]
pub struct Block(Vec<(&'static str, String)>);

impl Block {
    /// Reads a block.
    pub fn parse(text: &str) -> Result<Block, String> {
        let mut block = Block::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let key = line.split_once(':').and_then(|(word, value)| {
                let key = KEYS.iter().find(|key| **key == word)?;
                Some((*key, value.trim().to_owned()))
            });
            match (key, block.0.last_mut()) {
                (Some(entry), _) => block.0.push(entry),
                (None, Some((_, value))) => value.push_str(line),
                (None, None) => return Err(format!("no such key: {line}")),
            }
        }
        Ok(block)
    }

    /// The token.
    pub fn sign(
        &self,
        name: &str,
        keys: &Keys<'_>,
        live: Live<'_>,
        depth: usize,
    ) -> Result<String, String> {
        let entries = self.resolved(keys, depth)?;
        let mut maker = Maker {
            name,
            entries,
            keys,
            live,
            depth,
        };
        maker.token().map_err(|e| format!("jwt {name}: {e}"))
    }

    /// With what `like` names before it.
    fn resolved(
        &self,
        keys: &Keys<'_>,
        depth: usize,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let mut all = Vec::new();
        for (key, value) in &self.0 {
            match *key {
                "like" if depth > 20 => return Err("`like` without end".into()),
                "like" => all.extend(keys.block(value)?.resolved(keys, depth + 1)?),
                key => all.push((key, value.clone())),
            }
        }
        Ok(all)
    }
}

struct Maker<'a, 'b> {
    name: &'a str,
    entries: Vec<(&'static str, String)>,
    keys: &'a Keys<'b>,
    live: Live<'a>,
    depth: usize,
}

impl Maker<'_, '_> {
    fn token(&mut self) -> Result<String, String> {
        let old = self.last("version").as_deref() == Some("1");
        let claims = self.claims(old)?;
        let header = match old {
            true => json!({"typ": "jwt", "alg": "ed25519"}),
            false => json!({"typ": "JWT", "alg": "ed25519-nkey"}),
        };
        let header = self.merged("header", header)?;
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let (header, mut payload) = (part(&header), part(&claims));
        let signed = match old {
            true => payload.clone(),
            false => format!("{header}.{payload}"),
        };
        let issuer = self.last("by").ok_or("`by` is missing")?;
        let flaw = self.last("flaw").unwrap_or_default();
        let signer = match &*flaw {
            "key" => key(&format!("{issuer}, somebody else"))?,
            _ => key(&issuer)?,
        };
        let mut signature = signer.sign(signed.as_bytes()).map_err(|e| e.to_string())?;
        match &*flaw {
            "" | "key" => {}
            "signature" => signature[20] ^= 1,
            "unsigned" => signature.clear(),
            "payload" => {
                let mut changed = claims;
                changed["iat"] = 1.into();
                payload = part(&changed);
            }
            other => return Err(format!("no such flaw: {other}")),
        }
        Ok(format!(
            "{header}.{payload}.{}",
            BASE64URL_NOPAD.encode(&signature)
        ))
    }

    fn claims(&mut self, old: bool) -> Result<Value, String> {
        let kind = self.last("kind").ok_or("`kind` is missing")?;
        let issuer = self.last("by").ok_or("`by` is missing")?;
        let subject = self.last("for").unwrap_or_else(|| issuer.clone());
        let mut claims = Map::new();
        for at in ["exp", "nbf", "iat"] {
            let written = self.last(at).map(|text| self.time(&text)).transpose()?;
            if let Some(time) = written.or((at == "iat").then_some(ISSUED)) {
                claims.insert(at.into(), time.into());
            }
        }
        let name = self.last("name").unwrap_or_else(|| self.name.to_owned());
        if name != "-" {
            claims.insert("name".into(), name.into());
        }
        if let Some(audience) = self.last("aud") {
            claims.insert("aud".into(), self.expanded(&audience)?.into());
        }
        claims.insert("iss".into(), self.keys.public(&issuer)?.into());
        let subject = match subject.starts_with('$') {
            true => self.expanded(&subject)?,
            false => self.keys.public(&subject)?,
        };
        claims.insert("sub".into(), subject.into());
        let mut nats = limits(&kind, old);
        if old {
            claims.insert("type".into(), kind.into());
        } else {
            nats["type"] = kind.into();
            nats["version"] = 2.into();
        }
        let nats = self.merged("nats", nats)?;
        claims.insert("nats".into(), nats);
        let hash = Sha512_256::digest(Value::Object(claims.clone()).to_string());
        claims.insert("jti".into(), BASE32_NOPAD.encode(&hash).into());
        self.merged("claims", Value::Object(claims))
    }

    fn last(&self, key: &str) -> Option<String> {
        let found = self.entries.iter().rfind(|(own, _)| *own == key);
        found.map(|(_, value)| value.clone())
    }

    fn time(&self, text: &str) -> Result<i64, String> {
        match text.strip_prefix('@') {
            Some(absolute) => seconds(absolute),
            None => Ok(self.keys.now.as_second() + seconds(text)?),
        }
    }

    fn expanded(&mut self, text: &str) -> Result<String, String> {
        let bytes = self
            .keys
            .bytes_at(text.as_bytes(), &mut *self.live, self.depth)?;
        String::from_utf8(bytes).map_err(|e| e.to_string())
    }

    /// With every value of `key` merged in.
    fn merged(&mut self, key: &str, mut into: Value) -> Result<Value, String> {
        let patches = self.entries.iter().filter(|(own, _)| *own == key);
        let patches: Vec<String> = patches.map(|(_, value)| value.clone()).collect();
        for patch in patches {
            let patch = self.expanded(&patch)?;
            let patch = serde_json::from_str(&patch).map_err(|e| format!("{key}: {patch}: {e}"))?;
            merge(&mut into, patch);
        }
        Ok(into)
    }
}

/// What the usual tools write, so that nothing is limited.
fn limits(kind: &str, old: bool) -> Value {
    match kind {
        "account" => json!({"limits": {
            "subs": -1, "data": -1, "payload": -1,
            "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        }}),
        "user" if !old => json!({"subs": -1, "data": -1, "payload": -1}),
        _ => json!({}),
    }
}

/// RFC 7396.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let fields = into.as_object_mut().expect("just made");
    for (key, value) in patch {
        match value {
            Value::Null => {
                fields.shift_remove(&key);
            }
            value => merge(fields.entry(key).or_insert(Value::Null), value),
        }
    }
}

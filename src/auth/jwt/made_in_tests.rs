//! Keys and tokens for the tests of this module. Owns their making; checks nothing.

use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::token;

/// When everything here happens: 2024-06-01T12:00:00Z.
pub(super) const NOW: i64 = 1_717_243_200;

/// The key of a name, whose first letter is its kind.
pub(super) fn key(name: &str) -> KeyPair {
    let kind = match &name[..1] {
        "O" => KeyPairType::Operator,
        "A" => KeyPairType::Account,
        "N" => KeyPairType::Server,
        _ => KeyPairType::User,
    };
    let secret: [u8; 32] = Sha256::digest(name).into();
    KeyPair::new_from_raw(kind, secret).expect("32 bytes are a secret")
}

/// Its public half.
pub(super) fn public(name: &str) -> String {
    key(name).public_key()
}

/// A token signed by `by`, issued a day ago.
pub(super) fn sign(by: &str, claims: Value) -> String {
    const DAY: i64 = 24 * 60 * 60;
    token::encode(claims, &key(by), NOW - DAY).expect("the key has a seed")
}

/// Claims of version 2 with limits that limit nothing; `nats` and `claims` are merged in, `null` removes.
pub(super) fn claims(kind: &str, of: &str, nats: Value, more: Value) -> Value {
    let mut own = match kind {
        "account" => json!({"limits": {"subs": -1, "data": -1, "payload": -1, "imports": -1,
            "exports": -1, "wildcards": true, "conn": -1, "leaf": -1}}),
        "user" => json!({"subs": -1, "data": -1, "payload": -1}),
        _ => json!({}),
    };
    merge(&mut own, nats);
    own["type"] = kind.into();
    own["version"] = 2.into();
    let mut claims = json!({"sub": public(of), "name": of, "nats": own});
    merge(&mut claims, more);
    claims
}

/// RFC 7396.
pub(super) fn merge(into: &mut Value, patch: Value) {
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

/// Public keys by the names they were made from, for what is compared.
pub(super) fn named(text: &str, names: &[&str]) -> String {
    names.iter().fold(text.to_owned(), |text, name| {
        text.replace(&public(name), name)
    })
}

//! Owns the tests of requests about account JWTs: what is answered, kept and asked for. Never opens a file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use expect_test::{Expect, expect};
use nkeys::{KeyPair, KeyPairType};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::jwt::{OperatorClaims, encode};
use crate::auth::resolver::index::Index;
use crate::auth::resolver::replaces;

const NOW_S: i64 = 1_000_000;

/// A key made from its name; the first letter is its kind.
fn key(name: &str) -> KeyPair {
    let kind = match &name[..1] {
        "O" => KeyPairType::Operator,
        "A" => KeyPairType::Account,
        _ => KeyPairType::User,
    };
    KeyPair::new_from_raw(kind, Index::hash_of(name.as_bytes())).expect("a key")
}

fn public(name: &str) -> String {
    key(name).public_key()
}

/// A token by one key for another, with these members of `nats` and claims.
fn token(by: &str, subject: &str, nats: Value, more: Value) -> String {
    let mut claims = json!({"name": subject, "sub": public(subject), "nats": nats});
    for (name, value) in more.as_object().expect("members") {
        claims[name] = value.clone();
    }
    encode(claims, &key(by), NOW_S).expect("a token")
}

fn account(by: &str, name: &str, more: Value) -> String {
    let nats = json!({"type": "account", "version": 2, "limits": {"conn": -1, "imports": -1, "exports": -1}});
    token(by, name, nats, more)
}

#[derive(Default)]
struct Jwts {
    jwts: BTreeMap<String, String>,
    allows_delete: bool,
    is_full: bool,
}

impl Store for Jwts {
    fn load(&mut self, key: &str, _: i64) -> io::Result<Option<String>> {
        Ok(self.jwts.get(key).cloned())
    }

    fn save(&mut self, key: &str, jwt: &str, _: i64) -> io::Result<bool> {
        if self.is_full && !self.jwts.contains_key(key) {
            return Err(io::Error::other("jwt store is full"));
        }
        let before = self.jwts.insert(key.to_owned(), jwt.to_owned());
        Ok(before.as_deref() != Some(jwt))
    }

    fn delete(&mut self, key: &str) -> io::Result<bool> {
        Ok(self.jwts.remove(key).is_some())
    }

    fn allows_delete(&self) -> bool {
        self.allows_delete
    }

    fn all(&self) -> io::Result<Vec<(String, String)>> {
        Ok(self.jwts.clone().into_iter().collect())
    }

    fn hash(&self) -> Hash {
        let mut index = Index::new(Default::default());
        for (key, jwt) in &self.jwts {
            index.put(key, Index::hash_of(jwt.as_bytes()), None, 0);
        }
        *index.hash()
    }
}

/// Trusts the operator `O` and its signing key `Osign`; the system account is `Asys`.
fn mode(strict: bool) -> OperatorMode {
    let nats = json!({
        "type": "operator", "version": 2,
        "signing_keys": [public("Osign")], "strict_signing_key_usage": strict,
    });
    let operator = token("O", "O", nats, json!({}));
    let operators = vec![OperatorClaims::decode(&operator).expect("an operator")];
    let trusted = operators[0].trusted_keys().map(str::to_owned).collect();
    let at = crate::config::Places::default().get("system_account");
    OperatorMode {
        operators,
        trusted,
        strict: BTreeSet::new(),
        system_account: Some((public("Asys"), at)),
        resolver: None,
        preload: BTreeMap::new(),
        pinned: BTreeSet::new(),
        default_sentinel: None,
    }
}

struct Test {
    store: Jwts,
    mode: OperatorMode,
    role: Role,
    used: Vec<String>,
    /// Tokens by name, for what is printed.
    known: Vec<(String, String)>,
}

impl Test {
    fn new(role: Role) -> Test {
        Test {
            store: Jwts {
                allows_delete: true,
                ..Jwts::default()
            },
            mode: mode(false),
            role,
            used: vec![public("Aused")],
            known: Vec::new(),
        }
    }

    fn answer(&mut self, subject: &str, payload: &[u8]) -> Answer {
        let rules = Rules {
            role: self.role,
            mode: &self.mode,
            in_use: &|key| self.used.iter().any(|used| used == key),
        };
        let request = Request {
            subject,
            payload,
            wants_reply: true,
        };
        rules.answer(&mut self.store, request, NOW_S * 1000)
    }

    /// Replies, effects and what is kept, keys by name.
    fn check(&mut self, subject: &str, payload: &str, expected: Expect) {
        let answer = self.answer(subject, payload.as_bytes());
        let mut text = String::new();
        for reply in &answer.replies {
            text += &format!(
                "{}\n",
                String::from_utf8(reply.payload("{}")).expect("a text")
            );
        }
        for effect in &answer.effects {
            text += &match effect {
                Effect::Updated { account, .. } => format!("updated {account}\n"),
                Effect::Deleted { account } => format!("deleted {account}\n"),
            };
        }
        if let Some((level, log)) = &answer.log {
            text += &format!("{level}: {log}\n");
        }
        let kept: Vec<&str> = self.store.jwts.keys().map(String::as_str).collect();
        text += &format!("kept: {}\n", kept.join(" "));
        for name in ["O", "Osign", "Ox", "Asys", "Aused", "Anew", "Asmall"] {
            text = text.replace(&public(name), name);
        }
        for (name, token) in &self.known {
            text = text.replace(token, name);
        }
        expected.assert_eq(&text);
    }
}

const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";
const DELETE: &str = "$SYS.REQ.CLAIMS.DELETE";

fn of_account(name: &str, what: &str) -> String {
    format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.{what}", public(name))
}

#[test]
fn updates() {
    let mut test = Test::new(Role::Full);
    let jwt = account("O", "Anew", json!({}));
    test.check(
        UPDATE,
        &jwt,
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt updated"}}
        updated Anew
        DEBUG: jwt updated - Anew
        kept: Anew
    "#]],
    );
    // The same again changes nothing.
    test.check(
        &of_account("Anew", "UPDATE"),
        &jwt,
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt updated"}}
        DEBUG: jwt updated - Anew
        kept: Anew
    "#]],
    );
    let by_signing_key = account("Osign", "Anew", json!({}));
    let old = format!("$SYS.ACCOUNT.{}.CLAIMS.UPDATE", public("Anew"));
    test.check(
        &old,
        &by_signing_key,
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt updated"}}
        updated Anew
        DEBUG: jwt updated - Anew
        kept: Anew
    "#]],
    );
    test.check(&of_account("Aused", "UPDATE"), &jwt, expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update resulted in error - subject does not match jwt content"}}
        ERROR: jwt update resulted in error - Aused - subject does not match jwt content
        kept: Anew
    "#]]);
    test.store.is_full = true;
    test.check(UPDATE, &account("O", "Aused", json!({})), expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update resulted in error - jwt store is full"}}
        ERROR: jwt update resulted in error - Aused - jwt store is full
        kept: Anew
    "#]]);
}

#[test]
fn updates_that_are_refused() {
    let mut test = Test::new(Role::Full);
    test.check(UPDATE, "", expect![[r#"
        {"server":{},"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - expected 3 chunks"}}
        ERROR: jwt update resulted in error - n/a - expected 3 chunks
        kept: 
    "#]]);
    test.check(UPDATE, "a.b.c", expect![[r#"
        {"server":{},"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - the header is not base64url"}}
        ERROR: jwt update resulted in error - n/a - the header is not base64url
        kept: 
    "#]]);
    test.check(UPDATE, &account("Ox", "Anew", json!({})), expect![[r#"
        {"server":{},"error":{"account":"Anew","code":500,"description":"jwt update resulted in error - not trusted"}}
        ERROR: jwt update resulted in error - Anew - not trusted
        kept: 
    "#]]);
    let user = token(
        "Anew",
        "U",
        json!({"type": "user", "version": 2}),
        json!({}),
    );
    test.check(UPDATE, &user, expect![[r#"
        {"server":{},"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - not account claim"}}
        ERROR: jwt update resulted in error - n/a - not account claim
        kept: 
    "#]]);
    let mut torn = account("O", "Anew", json!({}));
    torn.pop();
    torn.pop();
    test.check(UPDATE, &torn, expect![[r#"
        {"server":{},"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - claim failed V2 signature verification"}}
        ERROR: jwt update resulted in error - n/a - claim failed V2 signature verification
        kept: 
    "#]]);
    let nats = json!({"type": "account", "version": 2, "exports": [{"subject": "a..<b", "type": "stream"}]});
    test.check(UPDATE, &token("O", "Anew", nats, json!({})), expect![[r#"
        {"server":{},"error":{"account":"Anew","code":500,"description":"jwt validation failed - validation errors: [subject \"a..\u003cb\" cannot contain consecutive `.` the account contains more exports than allowed by the operator]"}}
        ERROR: jwt validation failed - Anew - validation errors: [subject "a..<b" cannot contain consecutive `.` the account contains more exports than allowed by the operator]
        kept: 
    "#]]);
    // Times are not looked at: an account may be pushed before it counts.
    let expired = account("O", "Anew", json!({"exp": NOW_S - 1}));
    test.check(
        UPDATE,
        &expired,
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt updated"}}
        updated Anew
        DEBUG: jwt updated - Anew
        kept: Anew
    "#]],
    );
    test.mode = mode(true);
    test.check(UPDATE, &account("O", "Anew", json!({})), expect![[r#"
        {"server":{},"error":{"account":"Anew","code":500,"description":"jwt update resulted in error - operator requires issuer to be a signing key"}}
        ERROR: jwt update resulted in error - Anew - operator requires issuer to be a signing key
        kept: Anew
    "#]]);
    test.check(
        UPDATE,
        &account("Osign", "Anew", json!({})),
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt updated"}}
        updated Anew
        DEBUG: jwt updated - Anew
        kept: Anew
    "#]],
    );
}

#[test]
fn updates_of_a_cache_and_of_none() {
    let mut test = Test::new(Role::Cache);
    test.check(
        UPDATE,
        &account("O", "Anew", json!({})),
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt update cache skipped"}}
        DEBUG: jwt update cache skipped - Anew
        kept: 
    "#]],
    );
    test.check(
        UPDATE,
        &account("O", "Aused", json!({})),
        expect![[r#"
        {"server":{},"data":{"account":"Aused","code":200,"message":"jwt updated cache"}}
        updated Aused
        DEBUG: jwt updated cache - Aused
        kept: Aused
    "#]],
    );
    test.check(&of_account("Aused", "UPDATE"), "", expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update cache resulted in error - expected 3 chunks"}}
        ERROR: jwt update cache resulted in error - Aused - expected 3 chunks
        kept: Aused
    "#]]);
    let mut test = Test::new(Role::None);
    let subject = of_account("Aused", "UPDATE");
    test.check(
        &subject,
        &account("O", "Aused", json!({})),
        expect![[r#"
        {"server":{},"data":{"account":"Aused","code":200,"message":"jwt updated"}}
        updated Aused
        DEBUG: jwt updated - Aused
        kept: 
    "#]],
    );
    test.check(&subject, "", expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update error - request body is empty"}}
        ERROR: jwt update error - Aused - request body is empty
        kept: 
    "#]]);
    test.check(&subject, &account("O", "Anew", json!({})), expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update resulted in error - subject does not match jwt content"}}
        ERROR: jwt update resulted in error - Aused - subject does not match jwt content
        kept: 
    "#]]);
    test.check(&subject, &account("Ox", "Aused", json!({})), expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update resulted in error - account validation failed"}}
        ERROR: jwt update resulted in error - Aused - account validation failed
        kept: 
    "#]]);
    let expired = account("O", "Aused", json!({"exp": NOW_S - 1}));
    test.check(&subject, &expired, expect![[r#"
        {"server":{},"error":{"account":"Aused","code":500,"description":"jwt update resulted in error - account validation failed"}}
        ERROR: jwt update resulted in error - Aused - account validation failed
        kept: 
    "#]]);
    let unused = of_account("Anew", "UPDATE");
    test.check(
        &unused,
        &account("O", "Anew", json!({})),
        expect![[r#"
        {"server":{},"data":{"account":"Anew","code":200,"message":"jwt update skipped"}}
        DEBUG: jwt update skipped - Anew
        kept: 
    "#]],
    );
}

#[test]
fn lists_packs_and_lookups() {
    let mut test = Test::new(Role::Full);
    let jwt = account("O", "Anew", json!({}));
    test.known.push(("JWT".to_owned(), jwt.clone()));
    test.check(
        "$SYS.REQ.CLAIMS.LIST",
        "",
        expect![[r#"
        {"data":[],"server":{}}
        DEBUG: list request responded with 0 account ids
        kept: 
    "#]],
    );
    test.store.jwts.insert(public("Anew"), jwt.clone());
    let expired = account("O", "Aused", json!({"exp": NOW_S - 1}));
    test.store.jwts.insert(public("Aused"), expired);
    test.check(
        "$SYS.REQ.CLAIMS.LIST",
        "",
        expect![[r#"
        {"data":["Anew"],"server":{}}
        DEBUG: list request responded with 1 account ids
        kept: Aused Anew
    "#]],
    );
    test.check(
        "$SYS.REQ.CLAIMS.PACK",
        "",
        expect![[r#"
        Anew|JWT

        kept: Aused Anew
    "#]],
    );
    let same = test.store.hash();
    let answer = test.answer("$SYS.REQ.CLAIMS.PACK", &same);
    assert_eq!(answer.replies, [Reply::Raw(Vec::new())]);
    test.check(
        &of_account("Anew", "LOOKUP"),
        "",
        expect![[r#"
        JWT
        kept: Aused Anew
    "#]],
    );
    test.check(
        &of_account("Asmall", "LOOKUP"),
        "",
        expect![[r#"

        DEBUG: DirResolver - Could not find account "Asmall"
        kept: Aused Anew
    "#]],
    );
    test.check(
        "$SYS.REQ.ACCOUNT.foo.CLAIMS.LOOKUP",
        "",
        expect![[r#"
        ERROR: DirResolver - Error looking up account "foo": invalid public key
        kept: Aused Anew
    "#]],
    );
    test.check(
        "$SYS.REQ.ACCOUNT.PING.STATZ",
        "",
        expect![[r#"
        kept: Aused Anew
    "#]],
    );
}

#[test]
fn deletes() {
    let delete = |by: &str, subject: &str, mut nats: Value| {
        nats["version"] = 2.into();
        token(by, subject, nats, json!({}))
    };
    let mut test = Test::new(Role::Full);
    for name in ["Anew", "Aused", "Asys"] {
        let jwt = account("O", name, json!({}));
        test.store.jwts.insert(public(name), jwt);
    }
    let one = json!({"accounts": [public("Anew")]});
    test.check(DELETE, "x", expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by  failed - expected 3 chunks"}}
        ERROR: delete accounts request by  failed - expected 3 chunks
        kept: Aused Asys Anew
    "#]]);
    test.check(DELETE, &delete("Ox", "Ox", one.clone()), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by Ox failed - not trusted"}}
        ERROR: delete accounts request by Ox failed - not trusted
        kept: Aused Asys Anew
    "#]]);
    test.check(DELETE, &delete("O", "Anew", one.clone()), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by Anew failed - not self signed"}}
        ERROR: delete accounts request by Anew failed - not self signed
        kept: Aused Asys Anew
    "#]]);
    test.check(DELETE, &delete("O", "O", json!({})), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by O failed - malformed request"}}
        ERROR: delete accounts request by O failed - malformed request
        kept: Aused Asys Anew
    "#]]);
    test.check(DELETE, &delete("O", "O", json!({"accounts": "x"})), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by O failed - malformed request"}}
        ERROR: delete accounts request by O failed - malformed request
        kept: Aused Asys Anew
    "#]]);
    test.check(DELETE, &delete("O", "O", json!({"accounts": [1]})), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by O failed - malformed request"}}
        ERROR: delete accounts request by O failed - malformed request
        kept: Aused Asys Anew
    "#]]);
    test.check(DELETE, &delete("O", "O", json!({"accounts": ["../x"]})), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by O failed - malformed request"}}
        ERROR: delete accounts request by O failed - malformed request
        kept: Aused Asys Anew
    "#]]);
    let system = json!({"accounts": [public("Anew"), public("Asys")]});
    test.check(DELETE, &delete("O", "O", system), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by O failed - not allowed to delete system account"}}
        ERROR: delete accounts request by O failed - not allowed to delete system account
        kept: Aused Asys Anew
    "#]]);
    test.check(
        DELETE,
        &delete("Osign", "Osign", one.clone()),
        expect![[r#"
        {"server":{},"data":{"code":200,"message":"deleted 1 accounts"}}
        deleted Anew
        DEBUG: deleted 1 accounts
        kept: Aused Asys
    "#]],
    );
    let two = json!({"accounts": [public("Anew"), public("Aused")]});
    test.check(
        DELETE,
        &delete("O", "O", two),
        expect![[r#"
        {"server":{},"data":{"code":200,"message":"deleted 2 accounts"}}
        deleted Aused
        DEBUG: deleted 2 accounts
        kept: Asys
    "#]],
    );
    test.mode = mode(true);
    test.check(DELETE, &delete("O", "O", one.clone()), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by O failed - not trusted"}}
        ERROR: delete accounts request by O failed - not trusted
        kept: Asys
    "#]]);
    test.store.allows_delete = false;
    test.check(DELETE, &delete("Osign", "Osign", one), expect![[r#"
        {"server":{},"error":{"code":500,"description":"delete accounts request by Osign failed - delete must be enabled in server config"}}
        ERROR: delete accounts request by Osign failed - delete must be enabled in server config
        kept: Asys
    "#]]);
}

#[test]
fn without_a_reply_subject_nothing_is_said() {
    let mut test = Test::new(Role::Full);
    let jwt = account("O", "Anew", json!({}));
    for subject in [UPDATE, "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.CLAIMS.PACK"] {
        let rules = Rules {
            role: Role::Full,
            mode: &test.mode,
            in_use: &|_| true,
        };
        let request = Request {
            subject,
            payload: jwt.as_bytes(),
            wants_reply: false,
        };
        let answer = rules.answer(&mut test.store, request, NOW_S * 1000);
        assert_eq!(answer.replies, []);
        assert_eq!(answer.effects.len(), usize::from(subject == UPDATE));
    }
}

#[test]
fn merges() {
    let mut store = Jwts::default();
    let older = account("O", "Anew", json!({"name": "older"}));
    let newer = encode(
        json!({"sub": public("Anew"), "nats": {"type": "account", "version": 2}}),
        &key("O"),
        NOW_S + 1,
    )
    .expect("a token");
    let line = |name: &str, jwt: &str| format!("{}|{jwt}", public(name));
    let packed = format!("{}\n\nfoo\n{}", line("Anew", &newer), line("Aused", &newer));
    let (effects, errors) = merge(&mut store, &packed, 0);
    assert_eq!(effects.len(), 1);
    assert_eq!(errors.len(), 2);
    let (effects, errors) = merge(&mut store, &line("Anew", &older), 0);
    assert_eq!((effects.len(), errors.len()), (0, 0));
    assert_eq!(store.jwts[&public("Anew")], newer);
}

#[test]
fn what_is_usable() {
    let why = |jwt: &str| match usable(&public("Anew"), jwt, &mode(false), NOW_S * 1000) {
        Ok(_) => "usable".to_owned(),
        Err(error) => error
            .to_string()
            .replace(&public("Ox"), "Ox")
            .replace(&public("Aused"), "Aused"),
    };
    let all = [
        account("O", "Anew", json!({})),
        account("Osign", "Anew", json!({})),
        account("Ox", "Anew", json!({})),
        account("O", "Aused", json!({})),
        account("O", "Anew", json!({"exp": NOW_S - 1})),
        account("O", "Anew", json!({"nbf": NOW_S + 1})),
        "eyJ".to_owned(),
    ];
    let all: Vec<String> = all.iter().map(|jwt| why(jwt)).collect();
    expect![[r#"
        usable
        usable
        nobody trusts its issuer "Ox"
        it is the JWT of account "Aused"
        expired 1970-01-12T13:46:39Z
        not valid before 1970-01-12T13:46:41Z
        it is no JWT of an account: not three parts with points between"#]]
    .assert_eq(&all.join("\n"));
}

proptest! {
    /// Nonsense is answered, and changes nothing.
    #[test]
    fn any_bytes_are_answered(payload in vec(any::<u8>(), 0..200), subject in "(\\$SYS\\.(REQ|ACCOUNT)\\.)?(CLAIMS|ACCOUNT\\.[A-Z2-7]{0,60}\\.CLAIMS)\\.(UPDATE|LIST|PACK|DELETE|LOOKUP)") {
        for role in [Role::Full, Role::Cache, Role::None] {
            let mut test = Test::new(role);
            let answer = test.answer(&subject, &payload);
            prop_assert!(answer.effects.is_empty());
            prop_assert!(test.store.jwts.is_empty());
        }
    }

    /// Of what others pack an account gets its own token or none.
    #[test]
    fn any_pack_is_taken_in(noise in "([A-Z2-7|.a-z]{0,80}\n){0,4}", cut in any::<usize>(), mixed in any::<bool>()) {
        let (own, other) = (account("O", "Aown", json!({})), account("O", "Aother", json!({})));
        let (first, second) = if mixed { (&other, &own) } else { (&own, &other) };
        let packed = format!("{noise}{}|{first}\n{}|{second}\n", public("Aown"), public("Aother"));
        let mut store = Jwts::default();
        for text in [&packed[..cut % packed.len()], &packed] {
            let (effects, _) = merge(&mut store, text, 0);
            for effect in effects {
                let Effect::Updated { account, jwt } = effect else {
                    panic!("nothing is deleted by a pack");
                };
                prop_assert_eq!(store.jwts.get(&account), Some(&jwt));
            }
            for (key, jwt) in &store.jwts {
                prop_assert!(replaces(key, None, jwt).is_ok(), "{} is not the token of {}", jwt, key);
            }
        }
        prop_assert_eq!(store.jwts.len(), if mixed { 0 } else { 2 });
    }

    /// A token that was changed anywhere is not taken, or is the same claims by the same key.
    #[test]
    fn changed_tokens_are_not_taken(at in 0..2000_usize, to in "[A-Za-z0-9_.-]") {
        let jwt = account("O", "Anew", json!({}));
        let at = at % jwt.len();
        let mut changed = jwt.clone();
        changed.replace_range(at..=at, &to);
        let mut test = Test::new(Role::Full);
        test.answer(UPDATE, changed.as_bytes());
        for kept in test.store.jwts.values() {
            let claims = |jwt: &str| jwt.rsplit_once('.').map(|(claims, _)| claims.to_owned());
            prop_assert_eq!(claims(kept), claims(&jwt));
        }
    }
}

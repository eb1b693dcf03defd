//! Owns the tests of resolvers as a whole: what is opened, fetched, taken in and served. Never leaves the machine.

use nkeys::{KeyPair, KeyPairType};
use serde_json::json;

use super::*;
use crate::auth::jwt::encode;
use crate::auth::operators::OperatorMode;
use crate::config::{Delete, load_with};

fn key(kind: KeyPairType, secret: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [secret; 32]).expect("a key")
}

fn operator() -> KeyPair {
    key(KeyPairType::Operator, 1)
}

fn account(secret: u8) -> String {
    key(KeyPairType::Account, secret).public_key()
}

fn jwt(subject: &str, kind: &str, name: &str, issued_at: i64) -> String {
    let claims = json!({"sub": subject, "name": name, "nats": {"type": kind, "version": 2}});
    encode(claims, &operator(), issued_at).expect("a token")
}

fn mode() -> OperatorMode {
    let own = jwt(&operator().public_key(), "operator", "O", 0);
    let text = format!("operator: {own}\nresolver: MEMORY");
    let read = |path: &Path| match path.to_str() {
        Some("main.conf") => Ok(text.clone().into_bytes()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let loaded = load_with(Path::new("main.conf"), &|_| None, &read).expect("it loads");
    let mode = OperatorMode::compile(&loaded.config).expect("it compiles");
    mode.expect("it is of operator mode")
}

fn directory(dir: &Path, kind: DirectoryKind) -> ResolverKind {
    ResolverKind::Directory(DirectoryResolver {
        kind,
        dir: dir.to_owned(),
        jwts_max: None,
        delete: Delete::Renames,
        interval_ms: 60_000,
        timeout_ms: 5,
        ttl_ms: None,
    })
}

fn open(kind: &ResolverKind, preload: &[(&str, &str)]) -> Result<Resolver, String> {
    let owned = |(key, jwt): &(&str, &str)| ((*key).to_owned(), (*jwt).to_owned());
    let preload = preload.iter().map(owned).collect();
    Resolver::open(kind, &preload, TlsConfig::default(), 0)
}

#[test]
fn memory() {
    let (a, b) = (account(1), account(2));
    let resolver = open(&ResolverKind::Memory, &[(&a, "one")]).expect("opened");
    assert_eq!(resolver.role(), Role::None);
    assert_eq!(resolver.fetch(&a, 0), Ok(Fetched::Found("one".to_owned())));
    assert_eq!(resolver.fetch(&b, 0), Err("account missing".to_owned()));
    let error = resolver.fetch("foo", 0).expect_err("no key");
    assert_eq!(error, "will only fetch valid account keys");
    let preload = BTreeMap::from([(b.clone(), "two".to_owned())]);
    let changed = resolver.reload(&ResolverKind::Memory, &preload, TlsConfig::default(), 0);
    let (Changed::These(mut changed), before) = changed.expect("taken") else {
        panic!("memory knows which");
    };
    changed.sort();
    let mut both = vec![a.clone(), b.clone()];
    both.sort();
    assert_eq!(changed, both);
    assert_eq!(resolver.fetch(&a, 0), Err("account missing".to_owned()));
    assert_eq!(resolver.fetch(&b, 0), Ok(Fetched::Found("two".to_owned())));
    resolver.undo(before);
    assert_eq!(resolver.fetch(&a, 0), Ok(Fetched::Found("one".to_owned())));
    assert_eq!(resolver.fetch(&b, 0), Err("account missing".to_owned()));
}

#[test]
fn a_reload_that_does_not_count_leaves_everything() {
    let [temp, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let (a, b) = (account(1), account(2));
    let [older, newer] = [1, 2].map(|issued_at| jwt(&a, "account", "A", issued_at));
    let kind = directory(temp.path(), DirectoryKind::Full);
    let resolver = open(&kind, &[(&a, &older)]).expect("opened");
    let file = temp.path().join(format!("{a}.jwt"));
    let hash = resolver.hash();
    let preload = BTreeMap::from([(a.clone(), newer.clone())]);
    let found = |jwt: &String| Ok(Fetched::Found(jwt.clone()));
    // The same directory, in which somebody has put another account meanwhile.
    fs::write(temp.path().join(format!("{b}.jwt")), "eyJ").expect("written");
    let (changed, before) = resolver
        .reload(&kind, &preload, TlsConfig::default(), 0)
        .expect("taken");
    assert_eq!(changed, Changed::These(vec![b.clone()]));
    assert_ne!(resolver.hash(), hash);
    resolver.undo(before);
    assert_eq!(resolver.hash(), hash);
    assert_eq!(fs::read_to_string(&file).ok().as_ref(), Some(&older));
    // Other places.
    let places = [
        ResolverKind::Memory,
        directory(other.path(), DirectoryKind::Full),
        ResolverKind::Url("http://127.0.0.1:1".to_owned()),
    ];
    for place in places {
        let reloaded = resolver.reload(&place, &preload, TlsConfig::default(), 0);
        let (_, before) = reloaded.expect("taken");
        resolver.undo(before);
        assert_eq!(resolver.fetch(&a, 0), found(&older));
    }
    let left = fs::read_dir(other.path()).expect("readable").count();
    assert_eq!(left, 0, "nothing was kept there");
    // One that counts keeps what it begins with.
    let reloaded = resolver.reload(&kind, &preload, TlsConfig::default(), 0);
    assert_eq!(resolver.fetch(&a, 0), found(&older));
    drop(reloaded.expect("taken"));
    assert_eq!(resolver.settle(&preload, 0), [a.as_str()]);
    assert_eq!(resolver.settle(&preload, 0), Vec::<String>::new());
    assert_eq!(resolver.fetch(&a, 0), found(&newer));
    assert_eq!(fs::read_to_string(&file).ok(), Some(newer));
}

#[test]
fn a_directory_keeps_the_newer_one() {
    let temp = tempfile::tempdir().expect("a directory");
    let a = account(1);
    let [older, newer] = [1, 2].map(|issued_at| jwt(&a, "account", "A", issued_at));
    let kind = directory(temp.path(), DirectoryKind::Full);
    for (preload, kept) in [(&newer, &newer), (&older, &newer)] {
        let resolver = open(&kind, &[(&a, preload)]).expect("opened");
        assert_eq!(resolver.fetch(&a, 0), Ok(Fetched::Found(kept.clone())));
    }
    // What cannot be taken in does not keep the rest from opening.
    let resolver = open(&kind, &[(&account(2), &newer)]).expect("opened");
    let elsewhere = Fetched::Elsewhere(Duration::from_millis(5));
    assert_eq!(resolver.fetch(&account(2), 0), Ok(elsewhere.clone()));
    resolver
        .take(&account(2), &newer, 0)
        .expect_err("another's");
    let own = jwt(&account(2), "account", "B", 1);
    resolver.take(&account(2), &own, 0).expect("its own");
    assert_eq!(resolver.fetch(&account(2), 0), Ok(Fetched::Found(own)));
}

#[test]
fn what_cannot_be_opened() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("file");
    fs::write(&file, "").expect("written");
    let error = open(&directory(&file, DirectoryKind::Full), &[]).expect_err("a file");
    assert!(error.contains(&*file.to_string_lossy()), "{error}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let url = format!("http://{}", nobody.expect("a port"));
    let error = open(&ResolverKind::Url(url), &[]).expect_err("nobody there");
    assert!(error.starts_with("could not fetch"), "{error}");
}

#[test]
fn requests_are_served() {
    let temp = tempfile::tempdir().expect("a directory");
    let kind = directory(temp.path(), DirectoryKind::Full);
    let resolver = open(&kind, &[]).expect("opened");
    let (a, mode) = (account(1), mode());
    let rules = Rules {
        role: resolver.role(),
        mode: &mode,
        in_use: &|_| false,
    };
    let serve = |subject: &str, payload: &str| {
        let message = Message {
            subject: subject.to_owned(),
            reply: "r".to_owned(),
            headers: Vec::new(),
            payload: payload.into(),
        };
        let (payloads, effects) = resolver.serve(&rules, &message, "{}", 0);
        let text = |payload: Vec<u8>| String::from_utf8(payload).expect("a text");
        (payloads.into_iter().map(text).collect::<Vec<_>>(), effects)
    };
    let own = jwt(&a, "account", "A", 1);
    let (said, effects) = serve("$SYS.REQ.CLAIMS.UPDATE", &own);
    let expected = format!(
        "{{\"server\":{{}},\"data\":{{\"account\":\"{a}\",\"code\":200,\"message\":\"jwt updated\"}}}}"
    );
    assert_eq!(said, [expected]);
    assert_eq!(
        effects,
        [Effect::Updated {
            account: a.clone(),
            jwt: own.clone()
        }]
    );
    let packed = format!("{a}|{own}");
    let (said, _) = serve("$SYS.REQ.CLAIMS.PACK", "");
    assert_eq!(said, [packed.clone(), String::new()]);
    assert_ne!(resolver.hash(), [0; 32]);
    // Another node's directory takes that in.
    let other = tempfile::tempdir().expect("a directory");
    let other = open(&directory(other.path(), DirectoryKind::Full), &[]).expect("opened");
    assert_eq!(other.merge(&packed, 0).len(), 1);
    assert_eq!(other.hash(), resolver.hash());
    assert_eq!(other.merge(&packed, 0).len(), 0);
}

#[test]
fn expired_files_go() {
    let temp = tempfile::tempdir().expect("a directory");
    let kind = directory(temp.path(), DirectoryKind::Full);
    let claims = json!({"sub": account(1), "exp": 10, "nats": {"type": "account", "version": 2}});
    let jwt = encode(claims, &operator(), 1).expect("a token");
    let resolver = open(&kind, &[(&account(1), &jwt)]).expect("opened");
    assert_eq!(resolver.expire_at_ms(0), Some(60_000));
    resolver.expire(9_999);
    let fetched = |now_ms| matches!(resolver.fetch(&account(1), now_ms), Ok(Fetched::Found(_)));
    assert!(fetched(9_999));
    resolver.expire(10_000);
    assert!(!fetched(10_000));
    assert_eq!(resolver.expire_at_ms(0), None);
}

#[test]
fn a_file_put_there_by_hand_has_its_own_time() {
    let temp = tempfile::tempdir().expect("a directory");
    let kind = directory(temp.path(), DirectoryKind::Full);
    let jwt = |exp: i64| {
        let nats = json!({"type": "account", "version": 2});
        let claims = json!({"sub": account(1), "exp": exp, "nats": nats});
        encode(claims, &operator(), 1).expect("a token")
    };
    let resolver = open(&kind, &[(&account(1), &jwt(10))]).expect("opened");
    let by_hand = |exp| {
        let file = temp.path().join(format!("{}.jwt", account(1)));
        std::fs::write(file, jwt(exp)).expect("written");
    };
    let fetched = |now_ms| resolver.fetch(&account(1), now_ms);
    by_hand(20);
    resolver.expire(10_000);
    assert_eq!(fetched(10_000), Ok(Fetched::Found(jwt(20))), "another one");
    by_hand(90);
    assert_eq!(fetched(20_000), Ok(Fetched::Found(jwt(90))));
    assert_eq!(
        resolver.expire_at_ms(0),
        Some(90_000),
        "known since it was read"
    );
    resolver.expire(90_000);
    assert!(matches!(fetched(90_000), Ok(Fetched::Elsewhere(_))));
}

//! Owns the tests of a directory of JWTs: what is in it after each step, and after a crash at any moment. Never decodes
//! one.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};

use super::*;

const KEYS: [&str; 3] = [
    "AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN",
    "ABXRI23DEY5TOTXRVLVEGY5JLQUQUMHF6TOILURCXERJUDQRNLHDDKK2",
    "AC4O56PQG2RK63PJYSXBLJ7MZDCTKCECHSQLZYJGXMBCGZGXDSWQHX2V",
];

const FREE: Bounds = Bounds {
    jwts_max: None,
    evicts: false,
    ttl_ms: None,
};

fn open(path: &Path, bounds: Bounds, delete: Delete) -> Directory {
    Directory::open(path, bounds, delete, 0).expect("the directory can be read")
}

/// Every file with its text, keys as `0`, `1`, `2`.
fn check(path: &Path, expected: Expect) {
    let mut lines = Vec::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("readable").flatten() {
            match entry.path().is_dir() {
                true => directories.push(entry.path()),
                false => {
                    let name = entry.path().strip_prefix(path).expect("inside").to_owned();
                    let text = fs::read_to_string(entry.path()).expect("a text");
                    lines.push(format!("{} {text}\n", name.display()));
                }
            }
        }
    }
    lines.sort();
    let mut text = lines.concat();
    for (number, key) in KEYS.iter().enumerate() {
        text = text.replace(key, &number.to_string());
    }
    expected.assert_eq(&text);
}

#[test]
fn what_is_saved_is_loaded() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("a/b");
    let mut directory = open(&path, FREE, Delete::Refused);
    assert!(directory.save(KEYS[0], "one", 0).expect("saved"));
    assert!(!directory.save(KEYS[0], "one", 0).expect("saved"));
    assert!(directory.save(KEYS[0], "two", 0).expect("saved"));
    assert!(directory.save(KEYS[1], "three", 0).expect("saved"));
    assert_eq!(
        directory.load(KEYS[0], 0).expect("read").as_deref(),
        Some("two")
    );
    assert_eq!(directory.load(KEYS[2], 0).expect("read"), None);
    assert_eq!(directory.load("../../etc/passwd", 0).expect("read"), None);
    check(
        &path,
        expect![[r#"
            0.jwt two
            1.jwt three
        "#]],
    );
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(format!("{}.jwt", KEYS[0]))), 0o600);
    let again = open(&path, FREE, Delete::Refused);
    assert_eq!(again.index().hash(), directory.index().hash());
    assert_eq!(again.all().expect("read").len(), 2);
}

#[test]
fn what_is_not_allowed_changes_nothing() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut directory = open(temp.path(), FREE, Delete::Refused);
    directory.save(KEYS[0], "one", 0).expect("saved");
    let error = |result: io::Result<bool>| result.expect_err("refused").to_string();
    assert_eq!(
        error(directory.delete(KEYS[0])),
        "store is not set up to for delete"
    );
    assert_eq!(error(directory.save(KEYS[0], "", 0)), "invalid JWT");
    assert_eq!(
        error(directory.save("../a", "one", 0)),
        "invalid public key"
    );
    let full = Bounds {
        jwts_max: Some(1),
        ..FREE
    };
    let mut directory = open(temp.path(), full, Delete::Refused);
    assert_eq!(
        error(directory.save(KEYS[1], "two", 0)),
        "jwt store is full"
    );
    assert!(directory.save(KEYS[0], "two", 0).expect("saved"));
    check(
        temp.path(),
        expect![[r#"
            0.jwt two
        "#]],
    );
}

#[test]
fn deleted_files_are_renamed_or_removed() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut directory = open(temp.path(), FREE, Delete::Renames);
    for key in KEYS {
        directory.save(key, "one", 0).expect("saved");
    }
    assert!(directory.delete(KEYS[0]).expect("deleted"));
    assert!(!directory.delete(KEYS[0]).expect("deleted"));
    let mut directory = open(temp.path(), FREE, Delete::Removes);
    assert!(directory.delete(KEYS[1]).expect("deleted"));
    assert_eq!(directory.index().len(), 1);
    check(
        temp.path(),
        expect![[r#"
            0.jwt.deleted one
            2.jwt one
        "#]],
    );
}

#[test]
fn a_full_cache_gives_up_what_was_used_least() {
    let temp = tempfile::tempdir().expect("a directory");
    let cache = Bounds {
        jwts_max: Some(2),
        evicts: true,
        ttl_ms: Some(100),
    };
    let mut directory = open(temp.path(), cache, Delete::Removes);
    directory.save(KEYS[0], "one", 0).expect("saved");
    directory.save(KEYS[1], "two", 0).expect("saved");
    directory.load(KEYS[0], 50).expect("read");
    directory.save(KEYS[2], "three", 60).expect("saved");
    check(
        temp.path(),
        expect![[r#"
            0.jwt one
            2.jwt three
        "#]],
    );
    assert_eq!(directory.expire(149), Vec::<String>::new());
    assert_eq!(directory.expire(150), [KEYS[0]]);
    check(
        temp.path(),
        expect![[r#"
            2.jwt three
        "#]],
    );
}

#[test]
fn what_lies_below_is_nobodys() {
    let temp = tempfile::tempdir().expect("a directory");
    let below = temp.path().join("IN");
    fs::create_dir(&below).expect("made");
    fs::write(below.join(format!("{}.jwt", KEYS[0])), "sharded").expect("written");
    fs::write(temp.path().join(format!("{}.jwt", KEYS[1])), "").expect("written");
    fs::write(temp.path().join("note.jwt"), "not of an account").expect("written");
    fs::write(
        temp.path().join(format!(".{}.jwt.unfinished", KEYS[2])),
        "th",
    )
    .expect("written");
    let mut directory = open(temp.path(), FREE, Delete::Renames);
    let loaded = |directory: &mut Directory, key| directory.load(key, 0).expect("read");
    assert_eq!(loaded(&mut directory, KEYS[0]), None);
    assert_eq!(loaded(&mut directory, KEYS[1]), None);
    directory.save(KEYS[0], "again", 0).expect("saved");
    directory.save(KEYS[1], "two", 0).expect("saved");
    check(
        temp.path(),
        expect![[r#"
            0.jwt again
            1.jwt two
            IN/0.jwt sharded
            note.jwt not of an account
        "#]],
    );
    directory.delete(KEYS[0]).expect("deleted");
    directory.save(KEYS[0], "here", 0).expect("saved");
    check(
        temp.path(),
        expect![[r#"
            0.jwt here
            0.jwt.deleted again
            1.jwt two
            IN/0.jwt sharded
            note.jwt not of an account
        "#]],
    );
}

#[test]
fn a_reload_tells_what_changed() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut directory = open(temp.path(), FREE, Delete::Refused);
    directory.save(KEYS[0], "one", 0).expect("saved");
    directory.save(KEYS[1], "two", 0).expect("saved");
    let file = |key| temp.path().join(format!("{key}.jwt"));
    fs::write(file(KEYS[1]), "other").expect("written");
    fs::write(file(KEYS[2]), "new").expect("written");
    let again = directory.reread(0).expect("read");
    assert_eq!(again.changed_since(&directory), [KEYS[1], KEYS[2]]);
    let third = again.reread(0).expect("read");
    assert_eq!(third.changed_since(&again), Vec::<String>::new());
    fs::remove_dir_all(temp.path()).expect("removed");
    third.reread(0).expect_err("nothing to read");
    assert_eq!(third.index().len(), 3);
    assert_eq!(third.all().expect("nothing to read"), []);
}

#[test]
fn what_cannot_be_written_leaves_the_old_one() {
    let temp = tempfile::tempdir().expect("a directory");
    let mut directory = open(temp.path(), FREE, Delete::Refused);
    directory.save(KEYS[0], "one", 0).expect("saved");
    // A directory in the place of the file that is written first: as good as a full disk, and root meets it too.
    let blocked = temp.path().join(format!(".{}.jwt.unfinished", KEYS[0]));
    fs::create_dir(&blocked).expect("made");
    directory.save(KEYS[0], "two", 0).expect_err("not written");
    fs::remove_dir(&blocked).expect("removed");
    assert_eq!(
        directory.load(KEYS[0], 0).expect("read").as_deref(),
        Some("one")
    );
    assert!(directory.save(KEYS[0], "two", 0).expect("written"));
}

#[test]
fn what_is_no_directory_is_refused() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("file");
    fs::write(&file, "").expect("written");
    Directory::open(&file, FREE, Delete::Refused, 0).expect_err("a file");
    Directory::open(&file.join("below"), FREE, Delete::Refused, 0).expect_err("below a file");
    fs::create_dir(temp.path().join(format!("{}.jwt", KEYS[0]))).expect("made");
    let mut directory = open(temp.path(), FREE, Delete::Refused);
    assert!(directory.index().is_empty());
    directory.load(KEYS[0], 0).expect_err("a directory");
}

/// Where [`crashes`] wants its child to write.
const CRASH: &str = "GANNET_TEST_CRASH_DIRECTORY";

/// The child of [`crashes`]; does nothing without it.
#[test]
fn writes_until_killed() {
    let Some(path) = std::env::var_os(CRASH) else {
        return;
    };
    let bounds = Bounds {
        jwts_max: Some(2),
        evicts: true,
        ttl_ms: None,
    };
    let mut directory = open(Path::new(&path), bounds, Delete::Removes);
    for round in 0_u64.. {
        let key = KEYS[round as usize % KEYS.len()];
        let text = format!("{round} ").repeat(20_000);
        directory.save(key, &text, 0).expect("saved");
        println!("saved {key} {round}");
    }
}

/// kill -9 at any moment leaves what was saved, whole.
#[test]
fn crashes() {
    let temp = tempfile::tempdir().expect("a directory");
    for round in 0..20_u64 {
        let path = temp.path().join(round.to_string());
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg(format!(
                "{}::writes_until_killed",
                module_path!().split_once("::").expect("inside").1
            ))
            .env(CRASH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut acknowledged = HashMap::new();
        let mut note = |line: io::Result<String>| {
            let line = line.expect("a line");
            if let ["saved", key, number] = line.split(' ').collect::<Vec<_>>()[..] {
                acknowledged.insert(key.to_owned(), number.parse::<u64>().expect("a number"));
            }
        };
        lines.by_ref().take(5 + round as usize).for_each(&mut note);
        child.kill().expect("killed");
        child.wait().expect("ended");
        // What it said between the last line read and its end.
        lines.for_each(&mut note);
        assert!(!acknowledged.is_empty(), "the child wrote");
        holds(&path, &acknowledged);
    }
}

/// Every file is whole, and at least as new as what its writer said; a cache of two holds the last two.
fn holds(path: &Path, acknowledged: &HashMap<String, u64>) {
    let mut directory = open(path, FREE, Delete::Removes);
    let mut newest: Vec<u64> = acknowledged.values().copied().collect();
    newest.sort_unstable();
    let kept_from = newest.iter().rev().nth(1).copied().unwrap_or_default();
    for (key, number) in acknowledged {
        let Some(text) = directory.load(key, 0).expect("read") else {
            assert!(*number < kept_from, "{key} {number} is lost");
            continue;
        };
        let first = text.split(' ').next().expect("a word");
        let found: u64 = first.parse().expect("a number");
        assert!(found >= *number, "{key} is of round {found}, not {number}");
        assert_eq!(text, format!("{first} ").repeat(20_000), "{key} is torn");
    }
    let names = fs::read_dir(path).expect("read").flatten();
    let unfinished = names.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(unfinished.count(), 0, "opening tidies up");
}

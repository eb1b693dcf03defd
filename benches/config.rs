//! Owns the measurement of loading a configuration of 10,000 users, as lines and as one line of JSON.
//! Never reads a file: the text is in memory.

use std::fmt::Write;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gannet::config::{Loaded, load_with};

const USERS: usize = 10_000;

/// Users with permissions, as one writes them by hand.
fn lines() -> String {
    let mut text = String::from("port: 4222\nauthorization {\n  users: [\n");
    for i in 0..USERS {
        let _ = writeln!(
            text,
            "    {{ user: \"user-{i}\", password: \"password-{i}\" # a comment\n      permissions: {{\n        \
             publish: {{ allow: [\"orders.{i}.>\", \"events.{i}\"], deny: \"orders.{i}.admin\" }}\n        \
             subscribe: [\"_INBOX.>\", \"work.{i} workers\"]\n      }}\n    }}"
        );
    }
    text + "  ]\n}\n"
}

/// Users without permissions, as a program writes them.
fn json() -> String {
    let users: Vec<String> = (0..USERS)
        .map(|i| format!("{{\"user\":\"user-{i}\",\"password\":\"password-{i}\"}}"))
        .collect();
    format!(
        "{{\"port\":4222,\"authorization\":{{\"users\":[{}]}}}}",
        users.join(",")
    )
}

fn load(text: &str) -> Loaded {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded =
        load_with(Path::new("bench.conf"), &|_| None, &read).expect("a valid configuration");
    assert_eq!(loaded.config.authorization.users.len(), USERS);
    loaded
}

fn config(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config load, 10,000 users");
    for (name, text) in [
        ("lines with permissions", lines()),
        ("one line of JSON", json()),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| load(&text)));
    }
    group.finish();
}

criterion_group!(benches, config);
criterion_main!(benches);

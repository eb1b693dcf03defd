//! Owns the text of a configuration of many accounts, and its loading. Never measures.

use std::fmt::Write;
use std::path::Path;

use gannet::config::{Config, load_with};

/// Each account exports a stream and a service, and imports streams and services of those behind it.
pub fn text(accounts: usize, imports: usize) -> String {
    let mut text = String::from("accounts {\n");
    for at in 0..accounts {
        let _ = write!(
            text,
            "  A{at} {{ users: [{{user: u{at}, password: p}}], exports: [{{stream: \"s.{at}.>\"}}, {{service: \"q.{at}.*\"}}], imports: ["
        );
        for step in 1..=imports {
            let from = (at + step) % accounts;
            let _ = match step % 4 {
                0 => write!(
                    text,
                    "{{service: {{account: A{from}, subject: \"q.{from}.*\"}}, to: \"ask.{from}.*\"}}, "
                ),
                1 => write!(
                    text,
                    "{{stream: {{account: A{from}, subject: \"s.{from}.>\"}}, prefix: from}}, "
                ),
                2 => write!(
                    text,
                    "{{service: {{account: A{from}, subject: \"q.{from}.one\"}}}}, "
                ),
                _ => write!(
                    text,
                    "{{stream: {{account: A{from}, subject: \"s.{from}.*\"}}}}, "
                ),
            };
        }
        text.push_str("] }\n");
    }
    text + "}\n"
}

/// What gannet reads of it.
pub fn load(text: &str) -> Config {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded = load_with(Path::new("bench.conf"), &|_| None, &read);
    loaded.expect("nothing is wrong").config
}

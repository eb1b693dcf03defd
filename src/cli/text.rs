//! Help and README's table, made from the registry. Never prints.

use std::fmt::Write;

use super::registry::{EXPLAIN, Flag, Group, REGISTRY};

/// Column, from 0, at which help's explanations begin.
const HELP_COLUMN: usize = 38;

/// The page of `--help`.
pub fn help() -> String {
    let mut page =
        "\nUsage: gannet [options]\n       gannet bench [--help]\n       gannet explain [--help]\n"
            .to_string();
    for group in Group::ALL {
        write!(page, "\n{}:\n", group.heading()).expect("a String takes all");
        for flag in REGISTRY.iter().filter(|flag| flag.group == group) {
            help_line(&mut page, flag);
        }
    }
    page.push('\n');
    page
}

/// The page of `--help_tls`.
pub fn help_tls() -> String {
    const PAGE: &str = "
TLS is configured in the block \"tls\" of a configuration file:

    tls {
        cert_file:      \"server-cert.pem\"
        key_file:       \"server-key.pem\"
        ca_file:        \"authority.pem\"
        verify:         true
        verify_and_map: true

        cipher_suites:     [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]
        curve_preferences: [\"X25519\", \"CurveP256\"]
    }

Cipher suites (those of TLS 1.3 are always on):
";
    let mut page = PAGE.to_string();
    for suite in crate::config::tls::CIPHER_SUITES {
        writeln!(page, "    {suite}").expect("a String takes all");
    }
    page.push_str("\nCurves:\n");
    for curve in crate::config::tls::CURVES {
        writeln!(page, "    {curve}").expect("a String takes all");
    }
    page.push('\n');
    page
}

/// The page of `gannet explain --help`.
pub fn explain_help() -> String {
    let mut page = "\nUsage: gannet explain -c FILE [options] pub SUBJECT\n       \
                    gannet explain -c FILE [options] sub SUBJECT\n       \
                    gannet explain -c FILE [options] request SUBJECT\n\n\
                    Says where a message goes, what a subscription gets, or how a request and its answers travel,\n\
                    and by which lines of the configuration. Nothing is started or connected to.\n\n"
        .to_string();
    writeln!(page, "{}:", Group::Explain.heading()).expect("a String takes all");
    for flag in EXPLAIN {
        help_line(&mut page, flag);
    }
    page.push('\n');
    page
}

/// README's table of flags, in Markdown: one row a flag, ends with a newline.
pub fn markdown_table() -> String {
    let in_order = Group::ALL.iter().flat_map(|group| {
        let of_group = |flag: &&Flag| flag.group == *group;
        REGISTRY.iter().filter(of_group)
    });
    table(in_order)
}

/// The same of `gannet explain`.
pub fn explain_markdown_table() -> String {
    table(EXPLAIN.iter())
}

fn table<T: 'static>(flags: impl Iterator<Item = &'static Flag<T>>) -> String {
    let mut table = "| Flag | Meaning | Default |\n|---|---|---|\n".to_string();
    for flag in flags {
        let names: Vec<String> = flag.names.iter().map(|name| format!("`{name}`")).collect();
        let value = if flag.value.is_empty() {
            String::new()
        } else {
            format!(" `<{}>`", flag.value)
        };
        let later = if flag.group == Group::Later {
            " (not available yet: refused)"
        } else {
            ""
        };
        let row = format!(
            "{}{value} | {}{later} | {}",
            names.join(", "),
            flag.help,
            flag.default
        );
        // A bar inside a cell would end it.
        let row = row
            .replace(" | ", "\0")
            .replace('|', "\\|")
            .replace('\0', " | ");
        writeln!(table, "| {} |", row.trim_end()).expect("a String takes all");
    }
    table
}

fn help_line<T>(page: &mut String, flag: &Flag<T>) {
    let indent = if flag.names[0].starts_with("--") {
        "        "
    } else {
        "    "
    };
    let value = if flag.value.is_empty() {
        String::new()
    } else {
        format!(" <{}>", flag.value)
    };
    let head = format!("{indent}{}{value}", flag.names.join(", "));
    let default = if flag.default.is_empty() {
        String::new()
    } else {
        format!(" (default: {})", flag.default)
    };
    let gap = if head.len() < HELP_COLUMN {
        " ".repeat(HELP_COLUMN - head.len())
    } else {
        format!("\n{}", " ".repeat(HELP_COLUMN))
    };
    writeln!(page, "{head}{gap}{}{default}", flag.help).expect("a String takes all");
}

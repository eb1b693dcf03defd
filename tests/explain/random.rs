//! Random configurations of accounts, with everything between them that an explanation speaks of. A few are refused when they
//! are loaded (the same stream twice, a cycle): whoever asks takes the next.

use std::fmt::Write;

use super::rng::Rng;

pub const ACCOUNTS: &[&str] = &["A", "B", "C", "D"];

/// A configuration as text, and its users.
pub struct Plan {
    pub text: String,
    pub users: Vec<String>,
}

struct Export {
    account: usize,
    service: bool,
    pattern: String,
    private_to: Option<usize>,
}

pub fn plan(rng: &mut Rng) -> Plan {
    let exports: Vec<Export> = (0..rng.range(2, 8)).map(|_| export(rng)).collect();
    let mut plan = Plan {
        text: String::new(),
        users: Vec::new(),
    };
    plan.text.push_str("accounts {\n");
    for account in 0..ACCOUNTS.len() {
        write_account(&mut plan, rng, account, &exports);
    }
    plan.text.push_str("}\n");
    plan
}

/// A subject or pattern of a small world.
pub fn pattern(rng: &mut Rng, wild: usize) -> String {
    let mut tokens: Vec<&str> = Vec::new();
    let depth = rng.range(1, 3);
    for at in 0..depth {
        tokens.push(match rng.chance(wild) {
            true if at + 1 == depth && rng.chance(500) => ">",
            true => "*",
            false => rng.pick(&["a", "b", "c"]),
        });
    }
    tokens.join(".")
}

/// A subject that a pattern stands for.
pub fn subject(rng: &mut Rng, pattern: &str) -> String {
    let tokens = pattern.split('.').map(|token| match token {
        "*" => rng.pick(&["a", "b", "c"]).to_owned(),
        ">" if rng.chance(500) => format!("{}.{}", rng.pick(&["a", "b"]), rng.pick(&["a", "c"])),
        ">" => rng.pick(&["a", "b", "c"]).to_owned(),
        literal => literal.to_owned(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

fn export(rng: &mut Rng) -> Export {
    let account = rng.below(ACCOUNTS.len());
    let private = rng.below(ACCOUNTS.len());
    Export {
        account,
        service: rng.chance(500),
        pattern: pattern(rng, 400),
        private_to: (private != account && rng.chance(250)).then_some(private),
    }
}

fn write_account(plan: &mut Plan, rng: &mut Rng, account: usize, exports: &[Export]) {
    let name = ACCOUNTS[account];
    let text = &mut plan.text;
    writeln!(text, "{name} {{\n  users: [").expect("a String takes all");
    for number in 1..=rng.range(1, 2) {
        let user = format!("{}{number}", name.to_lowercase());
        writeln!(
            text,
            "    {{user: {user}, password: p{}}}",
            permissions(rng)
        )
        .expect("a String takes all");
        plan.users.push(user);
    }
    text.push_str("  ]\n  exports: [\n");
    for export in exports.iter().filter(|export| export.account == account) {
        let kind = if export.service { "service" } else { "stream" };
        let private = export
            .private_to
            .map(|to| format!(", accounts: [{}]", ACCOUNTS[to]))
            .unwrap_or_default();
        let many = if export.service && rng.chance(300) {
            ", response_type: stream"
        } else {
            ""
        };
        writeln!(
            text,
            "    {{{kind}: \"{}\"{private}{many}}}",
            export.pattern
        )
        .expect("a String takes all");
    }
    text.push_str("  ]\n  imports: [\n");
    for export in exports.iter().filter(|export| export.account != account) {
        let denied = export.private_to.is_some_and(|to| to != account);
        if !denied && rng.chance(600) {
            writeln!(text, "    {}", import(rng, export)).expect("a String takes all");
        }
    }
    text.push_str("  ]\n");
    if rng.chance(350) {
        text.push_str("  mappings {\n");
        for _ in 0..rng.range(1, 2) {
            writeln!(text, "    {}", mapping(rng)).expect("a String takes all");
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
}

fn import(rng: &mut Rng, export: &Export) -> String {
    let kind = if export.service { "service" } else { "stream" };
    let remote = match rng.chance(300) {
        true => narrower(rng, &export.pattern),
        false => export.pattern.clone(),
    };
    let source = format!(
        "{kind}: {{account: {}, subject: \"{remote}\"}}",
        ACCOUNTS[export.account]
    );
    let wildcards = remote.split('.').filter(|token| *token == "*").count();
    match rng.below(4) {
        0 => format!("{{{source}}}"),
        1 if !export.service => format!("{{{source}, prefix: {}}}", rng.pick(&["p", "a", "b.c"])),
        _ => {
            // The wildcards backwards, behind a token of its own.
            let mut to = vec![rng.pick(&["x", "y", "a"]).to_owned()];
            to.extend((1..=wildcards).rev().map(|number| format!("${number}")));
            to.extend(remote.ends_with('>').then(|| ">".to_owned()));
            format!("{{{source}, to: \"{}\"}}", to.join("."))
        }
    }
}

/// A part of a pattern.
fn narrower(rng: &mut Rng, pattern: &str) -> String {
    let mut narrow: Vec<String> = pattern.split('.').map(str::to_owned).collect();
    for token in &mut narrow {
        if (token == "*" || token == ">") && rng.chance(500) {
            *token = rng.pick(&["a", "b"]).to_owned();
        }
    }
    narrow.join(".")
}

fn mapping(rng: &mut Rng) -> String {
    let source = pattern(rng, 300);
    let wildcards = source.split('.').filter(|token| *token == "*").count();
    let mut ways = Vec::new();
    let mut left = 100;
    let mut names = vec!["a", "b", "c", "m"];
    for _ in 0..rng.range(1, 3) {
        let weight = match rng.below(3) {
            0 => left,
            _ => rng.range(0, left),
        };
        left -= weight;
        let mut to = vec![names.swap_remove(rng.below(names.len())).to_owned()];
        to.extend(
            (1..=wildcards)
                .filter(|_| rng.chance(700))
                .map(|number| format!("${number}")),
        );
        to.extend(source.ends_with('>').then(|| ">".to_owned()));
        let to = if rng.chance(100) && !source.contains('*') {
            source.clone()
        } else {
            to.join(".")
        };
        ways.push(format!("{{destination: \"{to}\", weight: {weight}}}"));
    }
    format!("\"{source}\": [{}]", ways.join(", "))
}

fn permissions(rng: &mut Rng) -> String {
    if rng.chance(400) {
        return String::new();
    }
    let list = |rng: &mut Rng, queues: bool| {
        let rules: Vec<String> = (0..rng.range(1, 3))
            .map(|_| match queues && rng.chance(250) {
                true => format!(
                    "\"{} {}\"",
                    pattern(rng, 500),
                    rng.pick(&["q", "r", "q*", "*"])
                ),
                false => format!("\"{}\"", pattern(rng, 500)),
            })
            .collect();
        format!("[{}]", rules.join(", "))
    };
    let mut parts = Vec::new();
    for (name, queues) in [("publish", false), ("subscribe", true)] {
        if rng.chance(500) {
            let allow = rng.chance(600).then(|| {
                let inbox = if rng.chance(500) {
                    "\"_INBOX.>\", \"_R_.>\","
                } else {
                    ""
                };
                format!(
                    "allow: {}",
                    list(rng, queues).replacen('[', &format!("[{inbox} "), 1)
                )
            });
            let answers = if !queues && rng.chance(400) {
                "\"_R_.>\", "
            } else {
                ""
            };
            let deny = rng.chance(500).then(|| {
                format!(
                    "deny: {}",
                    list(rng, queues).replacen('[', &format!("[{answers}"), 1)
                )
            });
            let both: Vec<String> = allow.into_iter().chain(deny).collect();
            parts.push(format!("{name}: {{{}}}", both.join(", ")));
        }
    }
    if rng.chance(300) {
        parts.push("allow_responses: true".to_owned());
    }
    format!(", permissions: {{{}}}", parts.join(", "))
}

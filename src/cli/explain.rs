//! The command line of `gannet explain`: words -> what is asked. Never opens the file, never answers.

use std::net::IpAddr;
use std::path::PathBuf;

use super::registry::EXPLAIN;
use super::{Invocation, Output, PROGRAM, scan, text};

/// Exit code for arguments that are wrong, as that of `gannet bench`.
const WRONG: u8 = 2;

/// What the flags set.
#[derive(Clone, Debug, Default)]
pub struct ExplainFlags {
    pub(super) config_file: Option<String>,
    pub(super) user: Option<String>,
    pub(super) account: Option<String>,
    pub(super) creds: Option<String>,
    pub(super) jwt: Option<String>,
    pub(super) account_jwts: Vec<String>,
    pub(super) from: Option<IpAddr>,
    pub(super) queue: Option<String>,
    pub(super) inbox: Option<String>,
    pub(super) json: bool,
    pub(super) help: bool,
}

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Explain {
    /// The configuration file.
    pub file: PathBuf,
    /// Who: a user; `None` is a client without credentials, unless there is an account.
    pub user: Option<String>,
    /// Who: a client of an account without users; or the account that the user must be in.
    pub account: Option<String>,
    /// Who: whoever has the JWT in this file.
    pub token: Option<TokenFile>,
    /// Files with the JWTs of accounts.
    pub account_jwts: Vec<PathBuf>,
    /// Where it connects from.
    pub from: Option<IpAddr>,
    /// What it does.
    pub verb: ExplainVerb,
    /// The subject, or the pattern of a subscription.
    pub subject: String,
    /// The queue group of a subscription.
    pub queue: Option<String>,
    /// What the reply subjects of a request begin with.
    pub inbox: String,
    /// Print JSON.
    pub json: bool,
}

/// A file with a user's JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFile {
    /// With its seed, which is tried.
    Creds(PathBuf),
    /// Without one, or with one that does not matter.
    Jwt(PathBuf),
}

/// What somebody does with a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainVerb {
    /// Publishes.
    Pub,
    /// Subscribes.
    Sub,
    /// Requests.
    Request,
}

/// Reads the words after `explain`. Flags may stand before, between and behind the two words.
pub(super) fn parse(words: &[String]) -> Invocation {
    let mut flags = ExplainFlags::default();
    let mut plain = Vec::new();
    let mut rest = words;
    while !rest.is_empty() {
        match scan::scan(rest, EXPLAIN, &mut flags) {
            Ok(scanned) => {
                plain.extend(scanned.stray);
                rest = scanned.rest;
            }
            Err(problem) => return wrong(&problem),
        }
    }
    if flags.help || words.is_empty() || plain == ["help"] {
        return Invocation::Print(Output {
            stdout: text::explain_help(),
            ..Output::default()
        });
    }
    match question(flags, &plain) {
        Ok(question) => Invocation::Explain(Box::new(question)),
        Err(problem) => wrong(&problem),
    }
}

fn question(flags: ExplainFlags, plain: &[&str]) -> Result<Explain, String> {
    let [verb, subject] = plain else {
        return Err("say what is to be explained: pub, sub or request, and a subject".into());
    };
    let verb = match *verb {
        "pub" => ExplainVerb::Pub,
        "sub" => ExplainVerb::Sub,
        "request" | "req" => ExplainVerb::Request,
        other => return Err(format!("{other:?} is not pub, sub or request")),
    };
    if flags.queue.is_some() && verb != ExplainVerb::Sub {
        return Err("--queue is for sub".into());
    }
    if flags.inbox.is_some() && verb != ExplainVerb::Request {
        return Err("--inbox is for request".into());
    }
    let is_word = |text: &str| !text.is_empty() && !text.contains([' ', '\t', '\r', '\n']);
    let named = [
        Some(*subject),
        flags.queue.as_deref(),
        flags.inbox.as_deref(),
    ];
    if let Some(bad) = named.into_iter().flatten().find(|text| !is_word(text)) {
        return Err(format!(
            "{bad:?} cannot be sent: it is empty or holds white space"
        ));
    }
    let token = match (flags.creds, flags.jwt) {
        (Some(_), Some(_)) => return Err("--creds and --jwt: one of them".into()),
        (Some(file), None) => Some(TokenFile::Creds(file.into())),
        (None, file) => file.map(|file| TokenFile::Jwt(file.into())),
    };
    if token.is_some() && (flags.user.is_some() || flags.account.is_some()) {
        return Err(
            "a JWT says whose it is: --user and --account are for the users of a file".into(),
        );
    }
    let file = flags.config_file.filter(|file| !file.is_empty());
    Ok(Explain {
        file: file.ok_or("say which configuration with -c FILE")?.into(),
        user: flags.user,
        account: flags.account,
        token,
        account_jwts: flags.account_jwts.into_iter().map(PathBuf::from).collect(),
        from: flags.from,
        verb,
        subject: (*subject).to_owned(),
        queue: flags.queue,
        inbox: flags.inbox.unwrap_or_else(|| "_INBOX".into()),
        json: flags.json,
    })
}

fn wrong(problem: &str) -> Invocation {
    Invocation::Print(Output {
        stderr: format!("{PROGRAM} explain: {problem}\n{}", text::explain_help()),
        code: WRONG,
        ..Output::default()
    })
}

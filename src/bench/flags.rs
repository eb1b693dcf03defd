//! Owns the flags of `gannet bench`: one table that parsing and help come from. Never runs anything.

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The port of a server whose port is not said.
const PORT: u16 = 4222;

/// One flag. It is written `-x`, `--x`, `--x value` or `--x=value`, with one dash or two.
#[derive(Debug)]
pub struct Flag {
    /// The long name, without dashes.
    pub name: &'static str,
    /// A second name, or empty.
    pub alias: &'static str,
    /// What the help calls the value; empty for a switch.
    pub value: &'static str,
    /// The value when the flag is not given; empty for none.
    pub default: &'static str,
    /// One line for the help.
    pub help: &'static str,
}

macro_rules! flags {
    ($($constant:ident: $name:literal $alias:literal $value:literal $default:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Flag =
                Flag { name: $name, alias: $alias, value: $value, default: $default, help: $help };
        )*
    };
}

flags! {
    SERVER: "server" "s" "HOST[:PORT]" "127.0.0.1:4222" "The server";
    USER: "user" "" "NAME" "" "User name";
    PASSWORD: "password" "pass" "PASSWORD" "" "Password of the user";
    TOKEN: "token" "" "TOKEN" "" "Authorization token";
    MESSAGES: "messages" "n" "COUNT" "1000000" "Messages in all (1000, 10k, 2M)";
    REQUESTS: "messages" "n" "COUNT" "10000" "Requests in all (1000, 10k, 2M)";
    SIZE: "size" "" "BYTES" "128" "Payload bytes, or a range as 8..200";
    SUBJECT: "subject" "" "SUBJECT" "bench" "The subject; with several, the prefix of `SUBJECT.N`";
    SUBJECTS: "subjects" "" "COUNT" "1" "Number of subjects";
    MIX_SUBJECTS: "subjects" "" "COUNT" "1000" "Number of subjects";
    MIX_SIZE: "size" "" "BYTES" "8..200" "Payload bytes, or a range as 8..200";
    PUBLISHERS: "publishers" "p" "COUNT" "1" "Publishing connections";
    SUBSCRIBERS: "subscribers" "c" "COUNT" "1" "Subscribing connections";
    CLIENTS: "clients" "c" "COUNT" "1" "Connections, each with one request in flight";
    SERVE_CLIENTS: "clients" "c" "COUNT" "1" "Answering connections, each on its own thread";
    QUEUE: "queue" "q" "NAME" "" "Subscribe in this queue group";
    SERVE_QUEUE: "queue" "q" "NAME" "bench" "Subscribe in this queue group";
    LATENCY: "latency" "" "" "" "Also time one message a millisecond through the server, under the load";
    RATE: "rate" "r" "PER_SECOND" "0" "Messages a second in all; 0 is flat out";
    WINDOW: "window" "w" "BYTES" "64Mi" "Bytes published and not yet delivered, at most; 0 is no bound";
    THREADS: "threads" "t" "COUNT" "1" "Threads of the generator";
    JSON: "json" "" "" "" "Print the result as JSON";
    CSV: "csv" "" "" "" "Print the result as CSV";
    NO_PROGRESS: "no-progress" "" "" "" "Draw no progress bar";
    HELP: "help" "h" "" "" "Print this help";
    SIDE_A: "a" "" "COMMAND" "" "The first server: its program and extra flags (default: this gannet)";
    SIDE_B: "b" "" "COMMAND" "nats-server" "The second server: its program and extra flags";
    ROWS: "rows" "" "PATTERN" "" "Only rows whose key contains one of these words (comma between)";
    PAIRS: "pairs" "" "COUNT" "5" "Times each row is measured on each server, in alternation";
    NEAR: "near" "" "NS" "0" "Measure only while a cache line takes no longer between the two cores, there and back; 0 takes what comes";
    SECONDS: "seconds" "" "SECONDS" "0.7" "Length of one measurement";
    WARMUP: "warmup" "" "SECONDS" "0.25" "Same work before each measurement, not counted";
    SPIN: "spin" "" "MICROSECONDS" "100" "gannet's --spin in the rows that ask for its edge profile";
    SERVER_CORE: "server-core" "" "CORE" "0" "The core servers are confined to";
    GENERATOR_CORE: "generator-core" "" "CORE" "1" "The core the generator is confined to";
    OUT: "out" "" "DIRECTORY" "perf/results" "Where the results go; - writes no file";
    LIST: "list" "" "" "" "List the rows and stop";
    INPUT: "in" "" "FILE" "" "A result of `compare`; default: the newest in the directory of --out";
    SVG: "svg" "" "FILE" "perf/results/comparison.svg" "The picture to write";
}

/// What a command line said: a value for each flag given.
#[derive(Debug, Default)]
pub struct Options {
    given: Vec<(&'static str, String)>,
}

impl Options {
    /// Whether a switch was given.
    pub fn has(&self, flag: &Flag) -> bool {
        self.text(flag).is_some()
    }

    /// The text of a flag: what was given, else its default, else nothing.
    pub fn text(&self, flag: &Flag) -> Option<&str> {
        let given = self.given.iter().rev().find(|(name, _)| *name == flag.name);
        match given {
            Some((_, value)) => Some(value),
            None if flag.default.is_empty() => None,
            None => Some(flag.default),
        }
    }

    /// The value of a flag that has a default, as a plain number or other type.
    pub fn value<T: FromStr>(&self, flag: &Flag) -> Result<T, String> {
        let text = self.text(flag).unwrap_or_default();
        text.parse().map_err(|_| bad(flag, text))
    }

    /// A count: digits with an optional k, M, G (thousands) or Ki, Mi, Gi (1024s).
    pub fn count(&self, flag: &Flag) -> Result<u64, String> {
        let text = self.text(flag).unwrap_or_default();
        parse_count(text).ok_or_else(|| bad(flag, text))
    }

    /// A count of at least one that fits a `usize`.
    pub fn positive(&self, flag: &Flag) -> Result<usize, String> {
        match usize::try_from(self.count(flag)?) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(bad(flag, self.text(flag).unwrap_or_default())),
        }
    }

    /// A subject or the prefix of some, as it can be written in a line of the protocol.
    pub fn subject(&self, flag: &Flag) -> Result<&str, String> {
        let text = self.text(flag).unwrap_or_default();
        let breaks_the_line = |c: char| c.is_whitespace() || c.is_control();
        match text.is_empty() || text.contains(breaks_the_line) {
            true => Err(bad(flag, text)),
            false => Ok(text),
        }
    }

    /// A server: `host:port`, or `host` with the usual port; `nats://` may stand before it.
    pub fn server(&self, flag: &Flag) -> String {
        let text = self.text(flag).unwrap_or_default();
        let text = text.strip_prefix("nats://").unwrap_or(text);
        let text = text.trim_end_matches('/');
        let bare_v6 = text.parse::<Ipv6Addr>().is_ok();
        match text.rsplit_once(':') {
            _ if bare_v6 => format!("[{text}]:{PORT}"),
            Some((_, port)) if !port.ends_with(']') => text.to_owned(),
            _ => format!("{text}:{PORT}"),
        }
    }

    /// Sizes: one (`16`) or an inclusive range (`8..200`).
    pub fn sizes(&self, flag: &Flag) -> Result<(usize, usize), String> {
        let text = self.text(flag).unwrap_or_default();
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let parsed = parse_count(low).zip(parse_count(high));
        match parsed {
            Some((low, high)) if low <= high && high <= 64 << 20 => {
                Ok((low as usize, high as usize))
            }
            _ => Err(bad(flag, text)),
        }
    }
}

/// Reads `args` by the table `flags`. An unknown flag, a missing or a stray value is an error.
pub fn parse(flags: &[&'static Flag], args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(body) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            return Err(format!("unexpected argument `{arg}`"));
        };
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let flag = find(flags, name).ok_or_else(|| format!("unknown flag `{arg}`"))?;
        let value = match (flag.value.is_empty(), inline) {
            (true, None) => String::new(),
            (true, Some(_)) => return Err(format!("`--{}` takes no value", flag.name)),
            (false, Some(value)) => value,
            (false, None) => args
                .next()
                .ok_or_else(|| format!("`--{}` needs a value", flag.name))?
                .clone(),
        };
        options.given.push((flag.name, value));
    }
    Ok(options)
}

/// The help lines of a table, one flag a line.
pub fn help(flags: &[&Flag]) -> String {
    let mut out = String::new();
    for flag in flags {
        let alias = if flag.alias.is_empty() {
            String::new()
        } else {
            format!("-{}, ", flag.alias)
        };
        let left = format!("{alias}--{} {}", flag.name, flag.value);
        let default = if flag.default.is_empty() {
            String::new()
        } else {
            format!(" (default {})", flag.default)
        };
        writeln!(out, "  {left:<32} {}{default}", flag.help).expect("a string takes all");
    }
    out
}

fn find(flags: &[&'static Flag], name: &str) -> Option<&'static Flag> {
    flags
        .iter()
        .copied()
        .find(|flag| flag.name == name || (!flag.alias.is_empty() && flag.alias == name))
}

fn bad(flag: &Flag, text: &str) -> String {
    format!("`--{} {text}`: not a valid {}", flag.name, flag.value)
}

fn parse_count(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" => 1,
        "k" | "K" => 1000,
        "M" | "m" => 1_000_000,
        "G" | "g" => 1_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[&Flag] = &[&SERVER, &MESSAGES, &SIZE, &JSON];

    fn check(line: &str, expected: &str) {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let shown = match parse(TABLE, &args) {
            Ok(options) => format!(
                "{:?} {:?} {}",
                options.count(&MESSAGES),
                options.sizes(&SIZE),
                options.has(&JSON)
            ),
            Err(error) => error,
        };
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn every_spelling() {
        check("", "Ok(1000000) Ok((128, 128)) false");
        check("-n 10k -size 1Ki --json", "Ok(10000) Ok((1024, 1024)) true");
        check("--n=2M -size=8..200", "Ok(2000000) Ok((8, 200)) false");
        check("-json -messages=5 -n 6", "Ok(6) Ok((128, 128)) true");
    }

    #[test]
    fn servers() {
        let server = |text: &str| {
            let options = parse(TABLE, &["-s".to_owned(), text.to_owned()]);
            options.map(|options| options.server(&SERVER)).unwrap()
        };
        assert_eq!(server("here:5"), "here:5");
        assert_eq!(server("here"), "here:4222");
        assert_eq!(server("nats://here:5/"), "here:5");
        assert_eq!(server("nats://127.0.0.1"), "127.0.0.1:4222");
        assert_eq!(server("::1"), "[::1]:4222");
        assert_eq!(server("[::1]"), "[::1]:4222");
        assert_eq!(server("[::1]:5"), "[::1]:5");
    }

    #[test]
    fn subjects() {
        for text in ["", "a b", "a\tb", "a\r\nPING"] {
            let options = parse(&[&SUBJECT], &["--subject".to_owned(), text.to_owned()]);
            assert!(options.unwrap().subject(&SUBJECT).is_err(), "{text:?}");
        }
        assert_eq!(Options::default().subject(&SUBJECT), Ok("bench"));
    }

    #[test]
    fn every_refusal() {
        check("--nope", "unknown flag `--nope`");
        check("stray", "unexpected argument `stray`");
        check("-n", "`--messages` needs a value");
        check("--json=1", "`--json` takes no value");
        check(
            "-n 1x --size 9..8",
            "Err(\"`--messages 1x`: not a valid COUNT\") Err(\"`--size 9..8`: not a valid BYTES\") false",
        );
    }
}

//! One line of the log as text, in the oracle's format. Never writes anywhere.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::Level;
use std::io::Write;

/// A line on its way.
pub struct Line {
    /// When it was logged.
    pub at: Timestamp,
    /// Its level.
    pub tag: Tag,
    /// What it says; control characters in it are written escaped, so that a line stays one.
    pub text: String,
}

/// The oracle's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `[INF]`
    Info,
    /// `[WRN]`
    Warn,
    /// `[ERR]`
    Error,
    /// `[FTL]`
    Fatal,
    /// `[DBG]`
    Debug,
    /// `[TRC]`
    Trace,
}

impl Tag {
    /// The tag of a record of the `log` crate.
    pub fn of(level: Level, target: &str) -> Tag {
        match level {
            Level::Error if target == super::FATAL => Tag::Fatal,
            Level::Error => Tag::Error,
            Level::Warn => Tag::Warn,
            Level::Info => Tag::Info,
            Level::Debug => Tag::Debug,
            Level::Trace => Tag::Trace,
        }
    }

    /// Its letters, and its colour on a terminal.
    fn letters_and_colour(self) -> (&'static str, &'static str) {
        match self {
            Tag::Info => ("INF", "32"),
            Tag::Debug => ("DBG", "36"),
            Tag::Warn => ("WRN", "0;93"),
            Tag::Error => ("ERR", "31"),
            Tag::Fatal => ("FTL", "31"),
            Tag::Trace => ("TRC", "33"),
        }
    }
}

/// How lines are written.
pub struct Format {
    /// Process id at the beginning.
    pub pid: u32,
    /// The zone times are in; `None` writes no time.
    pub zone: Option<TimeZone>,
    /// Colour the tags.
    pub colours: bool,
}

impl Format {
    /// Appends `[PID] 2026/11/22 17:00:00.123456 [INF] text` and a line feed to `buffer`.
    pub fn write(&self, line: &Line, buffer: &mut Vec<u8>) {
        write!(buffer, "[{}] ", self.pid).expect("a Vec takes all");
        if let Some(zone) = &self.zone {
            let at = zone.to_datetime(line.at);
            let (year, month, day) = (at.year(), at.month(), at.day());
            let (hour, minute, second) = (at.hour(), at.minute(), at.second());
            let micros = at.subsec_nanosecond() / 1000;
            write!(
                buffer,
                "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} "
            )
            .expect("a Vec takes all");
        }
        let (letters, colour) = line.tag.letters_and_colour();
        if self.colours {
            write!(buffer, "[\x1b[{colour}m{letters}\x1b[0m] ").expect("a Vec takes all");
        } else {
            write!(buffer, "[{letters}] ").expect("a Vec takes all");
        }
        write_escaped(&line.text, buffer);
        buffer.push(b'\n');
    }
}

fn write_escaped(text: &str, buffer: &mut Vec<u8>) {
    let mut rest = text.trim_end_matches(['\r', '\n']);
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        let (plain, tail) = rest.split_at(at);
        let control = tail.chars().next().expect("found there");
        write!(buffer, "{plain}{}", control.escape_default()).expect("a Vec takes all");
        rest = &tail[control.len_utf8()..];
    }
    buffer.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(zone: Option<TimeZone>, colours: bool, tag: Tag, text: &str, expected: Expect) {
        let at = Timestamp::new(1_795_366_800, 123_456_789).unwrap();
        let mut buffer = Vec::new();
        Format {
            pid: 77,
            zone,
            colours,
        }
        .write(
            &Line {
                at,
                tag,
                text: text.into(),
            },
            &mut buffer,
        );
        expected.assert_eq(
            &String::from_utf8(buffer)
                .unwrap()
                .escape_debug()
                .to_string(),
        );
    }

    #[test]
    fn lines_are_the_oracles() {
        let east = TimeZone::get("+02:00")
            .ok()
            .or(Some(TimeZone::fixed(jiff::tz::offset(2))));
        check(
            Some(TimeZone::UTC),
            false,
            Tag::Info,
            "Server is ready",
            expect![[r#"[77] 2026/11/22 17:00:00.123456 [INF] Server is ready\n"#]],
        );
        check(
            east,
            false,
            Tag::Warn,
            "local time",
            expect![[r#"[77] 2026/11/22 19:00:00.123456 [WRN] local time\n"#]],
        );
        check(
            None,
            false,
            Tag::Fatal,
            "no time",
            expect![[r#"[77] [FTL] no time\n"#]],
        );
        check(
            None,
            true,
            Tag::Warn,
            "colours",
            expect![[r#"[77] [\u{1b}[0;93mWRN\u{1b}[0m] colours\n"#]],
        );
    }

    #[test]
    fn a_record_stays_one_line() {
        check(
            None,
            false,
            Tag::Trace,
            "a\r\n[1] [FTL] forged\x1b[2J\tü\u{85}\n",
            expect![[r#"[77] [TRC] a\\r\\n[1] [FTL] forged\\u{1b}[2J\tü\\u{85}\n"#]],
        );
    }
}

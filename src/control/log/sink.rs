//! Where the log goes: standard error, or a file with its rotation, its backups and their purge.
//! Only the log thread writes. Never decides what is logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::line::{Format, Line, Tag};
use crate::config::Logging;

/// An output with a buffer before it.
pub struct Sink {
    output: Output,
    format: Format,
    buffer: Vec<u8>,
    /// Lines in `buffer`.
    buffered_lines: u64,
    /// Lines that could not be written and were not told yet, with the last reason.
    lost: Option<(u64, String)>,
}

enum Output {
    Stderr,
    File(LogFile),
}

struct LogFile {
    path: PathBuf,
    file: File,
    /// Bytes in the file, those in the sink's buffer included.
    bytes: u64,
    /// Rotate past this many bytes; 0 is never.
    bytes_max: u64,
    /// `bytes_max`, doubled for each rotation that failed since one worked.
    bytes_max_now: u64,
    /// Files kept, the current one included; 0 is all.
    files_max: u64,
    /// Zone of the times in backups' names: the local one, whatever the lines use, as the oracle.
    zone: TimeZone,
}

impl Sink {
    /// Opens what `logging` asks for.
    ///
    /// # Errors
    /// The file cannot be opened; the text holds its path.
    pub fn open(logging: &Logging, pid: u32) -> io::Result<Sink> {
        let zone = if logging.utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        };
        let output = match &logging.file {
            Some(path) => Output::File(LogFile::open(path, logging)?),
            None => Output::Stderr,
        };
        let colours = matches!(output, Output::Stderr) && io::stderr().is_terminal();
        let format = Format {
            pid,
            zone: logging.time.then_some(zone),
            colours,
        };
        let mut sink = Sink {
            output,
            format,
            buffer: Vec::new(),
            buffered_lines: 0,
            lost: None,
        };
        if sink.rotation_due() {
            sink.tell(Timestamp::now(), Tag::Info, "Rotating logfile...");
        }
        Ok(sink)
    }

    /// Adds a line. A file that grew past its limit by it is rotated, under a name that holds the line's time.
    pub fn line(&mut self, line: &Line) {
        self.append(line);
        if self.rotation_due() {
            self.flush();
            self.rotate(line.at);
        }
    }

    /// Bytes that [`Sink::flush`] would write.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what is buffered. Lines that cannot be written are counted, and told once writing works again.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        self.prepend_lost();
        let outcome = match &mut self.output {
            Output::Stderr => write_patiently(&mut io::stderr(), &self.buffer),
            Output::File(log) => write_patiently(&mut log.file, &self.buffer),
        };
        let lines = std::mem::take(&mut self.buffered_lines);
        match outcome {
            Ok(()) => self.lost = None,
            Err(error) => {
                let before = self.lost.take().map_or(0, |(lines, _)| lines);
                if let Output::File(log) = &mut self.output {
                    log.failed(&error, before == 0);
                }
                self.lost = Some((before + lines, error.to_string()));
            }
        }
        self.buffer.clear();
    }

    /// Opens the file anew under its name, so that one moved away is let go, and says so.
    pub fn reopen(&mut self) {
        self.flush();
        let now = Timestamp::now();
        let Output::File(log) = &mut self.output else {
            return self.tell(
                now,
                Tag::Info,
                "File log re-open ignored, not a file logger",
            );
        };
        match open(&log.path) {
            Ok((file, bytes)) => {
                (log.file, log.bytes) = (file, bytes);
                self.tell(now, Tag::Info, "File log re-opened");
            }
            Err(error) => self.tell(
                now,
                Tag::Error,
                &format!("File log not re-opened, the old file stays: {error}"),
            ),
        }
    }

    fn tell(&mut self, at: Timestamp, tag: Tag, text: &str) {
        self.line(&Line {
            at,
            tag,
            text: text.into(),
        });
    }

    fn append(&mut self, line: &Line) {
        let before = self.buffer.len();
        self.format.write(line, &mut self.buffer);
        self.buffered_lines += 1;
        if let Output::File(log) = &mut self.output {
            log.bytes += (self.buffer.len() - before) as u64;
        }
    }

    fn prepend_lost(&mut self) {
        if let Some((lines, reason)) = &self.lost {
            let text = format!("{lines} log lines lost: {reason}");
            let mut told = Vec::new();
            self.format.write(
                &Line {
                    at: Timestamp::now(),
                    tag: Tag::Error,
                    text,
                },
                &mut told,
            );
            if let Output::File(log) = &mut self.output {
                log.bytes += told.len() as u64;
            }
            told.append(&mut self.buffer);
            self.buffer = told;
        }
    }

    fn rotation_due(&self) -> bool {
        matches!(&self.output, Output::File(log) if log.bytes_max > 0 && log.bytes > log.bytes_max_now)
    }

    fn rotate(&mut self, at: Timestamp) {
        let Output::File(log) = &mut self.output else {
            return;
        };
        let told = match log.rotate(at) {
            Ok(backup) => {
                let mut told = vec![(
                    Tag::Info,
                    format!("Rotated log, backup saved as {backup:?}"),
                )];
                told.extend(log.purge());
                told
            }
            Err(error) => {
                log.bytes_max_now = log.bytes_max_now.saturating_mul(2);
                let next = log.bytes_max_now;
                vec![(
                    Tag::Error,
                    format!("Log not rotated ({error}), to be tried again at {next} bytes"),
                )]
            }
        };
        for (tag, text) in told {
            // Not `line`: what is said about a rotation causes none.
            self.append(&Line { at, tag, text });
        }
    }
}

impl LogFile {
    fn open(path: &Path, logging: &Logging) -> io::Result<LogFile> {
        let (file, bytes) = open(path)?;
        Ok(LogFile {
            path: path.to_path_buf(),
            file,
            bytes,
            bytes_max: logging.file_bytes_max,
            bytes_max_now: logging.file_bytes_max,
            files_max: logging.files_max,
            zone: TimeZone::system(),
        })
    }

    /// A write failed: some of it may be in the file. The first failure of a row is told on standard error.
    fn failed(&mut self, error: &io::Error, first: bool) {
        if let Ok(metadata) = self.file.metadata() {
            self.bytes = metadata.len();
        }
        if first {
            let (program, path) = (crate::cli::PROGRAM, self.path.display());
            eprintln!("{program}: cannot write to the log file {path}: {error}");
        }
    }

    /// Moves the file aside and begins a new one. On an error the old one stays in use.
    fn rotate(&mut self, at: Timestamp) -> io::Result<String> {
        let backup = self.backup_path(at);
        fs::rename(&self.path, &backup)?;
        let (file, bytes) = open(&self.path)?;
        (self.file, self.bytes, self.bytes_max_now) = (file, bytes, self.bytes_max);
        Ok(backup.display().to_string())
    }

    /// `log.2026.11.22.17.00.00.123456789`, later by nanoseconds where that exists.
    fn backup_path(&self, mut at: Timestamp) -> PathBuf {
        loop {
            let local = self.zone.to_datetime(at);
            let (year, month, day) = (local.year(), local.month(), local.day());
            let (hour, minute, second) = (local.hour(), local.minute(), local.second());
            let nanos = local.subsec_nanosecond();
            let mut path = self.path.clone().into_os_string();
            path.push(format!(
                ".{year:04}.{month:02}.{day:02}.{hour:02}.{minute:02}.{second:02}.{nanos:09}"
            ));
            if !Path::new(&path).exists() {
                return path.into();
            }
            at = at
                .checked_add(Span::new().nanoseconds(1))
                .unwrap_or(Timestamp::UNIX_EPOCH);
        }
    }

    /// Removes the oldest backups, so that with the current file no more than `files_max` are left.
    fn purge(&self) -> Vec<(Tag, String)> {
        let Some(keep) = self.files_max.checked_sub(1) else {
            return Vec::new();
        };
        let (dir, backups) = match self.backups() {
            Ok(found) => found,
            Err(error) => return vec![(Tag::Error, format!("Old log files not purged: {error}"))],
        };
        let surplus = backups
            .len()
            .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        let mut told = Vec::new();
        for name in &backups[..surplus] {
            match fs::remove_file(dir.join(name)) {
                Ok(()) => told.push((Tag::Info, format!("Purged log file {name:?}"))),
                Err(error) => told.push((
                    Tag::Error,
                    format!("Old log file {name:?} not purged: {error}"),
                )),
            }
        }
        told
    }

    /// The directory and the names of the backups in it, oldest first.
    fn backups(&self) -> io::Result<(PathBuf, Vec<String>)> {
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let base = self
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let stamp = name
                .strip_prefix(&base)
                .and_then(|rest| rest.strip_prefix('.'));
            if stamp.is_some_and(is_stamp) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok((dir, names))
    }
}

/// Whether this is `2026.11.22.17.00.00.123456789`.
fn is_stamp(text: &str) -> bool {
    let fields: Vec<&str> = text.split('.').collect();
    fields.len() == 7
        && fields
            .iter()
            .zip([4, 2, 2, 2, 2, 2, 9])
            .all(|(field, width)| {
                field.len() == width && field.bytes().all(|byte| byte.is_ascii_digit())
            })
}

/// Opens for appending, mode 0640 as the oracle's. Returns the bytes already there too.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let with_path = |error| {
        io::Error::other(format!(
            "error opening file: open {}: {error}",
            path.display()
        ))
    };
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(with_path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// `write_all` that waits where a terminal or pipe was left non-blocking by another process.
fn write_patiently(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1))
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Writes `lines` one second apart, one flush each, and shows the directory.
    fn check(logging: Logging, before: &[(&str, &str)], lines: &[&str], expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in before {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let logging = Logging {
            file: Some(dir.path().join("log")),
            time: false,
            ..logging
        };
        let mut sink = Sink::open(&logging, 7).unwrap();
        if let Output::File(log) = &mut sink.output {
            log.zone = TimeZone::UTC;
        }
        for (second, text) in (0..).zip(lines) {
            let at = Timestamp::new(1_795_366_800 + second, 5).unwrap();
            sink.line(&Line {
                at,
                tag: Tag::Info,
                text: (*text).into(),
            });
        }
        sink.flush();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort_unstable();
        let show = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            format!("== {name}\n{}", fs::read_to_string(path).unwrap())
        };
        let shown: String = names.iter().map(show).collect();
        expected.assert_eq(&shown.replace(dir.path().to_str().unwrap(), "DIR"));
    }

    #[test]
    fn a_file_is_appended_to() {
        check(
            Logging::default(),
            &[("log", "old\n")],
            &["one", "two"],
            expect![[r#"
                == log
                old
                [7] [INF] one
                [7] [INF] two
            "#]],
        );
    }

    #[test]
    fn a_file_past_its_limit_is_rotated() {
        let logging = Logging {
            file_bytes_max: 100,
            ..Logging::default()
        };
        let long = "x".repeat(120);
        check(
            logging,
            &[],
            &["one", &long, "three"],
            expect![[r#"
            == log
            [7] [INF] Rotated log, backup saved as "DIR/log.2026.11.22.17.00.02.000000005"
            == log.2026.11.22.17.00.01.000000005
            [7] [INF] one
            [7] [INF] xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
            == log.2026.11.22.17.00.02.000000005
            [7] [INF] Rotated log, backup saved as "DIR/log.2026.11.22.17.00.01.000000005"
            [7] [INF] three
        "#]],
        );
    }

    #[test]
    fn the_same_moment_overwrites_no_backup() {
        let logging = Logging {
            file_bytes_max: 10,
            ..Logging::default()
        };
        let taken = ("log.2026.11.22.17.00.00.000000005", "kept\n");
        check(
            logging,
            &[taken],
            &["longer than ten"],
            expect![[r#"
            == log
            [7] [INF] Rotated log, backup saved as "DIR/log.2026.11.22.17.00.00.000000006"
            == log.2026.11.22.17.00.00.000000005
            kept
            == log.2026.11.22.17.00.00.000000006
            [7] [INF] longer than ten
        "#]],
        );
    }

    #[test]
    fn old_backups_are_purged_and_other_files_are_not() {
        let logging = Logging {
            file_bytes_max: 10,
            files_max: 2,
            ..Logging::default()
        };
        let before = [
            ("log.2020.01.01.00.00.00.000000001", ""),
            ("log.2021.01.01.00.00.00.000000001", ""),
            ("log.2021.01.01", "not a backup\n"),
            ("logs.2021.01.01.00.00.00.000000001", "of another log\n"),
        ];
        check(
            logging,
            &before,
            &["longer than ten"],
            expect![[r#"
            == log
            [7] [INF] Rotated log, backup saved as "DIR/log.2026.11.22.17.00.00.000000005"
            [7] [INF] Purged log file "log.2020.01.01.00.00.00.000000001"
            [7] [INF] Purged log file "log.2021.01.01.00.00.00.000000001"
            == log.2021.01.01
            not a backup
            == log.2026.11.22.17.00.00.000000005
            [7] [INF] longer than ten
            == logs.2021.01.01.00.00.00.000000001
            of another log
        "#]],
        );
    }

    #[test]
    fn a_rotation_that_fails_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let logging = Logging {
            file: Some(gone.join("log")),
            file_bytes_max: 20,
            time: false,
            ..Logging::default()
        };
        let mut sink = Sink::open(&logging, 7).unwrap();
        fs::rename(&gone, dir.path().join("moved")).unwrap();
        for text in ["longer than twenty", "one", "two"] {
            sink.line(&Line {
                at: Timestamp::UNIX_EPOCH,
                tag: Tag::Info,
                text: text.into(),
            });
        }
        sink.flush();
        expect![[r#"
            [7] [INF] longer than twenty
            [7] [ERR] Log not rotated (No such file or directory (os error 2)), to be tried again at 40 bytes
            [7] [INF] one
            [7] [ERR] Log not rotated (No such file or directory (os error 2)), to be tried again at 80 bytes
            [7] [INF] two
            [7] [ERR] Log not rotated (No such file or directory (os error 2)), to be tried again at 160 bytes
        "#]].assert_eq(&fs::read_to_string(dir.path().join("moved/log")).unwrap());
    }

    #[test]
    fn lines_lost_to_a_full_disk_are_told_once_it_takes_lines_again() {
        let dir = tempfile::tempdir().unwrap();
        let logging = Logging {
            file: Some("/dev/full".into()),
            time: false,
            ..Logging::default()
        };
        let mut sink = Sink::open(&logging, 7).unwrap();
        for text in ["one", "two"] {
            sink.line(&Line {
                at: Timestamp::UNIX_EPOCH,
                tag: Tag::Info,
                text: text.into(),
            });
            sink.flush();
        }
        let path = dir.path().join("log");
        if let Output::File(log) = &mut sink.output {
            log.file = open(&path).unwrap().0;
        }
        sink.line(&Line {
            at: Timestamp::UNIX_EPOCH,
            tag: Tag::Info,
            text: "three".into(),
        });
        sink.flush();
        expect![[r#"
            [7] [ERR] 2 log lines lost: No space left on device (os error 28)
            [7] [INF] three
        "#]]
        .assert_eq(&fs::read_to_string(&path).unwrap());
    }
}

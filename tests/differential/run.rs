//! Runs one case against one program. Owns the meaning of every step; what is compared is made in `transcript`.

use std::ops::RangeInclusive;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::{Case, Step};
use crate::connection::{Connection, round_trip};
use crate::escape::escape;
use crate::keys::{Keys, signature};
use crate::seal;
use crate::server::{Output, Program, Server, wait_for};
use crate::tls;
use crate::transcript;
use crate::web::Webs;

const CONFIG: &str = "server.conf";

/// Runs the case. An error carries the transcript up to there and the server's log.
pub fn run(case: &Case, program: &Program) -> Result<String, String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let keys = &Keys::new(&case.tokens);
    let webs = Webs::start(&case.webs, keys)?;
    write_files(case, keys, &webs, directory.path())?;
    let mut run = Run {
        case,
        keys,
        webs,
        program,
        directory,
        server: None,
        exited: false,
        connections: Vec::new(),
        process: Vec::new(),
        output: None,
    };
    let done = run.steps();
    let text = keys.hide(&transcript::render(case, &run.process, &run.connections));
    match done {
        Ok(()) => Ok(text),
        Err(e) => Err(format!(
            "{e}\n--- so far\n{text}--- log\n{}",
            run.log_text()
        )),
    }
}

struct Run<'a> {
    case: &'a Case,
    keys: &'a Keys<'a>,
    webs: Webs,
    program: &'a Program,
    directory: TempDir,
    server: Option<Server>,
    exited: bool,
    connections: Vec<Connection>,
    process: Vec<String>,
    output: Option<Output>,
}

impl Run<'_> {
    fn steps(&mut self) -> Result<(), String> {
        for (line, step) in &self.case.steps {
            self.step(step).map_err(|e| format!("line {line}: {e}"))?;
        }
        for _ in 0..2 {
            self.fence_all()?;
        }
        self.server_lives()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Open(name, small) => self.open(name, *small)?,
            Step::Tls(name, options) => self.open_tls(name, options)?,
            Step::Client(name, fields) => {
                let name = self.connect(name, fields)?;
                self.connection(name)?.fence()?;
            }
            Step::Refused(name, fields) => {
                let name = self.connect(name, fields)?;
                self.until(name, b"<closed>")?;
            }
            Step::Send(name, bytes) => {
                let bytes = self.expanded(name, bytes)?;
                self.connection(name)?.send(&bytes)?;
            }
            Step::Pieces(name, pieces) => self.pieces(name, pieces)?,
            Step::Repeat(times, step) => (0..*times).try_for_each(|_| self.step(step))?,
            Step::Answer(delivery, text) => self.answer(delivery, text, None)?,
            Step::Seal(delivery, key, text) => self.answer(delivery, text, Some(key))?,
            Step::Fence(names) => names.iter().try_for_each(|n| self.connection(n)?.fence())?,
            Step::Read(name, count) => self.read(name, *count)?,
            Step::Until(name, head) => self.until(name, head)?,
            Step::Closed(name) => self.until(name, b"<closed>")?,
            Step::Cut(name) => self.connection(name)?.cut()?,
            Step::Half(name) => self.connection(name)?.half_close(),
            Step::Drop(name) => self.connection(name)?.close(),
            Step::Tally(name, low, high, head) => self.tally(name, *low..=*high, head)?,
            Step::Rewrite(name, text) => self.rewrite(name.as_deref(), text)?,
            Step::Reload => self.reload()?,
            Step::Log(text) => {
                let text = self.keys.text(text)?;
                self.server()?.wait_for_log(&text)?;
            }
            Step::Logged(text) => self.logged(text)?,
            Step::Signal(name) => self.server()?.signal(name)?,
            Step::Exit => self.exit()?,
            Step::Run(arguments, blame) => self.run(arguments, *blame)?,
            Step::Out(text) => self.out(text)?,
            Step::Cat(name) => self.cat(name)?,
            Step::List(name) => self.list(name)?,
            Step::Seen(name, text) => self.seen(name, text)?,
            Step::Met(name) => self.process.push(self.webs.met(name)?),
            Step::Page(name, page, text) => {
                let (page, text) = (self.keys.text(page)?, self.keys.text(text)?);
                self.webs.put(name, page, text)?;
            }
            Step::Asked(name, page, low, high) => self.asked(name, page, *low..=*high)?,
            Step::Gone(name) => self.gone(name)?,
        }
        Ok(())
    }

    fn open(&mut self, name: &str, small: bool) -> Result<(), String> {
        let port = self.server()?.port;
        if self.connections.iter().any(|c| c.name == name) {
            return Err(format!("{name} is already there"));
        }
        let mut connection = Connection::open(name, port, small)?;
        let greeted = connection.read_one("INFO");
        self.connections.push(connection);
        greeted
    }

    fn open_tls(&mut self, name: &str, options: &tls::Options) -> Result<(), String> {
        if !options.first {
            self.open(name, options.small)?;
            return self.connection(name)?.secure(options);
        }
        let port = self.server()?.port;
        let mut connection = Connection::open(name, port, options.small)?;
        connection.secure(options)?;
        let greeted = match connection.closed {
            true => Ok(()),
            false => connection.read_one("INFO"),
        };
        self.connections.push(connection);
        greeted
    }

    /// Opens, sends CONNECT, and gives the connection's name.
    fn connect<'n>(&mut self, name: &'n str, fields: &str) -> Result<&'n str, String> {
        let (name, small) = name
            .strip_suffix('!')
            .map_or((name, false), |name| (name, true));
        self.open(name, small)?;
        let fields = String::from_utf8(self.expanded(name, fields.as_bytes())?)
            .map_err(|e| e.to_string())?;
        let mut connect = json!({"verbose": false, "pedantic": false});
        if !fields.is_empty() {
            let more: Value =
                serde_json::from_str(&fields).map_err(|e| format!("{fields}: {e}"))?;
            let more = more
                .as_object()
                .ok_or("the fields of CONNECT are a JSON object")?;
            connect
                .as_object_mut()
                .expect("made above")
                .extend(more.clone());
        }
        let connection = self.connection(name)?;
        connection.send(format!("CONNECT {connect}\r\n").as_bytes())?;
        Ok(name)
    }

    /// What is sent on the connection `on`, with the marks replaced.
    fn expanded(&mut self, on: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let keys = self.keys;
        keys.bytes(bytes, &mut |word, argument| {
            let found = match word {
                "reply" => {
                    let (name, number) = numbered(argument)?;
                    self.connection(name)?.reply_of(number)?
                }
                "claim" => {
                    let (delivery, path) = argument.split_once(' ').ok_or("which claim?")?;
                    let (name, number) = numbered(delivery)?;
                    let xkey = self.case.xkey.as_deref();
                    let payload = self.connection(name)?.request_of(number, xkey)?;
                    claim(&payload, path)?.into_bytes()
                }
                "sign" | "sign64" => {
                    let nonce = self.connection(on)?.nonce().ok_or("INFO has no nonce")?;
                    signature(word, argument, nonce.as_bytes())?
                }
                _ => return Ok(None),
            };
            Ok(Some(found))
        })
    }

    fn answer(&mut self, delivery: &str, text: &[u8], by: Option<&str>) -> Result<(), String> {
        let (name, number) = numbered(delivery)?;
        let connection = self.connection(name)?;
        let reply = connection.reply_of(number)?;
        let recipient = connection.server_key(number)?;
        let mut payload = self.expanded(name, text)?;
        if let Some(by) = by {
            let recipient = recipient.ok_or("the server does not say its key")?;
            payload = seal::seal(&payload, by, &recipient)?;
        }
        let size = payload.len().to_string();
        let bytes = [
            b"PUB ",
            &*reply,
            b" ",
            size.as_bytes(),
            b"\r\n",
            &payload,
            b"\r\n",
        ]
        .concat();
        self.connection(name)?.send(&bytes)
    }

    fn tally(
        &mut self,
        name: &str,
        bounds: RangeInclusive<usize>,
        head: &[u8],
    ) -> Result<(), String> {
        let connection = self.connection(name)?;
        connection.fence()?;
        let count = connection
            .received
            .iter()
            .filter(|m| m.starts_with(head))
            .count();
        let (low, high) = (bounds.start(), bounds.end());
        let verdict = match bounds.contains(&count) {
            true => format!("between {low} and {high}"),
            false => format!("{count}, not between {low} and {high}"),
        };
        self.process
            .push(format!("{name}: {}: {verdict}", escape(head)));
        Ok(())
    }

    fn logged(&mut self, text: &str) -> Result<(), String> {
        let holds = self.log_text().contains(&self.keys.text(text)?);
        let verdict = if holds { "says" } else { "does not say" };
        self.process.push(format!("the log {verdict} {text:?}"));
        Ok(())
    }

    fn asked(
        &mut self,
        name: &str,
        page: &str,
        bounds: RangeInclusive<usize>,
    ) -> Result<(), String> {
        let count = self.webs.asked(name, &self.keys.text(page)?)?;
        let (low, high) = (bounds.start(), bounds.end());
        let verdict = match bounds.contains(&count) {
            true => format!("between {low} and {high}"),
            false => format!("{count}, not between {low} and {high}"),
        };
        self.process
            .push(format!("{name} asked for {page}: {verdict}"));
        Ok(())
    }

    /// The file is whole at any time: the server may look at it whenever it likes.
    fn rewrite(&mut self, name: Option<&str>, text: &str) -> Result<(), String> {
        let text = self.webs.with_marks(&self.keys.text(text)?)?;
        let text = tls::with_marks(&text)?;
        tls::write_named(&text, self.directory.path())?;
        let name = self.keys.text(name.unwrap_or(CONFIG))?;
        let path = self.directory.path().join(name);
        let new = self.directory.path().join("being written");
        std::fs::write(&new, text).map_err(|e| e.to_string())?;
        std::fs::rename(&new, &path).map_err(|e| e.to_string())
    }

    fn reload(&mut self) -> Result<(), String> {
        let taken = self.server()?.reload()?;
        let outcome = if taken { "taken" } else { "refused" };
        self.process.push(format!("reload: {outcome}"));
        Ok(())
    }

    fn pieces(&mut self, name: &str, pieces: &[Vec<u8>]) -> Result<(), String> {
        let port = self.server()?.port;
        for (i, piece) in pieces.iter().enumerate() {
            if i > 0 {
                round_trip(port)?;
            }
            let piece = self.expanded(name, piece)?;
            self.connection(name)?.send(&piece)?;
        }
        Ok(())
    }

    fn read(&mut self, name: &str, count: usize) -> Result<(), String> {
        let connection = self.connection(name)?;
        for i in 0..count {
            if connection.closed {
                break;
            }
            connection.read_one(&format!("message {} of {count}", i + 1))?;
        }
        Ok(())
    }

    fn until(&mut self, name: &str, head: &[u8]) -> Result<(), String> {
        let connection = self.connection(name)?;
        while !connection.closed {
            connection.read_one(&format!("{:?}", String::from_utf8_lossy(head)))?;
            if connection
                .received
                .last()
                .is_some_and(|m| m.starts_with(head))
            {
                break;
            }
        }
        Ok(())
    }

    fn fence_all(&mut self) -> Result<(), String> {
        let open = self
            .connections
            .iter_mut()
            .filter(|c| !c.closed && !c.dropped);
        open.into_iter()
            .try_for_each(|c| c.fence().map_err(|e| format!("at the end: {e}")))
    }

    fn exit(&mut self) -> Result<(), String> {
        let status = self.server()?.exit()?;
        self.exited = true;
        self.process.push(format!("server: {status}"));
        Ok(())
    }

    fn run(&mut self, arguments: &str, blame: bool) -> Result<(), String> {
        let words = arguments.split_whitespace();
        let words: Result<Vec<_>, _> = words.map(|w| self.known(w)).collect();
        let output = self.program.run(self.directory.path(), &words?)?;
        self.process
            .push(format!("run {arguments}: {}", output.status));
        let lines = lines_blamed(&output.text);
        if blame && !output.status.success() {
            self.process.push(format!("  lines {lines:?}"));
        }
        self.output = Some(output);
        Ok(())
    }

    fn out(&mut self, text: &str) -> Result<(), String> {
        let output = self.output.as_ref().ok_or("`out` without a `run`")?;
        let answer = if output.text.contains(text) {
            "says"
        } else {
            "does not say"
        };
        self.process.push(format!("  {answer} {text:?}"));
        Ok(())
    }

    fn cat(&mut self, name: &str) -> Result<(), String> {
        let path = self.known(name)?;
        let text = wait_for(&format!("the file {path}"), || {
            read_matching(self.directory.path(), &path).filter(|text| !text.is_empty())
        })?;
        let text = self.anonymous(&self.keys.hide(&text));
        self.process.push(format!("{name}: {text}"));
        Ok(())
    }

    /// Hidden files are a server's own business.
    fn list(&mut self, name: &str) -> Result<(), String> {
        let path = self.known(name)?;
        let path = self.directory.path().join(path);
        let entries = std::fs::read_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let names = entries
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|n| !n.starts_with('.')).collect();
        names.sort();
        self.process.push(format!("{name}: {}", names.join(" ")));
        Ok(())
    }

    fn seen(&mut self, name: &str, text: &str) -> Result<(), String> {
        let path = self.known(name)?;
        wait_for(&format!("{text:?} in the file {path}"), || {
            read_matching(self.directory.path(), &path).filter(|all| all.contains(text))
        })?;
        self.process.push(format!("{name} says {text:?}"));
        Ok(())
    }

    fn gone(&mut self, name: &str) -> Result<(), String> {
        let path = self.known(name)?;
        wait_for(&format!("the file {path} to go"), || {
            read_matching(self.directory.path(), &path)
                .is_none()
                .then_some(())
        })?;
        self.process.push(format!("{name}: gone"));
        Ok(())
    }

    fn anonymous(&self, text: &str) -> String {
        let Some(server) = &self.server else {
            return format!("{text:?}");
        };
        // The port first: it may begin with the number of the process.
        let text = text.replace(&format!(":{}", server.port), ":PORT");
        format!("{:?}", text.replace(&server.pid().to_string(), "PID"))
    }

    /// Puts `$config`, `$dir`, `$port` and `$pid` in.
    fn known(&mut self, word: &str) -> Result<String, String> {
        let mut word = self.keys.text(word)?.replace("$config", CONFIG);
        word = word.replace("$dir", &self.directory.path().to_string_lossy());
        if word.contains("$port") {
            word = word.replace("$port", &self.server()?.port.to_string());
        }
        if word.contains("$pid") {
            word = word.replace("$pid", &self.server()?.pid().to_string());
        }
        Ok(word)
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        let found = self.connections.iter_mut().find(|c| c.name == name);
        found.ok_or_else(|| format!("no connection {name}"))
    }

    /// The case's server, started when it is first needed.
    fn server(&mut self) -> Result<&mut Server, String> {
        if self.server.is_none() {
            let flags = self.case.flags.iter().map(|flag| self.keys.text(flag));
            let mut flags = flags.collect::<Result<Vec<_>, _>>()?;
            if self.case.config.is_some() {
                flags.extend(["-c".into(), CONFIG.into()]);
            }
            let started =
                self.program
                    .start(self.directory.path(), &flags, self.case.log.as_deref());
            self.server = Some(started.map_err(|e| format!("the server does not start: {e}"))?);
        }
        Ok(self.server.as_mut().expect("just made"))
    }

    fn server_lives(&mut self) -> Result<(), String> {
        let exited = self.exited;
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        match server.ended() {
            Some(status) if !exited => Err(format!("the server ended: {status}")),
            _ if server.log_text().contains("panicked at") => Err("the server panicked".into()),
            _ => Ok(()),
        }
    }

    fn log_text(&self) -> String {
        self.server.as_ref().map_or(String::new(), Server::log_text)
    }
}

fn write_files(case: &Case, keys: &Keys<'_>, webs: &Webs, directory: &Path) -> Result<(), String> {
    tls::write_named(&case.flags.join(" "), directory)?;
    let config = case.config.iter().map(|text| (CONFIG, text));
    let files = case.files.iter().map(|(name, text)| (name.as_str(), text));
    config.chain(files).try_for_each(|(name, text)| {
        let text = keys.text(text).map_err(|e| format!("{name}: {e}"))?;
        let text = tls::with_marks(&webs.with_marks(&text)?)?;
        tls::write_named(&text, directory)?;
        std::fs::write(directory.join(name), text).map_err(|e| e.to_string())
    })
}

/// `NAME` or `NAME.3`: a connection and the number of a delivery to it.
fn numbered(word: &str) -> Result<(&str, usize), String> {
    let (name, number) = word.split_once('.').unwrap_or((word, "1"));
    let number = number.parse().map_err(|e| format!("{number}: {e}"))?;
    Ok((name, number))
}

/// What a token says at a path: `nats.user_nkey`.
fn claim(token: &[u8], path: &str) -> Result<String, String> {
    let payload = token.split(|b| *b == b'.').nth(1).ok_or("no token")?;
    let json = BASE64URL_NOPAD.decode(payload).map_err(|e| e.to_string())?;
    let claims: Value = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
    let found = claims.pointer(&format!("/{}", path.replace('.', "/")));
    Ok(match found.ok_or("no such claim")? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// The file of this name, or the one whose name ends so where it begins with `*`.
fn read_matching(directory: &Path, name: &str) -> Option<String> {
    let Some(end) = name.strip_prefix('*') else {
        return std::fs::read_to_string(directory.join(name)).ok();
    };
    let mut entries = std::fs::read_dir(directory).ok()?.flatten();
    let found = entries.find(|e| e.file_name().to_string_lossy().ends_with(end))?;
    std::fs::read_to_string(found.path()).ok()
}

/// The line numbers that an error text names, as `file:3:1` or `line 3`.
fn lines_blamed(text: &str) -> Vec<u32> {
    let number = |s: &str| -> Option<u32> {
        let digits: String = s.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let after = |mark: &str| -> Vec<u32> { text.split(mark).skip(1).filter_map(number).collect() };
    let mut lines = [after(".conf:"), after("on line ")].concat();
    lines.sort_unstable();
    lines.dedup();
    lines
}

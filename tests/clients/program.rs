//! The talk with one client program: runs it, reads its lines, does what it asks for. Owns the child process; knows nothing
//! of the checks it makes.
//!
//! Its standard output, line by line: `ok NAME` (a check passed), `@kill SERVER`, `@start SERVER` (it waits for the line
//! `done` on its standard input); everything else is shown when it fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::servers::Servers;

/// Upper bound of a whole program, only there to turn a hang into a failure.
const WAIT: Duration = Duration::from_secs(240);

/// Runs a program to its end. Returns the checks that passed; fails with everything it printed.
pub fn run(mut command: Command, servers: &mut Servers) -> Result<Vec<String>, String> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    let (sender, lines) = channel();
    for stream in streams(&mut child) {
        let sender = sender.clone();
        thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.for_each(|line| sender.send(line).unwrap_or_default());
        });
    }
    drop(sender);
    let mut input = child.stdin.take().expect("piped");
    let mut printed = Vec::new();
    let talk = talk(&lines, &mut input, servers, &mut printed);
    if talk.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    let failure = match talk {
        Err(failure) => failure,
        Ok(()) if !status.success() => status.to_string(),
        Ok(()) => {
            let passed = printed.iter().filter_map(|line| line.strip_prefix("ok "));
            return Ok(passed.map(str::to_owned).collect());
        }
    };
    Err(format!("{failure}\n-- the client\n{}", printed.join("\n")))
}

/// Both outputs; the program ends them when it ends.
fn streams(child: &mut Child) -> [Box<dyn Read + Send>; 2] {
    let out = child.stdout.take().expect("piped");
    let err = child.stderr.take().expect("piped");
    [Box::new(out), Box::new(err)]
}

fn talk(
    lines: &Receiver<String>,
    input: &mut ChildStdin,
    servers: &mut Servers,
    printed: &mut Vec<String>,
) -> Result<(), String> {
    let deadline = Instant::now() + WAIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(_) if Instant::now() >= deadline => return Err("it hangs".into()),
            Err(_) => return Ok(()),
        };
        match line.split_once(' ') {
            Some(("@kill", name)) => servers.kill(name)?,
            Some(("@start", name)) => servers.start(name)?,
            _ => {
                printed.push(line);
                continue;
            }
        }
        printed.push(line);
        writeln!(input, "done").map_err(|e| format!("its standard input: {e}"))?;
    }
}

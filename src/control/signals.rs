//! Signals: those this process gets, as events on a channel, and those `--signal` sends to another.
//! Never acts on one. SIGPIPE needs nothing: Rust's start-up code ignores it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::cli::{PROGRAM, SignalCommand, SignalRequest};

/// What a signal asks for. Stopping by either signal exits 0, as the oracle does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// SIGINT: stop.
    Interrupt,
    /// SIGTERM: stop.
    Terminate,
    /// SIGUSR1: open the log file anew.
    ReopenLog,
    /// SIGUSR2: lame duck mode.
    LameDuck,
    /// SIGHUP: reload the configuration.
    Reload,
}

impl Event {
    /// The log line that tells it arrived, in the oracle's words.
    pub fn trapped(self) -> String {
        let name = match self {
            Event::Interrupt => "interrupt",
            Event::Terminate => "terminated",
            Event::ReopenLog => "user defined signal 1",
            Event::LameDuck => "user defined signal 2",
            Event::Reload => "hangup",
        };
        format!("Trapped {name:?} signal")
    }

    /// The log line that refuses it, for what gannet cannot do yet.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Event::LameDuck => Some("Lame duck mode is not available in gannet yet"),
            Event::Interrupt | Event::Terminate | Event::ReopenLog | Event::Reload => None,
        }
    }

    fn of(signal: i32) -> Option<Event> {
        match signal {
            SIGINT => Some(Event::Interrupt),
            SIGTERM => Some(Event::Terminate),
            SIGUSR1 => Some(Event::ReopenLog),
            SIGUSR2 => Some(Event::LameDuck),
            SIGHUP => Some(Event::Reload),
            _ => None,
        }
    }
}

/// From now on signals do nothing but arrive at `events`, as what `wrap` makes of them. To be called before other
/// threads are started.
///
/// # Errors
/// The handlers or their thread cannot be had.
pub fn listen<T: Send + 'static>(
    events: Sender<T>,
    wrap: impl Fn(Event) -> T + Send + 'static,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP])?;
    let forward = move || {
        for event in signals.forever().filter_map(Event::of) {
            if events.send(wrap(event)).is_err() {
                break;
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(forward)?;
    Ok(())
}

/// Sends what `--signal` asks for.
///
/// # Errors
/// What to print, in the oracle's words: no such process, several where one is needed, an id that is none.
pub fn send(request: &SignalRequest) -> Result<(), String> {
    let (signal, name) = match request.command {
        SignalCommand::Stop => (Signal::KILL, "stop"),
        SignalCommand::Quit => (Signal::INT, "quit"),
        SignalCommand::Term => (Signal::TERM, "term"),
        SignalCommand::Reopen => (Signal::USR1, "reopen"),
        SignalCommand::Reload => (Signal::HUP, "reload"),
    };
    let expression = request.process.as_deref().map(read_if_file);
    let running = || running_servers(Path::new("/proc"), std::process::id());
    let mut problems = String::new();
    for pid in choose(expression.as_deref(), running)? {
        if let Err(error) = kill_process(pid, signal) {
            let pid = pid.as_raw_nonzero();
            problems += &format!("\nsignal {name:?} {pid}: {}", io::Error::from(error));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// The content of the file of that name, without blanks around it, or the text itself.
fn read_if_file(text: &str) -> String {
    fs::read_to_string(text).map_or_else(|_| text.to_string(), |content| content.trim().to_string())
}

/// The processes meant by `expression`: an id, the first digits of ids and `*`, or the one server there is.
fn choose(
    expression: Option<&str>,
    running: impl FnOnce() -> Vec<Pid>,
) -> Result<Vec<Pid>, String> {
    let expression = expression.unwrap_or_default();
    let (digits, several) = match expression.strip_suffix('*') {
        Some(digits) => (digits, true),
        None => (expression, false),
    };
    let id = digits
        .parse()
        .ok()
        .filter(|&id| id > 0)
        .and_then(Pid::from_raw);
    if !digits.is_empty() && id.is_none() {
        return Err(format!("invalid pid: {digits}"));
    }
    if let (Some(id), false) = (id, several) {
        return Ok(vec![id]);
    }
    let mut pids = running();
    pids.retain(|pid| pid.as_raw_nonzero().to_string().starts_with(digits));
    match pids.len() {
        0 => Err(format!("no {PROGRAM} processes running")),
        1 => Ok(pids),
        _ if several => Ok(pids),
        _ => {
            let list: String = pids
                .iter()
                .map(|pid| format!("\n{}", pid.as_raw_nonzero()))
                .collect();
            Err(format!("multiple {PROGRAM} processes running:{list}"))
        }
    }
}

/// The ids of running servers, ascending: processes of this program's name but `own`, and no `gannet bench`.
fn running_servers(proc: &Path, own: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    let mut ids: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&id| u32::try_from(id) != Ok(own) && is_server(&proc.join(id.to_string())))
        .collect();
    ids.sort_unstable();
    ids.into_iter().filter_map(Pid::from_raw).collect()
}

fn is_server(process: &Path) -> bool {
    let named =
        fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim_end() == PROGRAM);
    // A zombie has no command line.
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    named && !line.is_empty() && line.split(|&byte| byte == 0).nth(1) != Some(b"bench".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(expression: Option<&str>, running: &[i32], expected: Expect) {
        let pids = || running.iter().copied().filter_map(Pid::from_raw).collect();
        let shown = match choose(expression, pids) {
            Ok(pids) => format!(
                "{:?}",
                pids.iter()
                    .map(|pid| pid.as_raw_nonzero().get())
                    .collect::<Vec<_>>()
            ),
            Err(problem) => problem,
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn processes_are_chosen_as_the_oracle_does() {
        check(None, &[], expect!["no gannet processes running"]);
        check(None, &[12], expect!["[12]"]);
        check(
            None,
            &[12, 13],
            expect![[r#"
            multiple gannet processes running:
            12
            13"#]],
        );
        check(Some("*"), &[12, 13], expect!["[12, 13]"]);
        check(Some("12*"), &[12, 13, 121], expect!["[12, 121]"]);
        check(
            Some("9*"),
            &[12, 13],
            expect!["no gannet processes running"],
        );
        check(Some("99"), &[12, 13], expect!["[99]"]);
        check(Some("abc"), &[12], expect!["invalid pid: abc"]);
    }

    /// The oracle would signal its whole process group with 0, and everything with -1.
    #[test]
    fn only_ids_of_single_processes_are_taken() {
        check(Some("0"), &[12], expect!["invalid pid: 0"]);
        check(Some("-1"), &[12], expect!["invalid pid: -1"]);
    }

    #[test]
    fn servers_are_found_by_name() {
        let proc = tempfile::tempdir().unwrap();
        let process = |id: &str, comm: &str, line: &str| {
            fs::create_dir(proc.path().join(id)).unwrap();
            fs::write(proc.path().join(id).join("comm"), comm).unwrap();
            fs::write(proc.path().join(id).join("cmdline"), line).unwrap();
        };
        process("20", "gannet\n", "./gannet\0-p\0-1\0");
        process("9", "gannet\n", "gannet\0");
        process("30", "gannet\n", "gannet\0bench\0pub\0");
        process("40", "gannet\n", "");
        process("50", "gannets\n", "gannets\0");
        process("60", "gannet\n", "gannet\0--signal\0stop\0");
        process("self", "gannet\n", "gannet\0");
        let found = running_servers(proc.path(), 60);
        assert_eq!(
            found
                .iter()
                .map(|pid| pid.as_raw_nonzero().get())
                .collect::<Vec<_>>(),
            [9, 20]
        );
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        // Above the kernel's largest id.
        let request = SignalRequest {
            command: SignalCommand::Quit,
            process: Some("2147483647".into()),
        };
        expect![[r#"

            signal "quit" 2147483647: No such process (os error 3)"#]]
        .assert_eq(&send(&request).unwrap_err());
    }

    #[test]
    fn a_pid_file_may_end_with_a_line_feed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "123\n").unwrap();
        assert_eq!(read_if_file(path.to_str().unwrap()), "123");
        assert_eq!(read_if_file("123"), "123");
    }

    /// In a process of its own: handlers are the whole process's.
    #[test]
    fn signals_arrive_as_events() {
        const CHILD: &str = "GANNET_TEST_SIGNALS_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return trap_each_signal();
        }
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "control::signals::tests::signals_arrive_as_events",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        let output = String::from_utf8(child.stdout).unwrap();
        let trapped: Vec<&str> = output
            .lines()
            .filter(|line| line.starts_with("event "))
            .collect();
        expect![[r#"
            event Reload | Trapped "hangup" signal | -
            event Interrupt | Trapped "interrupt" signal | -
            event Terminate | Trapped "terminated" signal | -
            event ReopenLog | Trapped "user defined signal 1" signal | -
            event LameDuck | Trapped "user defined signal 2" signal | Lame duck mode is not available in gannet yet"#]].assert_eq(&trapped.join("\n"));
    }

    fn trap_each_signal() {
        let (sender, events) = std::sync::mpsc::channel();
        listen(sender, |event| event).unwrap();
        println!();
        for signal in [
            Signal::HUP,
            Signal::INT,
            Signal::TERM,
            Signal::USR1,
            Signal::USR2,
        ] {
            kill_process(rustix::process::getpid(), signal).unwrap();
            let event = events.recv().unwrap();
            println!(
                "event {event:?} | {} | {}",
                event.trapped(),
                event.refusal().unwrap_or("-")
            );
        }
    }

    #[test]
    fn sigpipe_is_ignored() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .unwrap();
        let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
        let sigpipe = signal_hook::consts::SIGPIPE;
        assert_eq!(ignored >> (sigpipe - 1) & 1, 1);
    }
}

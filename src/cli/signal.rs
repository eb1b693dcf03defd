//! `--signal COMMAND[=PROCESS]` as a value. Never sends anything.

/// What `--signal` asks a running server to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalCommand {
    /// Kill it: SIGKILL, as the oracle.
    Stop,
    /// SIGINT.
    Quit,
    /// SIGTERM.
    Term,
    /// SIGUSR1: open the log file anew.
    Reopen,
    /// SIGHUP: load the configuration anew.
    Reload,
}

/// A parsed `--signal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRequest {
    /// What to do.
    pub command: SignalCommand,
    /// A process id, a path of a pid file, or the first digits of ids and `*`; `None` finds the one server there is.
    pub process: Option<String>,
}

impl SignalRequest {
    /// Reads `stop`, `quit=1234`, `reload=/run/gannet.pid`, `term=*`. `ldm` is refused by name.
    pub fn parse(text: &str) -> Result<SignalRequest, String> {
        let mut parts = text.split('=');
        let name = parts.next().unwrap_or_default();
        let process = parts
            .next()
            .filter(|process| !process.is_empty())
            .map(str::to_string);
        let rest: Vec<&str> = parts.collect();
        if !rest.is_empty() {
            return Err(format!("invalid signal parameters: [{}]", rest.join(" ")));
        }
        let command = match name {
            "stop" => SignalCommand::Stop,
            "quit" => SignalCommand::Quit,
            "term" => SignalCommand::Term,
            "reopen" => SignalCommand::Reopen,
            "reload" => SignalCommand::Reload,
            "ldm" => {
                return Err(format!(
                    "--signal {name} is not available in {} yet",
                    super::PROGRAM
                ));
            }
            _ => return Err(format!("unknown signal {name:?}")),
        };
        Ok(SignalRequest { command, process })
    }
}

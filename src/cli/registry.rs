//! Every flag, once: names, what it takes, what it sets, its help. Parsing, help and README come from here.
//! Never reads a command line.

use super::Flags;
use super::explain::ExplainFlags;
use crate::config::{IoChoice, Secret, Spin};

/// One flag; what it sets is the broker's unless said otherwise.
pub struct Flag<T: 'static = Flags> {
    /// Spellings with their customary dashes, the short one first. One dash or two are taken for each.
    pub names: &'static [&'static str],
    /// What its value is called in help; empty for a switch.
    pub value: &'static str,
    /// What it does.
    pub effect: Effect<T>,
    /// Where help lists it.
    pub group: Group,
    /// One line of help.
    pub help: &'static str,
    /// Its default in words; empty where that is "off" or "none".
    pub default: &'static str,
}

/// What a flag takes and sets. `Later…` are known, read and refused: their feature is not there yet.
pub enum Effect<T: 'static = Flags> {
    /// On, or `=false`.
    Switch(fn(&mut T, bool)),
    /// A whole number.
    Number(fn(&mut T, i64)),
    /// Any text; an error is the reason why this one is not taken.
    Text(fn(&mut T, &str) -> Result<(), String>),
    /// A switch, refused when on.
    LaterSwitch,
    /// A number, refused unless it is 0.
    LaterNumber,
    /// A text, refused unless it is empty.
    LaterText,
}

/// The sections of help, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Addresses, names, files.
    Server,
    /// gannet's own.
    Shards,
    /// Logging.
    Logging,
    /// Users and tokens.
    Authorization,
    /// TLS.
    Tls,
    /// Help and version.
    Common,
    /// Refused for now.
    Later,
    /// Those of `gannet explain`, which has a help of its own.
    Explain,
}

impl Group {
    /// All of the broker's, in the order of help.
    pub const ALL: [Group; 7] = [
        Group::Server,
        Group::Shards,
        Group::Logging,
        Group::Authorization,
        Group::Tls,
        Group::Common,
        Group::Later,
    ];

    /// Its heading in help.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Server => "Server Options",
            Group::Shards => "Shard Options",
            Group::Logging => "Logging Options",
            Group::Authorization => "Authorization Options",
            Group::Tls => "TLS Options",
            Group::Common => "Common Options",
            Group::Later => "Not available yet (refused at start)",
            Group::Explain => "Options",
        }
    }
}

impl<T> Flag<T> {
    /// How `name`, given without dashes, is customarily written.
    pub fn spelled(&self, name: &str) -> String {
        let known = self
            .names
            .iter()
            .find(|known| known.trim_start_matches('-') == name);
        known.map_or_else(|| format!("--{name}"), ToString::to_string)
    }
}

/// Every flag of `gannet explain`, in the order of help.
pub static EXPLAIN: &[Flag<ExplainFlags>] = &[
    Flag {
        names: &["-c", "--config"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.config_file, text)),
        group: Group::Explain,
        help: "The configuration file",
        default: "",
    },
    Flag {
        names: &["-u", "--user"],
        value: "user",
        effect: Effect::Text(|f, text| put(&mut f.user, text)),
        group: Group::Explain,
        help: "Whose message or subscription it is: the name of a user",
        default: "whoever has no credentials",
    },
    Flag {
        names: &["--account"],
        value: "account",
        effect: Effect::Text(|f, text| put(&mut f.account, text)),
        group: Group::Explain,
        help: "A client of this account, where it has no users",
        default: "",
    },
    Flag {
        names: &["--creds"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.creds, text)),
        group: Group::Explain,
        help: "With an operator: whoever has this credentials file",
        default: "",
    },
    Flag {
        names: &["--jwt"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.jwt, text)),
        group: Group::Explain,
        help: "The same for a user's JWT without its seed",
        default: "",
    },
    Flag {
        names: &["--account-jwt"],
        value: "file",
        effect: Effect::Text(|f, text| {
            f.account_jwts.push(text.to_owned());
            Ok(())
        }),
        group: Group::Explain,
        help: "The JWT of an account, in place of what the resolver has; may be given several times",
        default: "",
    },
    Flag {
        names: &["--from"],
        value: "address",
        effect: Effect::Text(|f, text| {
            let address = text.parse().map_err(|_| "it is an IP address")?;
            f.from = Some(address);
            Ok(())
        }),
        group: Group::Explain,
        help: "Where somebody with a JWT connects from",
        default: "where it may",
    },
    Flag {
        names: &["-q", "--queue"],
        value: "group",
        effect: Effect::Text(|f, text| put(&mut f.queue, text)),
        group: Group::Explain,
        help: "The queue group of a subscription",
        default: "",
    },
    Flag {
        names: &["--inbox"],
        value: "prefix",
        effect: Effect::Text(|f, text| put(&mut f.inbox, text)),
        group: Group::Explain,
        help: "What the reply subjects of a request begin with",
        default: "_INBOX",
    },
    Flag {
        names: &["--json"],
        value: "",
        effect: Effect::Switch(|f, on| f.json = on),
        group: Group::Explain,
        help: "Print JSON in place of a page",
        default: "",
    },
    Flag {
        names: &["-h", "--help"],
        value: "",
        effect: Effect::Switch(|f, on| f.help = on),
        group: Group::Explain,
        help: "This page",
        default: "",
    },
];

/// Every flag of the broker, in the order of help.
pub static REGISTRY: &[Flag] = &[
    Flag {
        names: &["-a", "--addr", "--net"],
        value: "host",
        effect: Effect::Text(|f, text| put(&mut f.host, text)),
        group: Group::Server,
        help: "Address to listen on for clients",
        default: "0.0.0.0",
    },
    Flag {
        names: &["-p", "--port"],
        value: "port",
        effect: Effect::Number(|f, number| f.port = Some(number)),
        group: Group::Server,
        help: "Port for clients; -1 takes a free one",
        default: "4222",
    },
    Flag {
        names: &["-n", "--name", "--server_name"],
        value: "name",
        effect: Effect::Text(|f, text| put(&mut f.server_name, text)),
        group: Group::Server,
        help: "Name of this server",
        default: "its id",
    },
    Flag {
        names: &["-P", "--pid"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.pid_file, text)),
        group: Group::Server,
        help: "Write the process id to this file",
        default: "",
    },
    Flag {
        names: &["-c", "--config"],
        value: "file",
        effect: Effect::Text(|f, text| {
            f.config_file = Some(text).filter(|text| !text.is_empty()).map(Into::into);
            Ok(())
        }),
        group: Group::Server,
        help: "Read this configuration file; flags win over it",
        default: "",
    },
    Flag {
        names: &["-t"],
        value: "",
        effect: Effect::Switch(|f, on| f.check_config = on),
        group: Group::Server,
        help: "Check the configuration file and exit",
        default: "",
    },
    Flag {
        names: &["--strict"],
        value: "",
        effect: Effect::Switch(|f, on| f.strict = on),
        group: Group::Server,
        help: "Take warnings about the configuration for errors, with -t and at start",
        default: "",
    },
    Flag {
        names: &["-sl", "--signal"],
        value: "signal[=pid]",
        effect: Effect::Text(|f, text| {
            f.signal = Some(text.to_string()).filter(|text| !text.is_empty());
            Ok(())
        }),
        group: Group::Server,
        help: "Signal a running server and exit: stop (kill), quit, term, reload, reopen; pid is an id, a pid file or 12*",
        default: "",
    },
    Flag {
        names: &["--client_advertise"],
        value: "host:port",
        effect: Effect::Text(|f, text| put(&mut f.client_advertise, text)),
        group: Group::Server,
        help: "Address told to clients and other servers in place of the own",
        default: "",
    },
    Flag {
        names: &["--ports_file_dir"],
        value: "dir",
        effect: Effect::Text(|f, text| put(&mut f.ports_file_dir, text)),
        group: Group::Server,
        help: "Write the ports in use to <program>_<pid>.ports in this directory",
        default: "",
    },
    Flag {
        names: &["-sd", "--store_dir"],
        value: "dir",
        effect: Effect::Text(|f, text| put(&mut f.store_dir, text)),
        group: Group::Server,
        help: "JetStream's directory; without JetStream it has no effect",
        default: "",
    },
    Flag {
        names: &["--shards"],
        value: "number",
        effect: Effect::Text(|f, text| match super::scan::number_of(text)? {
            count @ 1..=1024 => {
                f.shards = usize::try_from(count).ok();
                Ok(())
            }
            _ => Err("it is 1 to 1024".into()),
        }),
        group: Group::Shards,
        help: "Number of shards, one thread each",
        default: "one per usable core",
    },
    Flag {
        names: &["--no-pin"],
        value: "",
        effect: Effect::Switch(|f, on| f.no_pin = Some(on)),
        group: Group::Shards,
        help: "Do not pin shards to cores",
        default: "",
    },
    Flag {
        names: &["--io"],
        value: "auto|uring|epoll",
        effect: Effect::Text(|f, text| {
            f.io = Some(match text {
                "auto" => IoChoice::Auto,
                "uring" => IoChoice::Uring,
                "epoll" => IoChoice::Epoll,
                _ => return Err("it is auto, uring or epoll".into()),
            });
            Ok(())
        }),
        group: Group::Shards,
        help: "Run on io_uring or on epoll; auto takes io_uring where it can be had",
        default: "auto",
    },
    Flag {
        names: &["--spin"],
        value: "auto|off|microseconds",
        effect: Effect::Text(|f, text| {
            f.spin = Some(match text {
                "auto" => Spin::Adaptive,
                "off" => Spin::Off,
                _ => Spin::Fixed(
                    text.parse()
                        .map_err(|_| "it is auto, off or microseconds")?,
                ),
            });
            Ok(())
        }),
        group: Group::Shards,
        help: "How long a shard with nothing to do looks for work before it sleeps",
        default: "auto",
    },
    Flag {
        names: &["-l", "--log"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.log_file, text)),
        group: Group::Logging,
        help: "Log to this file",
        default: "standard error",
    },
    Flag {
        names: &["-T", "--logtime"],
        value: "",
        effect: Effect::Switch(|f, on| f.log_time = Some(on)),
        group: Group::Logging,
        help: "Time on each log line",
        default: "true",
    },
    Flag {
        names: &["--logtime_utc"],
        value: "",
        effect: Effect::Switch(|f, on| f.log_utc = Some(on)),
        group: Group::Logging,
        help: "Log times in UTC instead of local time",
        default: "",
    },
    Flag {
        names: &["-D", "--debug"],
        value: "",
        effect: Effect::Switch(|f, on| f.debug = Some(on)),
        group: Group::Logging,
        help: "Log debugging lines",
        default: "",
    },
    Flag {
        names: &["-V", "--trace"],
        value: "",
        effect: Effect::Switch(|f, on| f.trace = Some(on)),
        group: Group::Logging,
        help: "Log the protocol, line by line",
        default: "",
    },
    Flag {
        names: &["-VV"],
        value: "",
        effect: Effect::Switch(|f, on| f.trace_verbose = Some(on)),
        group: Group::Logging,
        help: "The same with the system account's",
        default: "",
    },
    Flag {
        names: &["-DV"],
        value: "",
        effect: Effect::Switch(|f, on| f.debug_trace = Some(on)),
        group: Group::Logging,
        help: "-D and -V",
        default: "",
    },
    Flag {
        names: &["-DVV"],
        value: "",
        effect: Effect::Switch(|f, on| f.debug_trace_verbose = Some(on)),
        group: Group::Logging,
        help: "-D and -VV",
        default: "",
    },
    Flag {
        names: &["--log_size_limit"],
        value: "bytes",
        effect: Effect::Number(|f, number| f.log_bytes_max = Some(number)),
        group: Group::Logging,
        help: "Rotate the log file when it grows past this",
        default: "0, never",
    },
    Flag {
        names: &["--max_traced_msg_len"],
        value: "bytes",
        effect: Effect::Number(|f, number| f.traced_bytes_max = Some(number)),
        group: Group::Logging,
        help: "Cut messages in traces to this length",
        default: "0, unlimited",
    },
    Flag {
        names: &["--user"],
        value: "user",
        effect: Effect::Text(|f, text| put(&mut f.user, text)),
        group: Group::Authorization,
        help: "User name clients must give",
        default: "",
    },
    Flag {
        names: &["--pass"],
        value: "password",
        effect: Effect::Text(|f, text| {
            f.password = Some(Secret(text.to_string()));
            Ok(())
        }),
        group: Group::Authorization,
        help: "Password clients must give",
        default: "",
    },
    Flag {
        names: &["--auth"],
        value: "token",
        effect: Effect::Text(|f, text| {
            f.token = Some(Secret(text.to_string()));
            Ok(())
        }),
        group: Group::Authorization,
        help: "Token clients must give",
        default: "",
    },
    Flag {
        names: &["--tls"],
        value: "",
        effect: Effect::Switch(|f, on| f.tls.on = Some(on)),
        group: Group::Tls,
        help: "TLS without client certificates; =false turns the file's off",
        default: "",
    },
    Flag {
        names: &["--tlscert"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.tls.certificate, text)),
        group: Group::Tls,
        help: "Server certificate",
        default: "",
    },
    Flag {
        names: &["--tlskey"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.tls.key, text)),
        group: Group::Tls,
        help: "Key of the server certificate",
        default: "",
    },
    Flag {
        names: &["--tlsverify"],
        value: "",
        effect: Effect::Switch(|f, on| f.tls.verify = Some(on)),
        group: Group::Tls,
        help: "TLS with client certificates",
        default: "",
    },
    Flag {
        names: &["--tlscacert"],
        value: "file",
        effect: Effect::Text(|f, text| put(&mut f.tls.authority, text)),
        group: Group::Tls,
        help: "Authority for client certificates",
        default: "",
    },
    Flag {
        names: &["-h", "--help"],
        value: "",
        effect: Effect::Switch(|f, on| f.help = on),
        group: Group::Common,
        help: "This page",
        default: "",
    },
    Flag {
        names: &["-v", "--version"],
        value: "",
        effect: Effect::Switch(|f, on| f.version = on),
        group: Group::Common,
        help: "Version",
        default: "",
    },
    Flag {
        names: &["--help_tls"],
        value: "",
        effect: Effect::Switch(|f, on| f.help_tls = on),
        group: Group::Common,
        help: "About TLS",
        default: "",
    },
    later_number(&["-m", "--http_port"], "port", "Monitoring over HTTP"),
    later_number(&["-ms", "--https_port"], "port", "Monitoring over HTTPS"),
    later_switch(&["-s", "--syslog"], "Log to syslog"),
    later_text(&["-r", "--remote_syslog"], "addr", "Log to a remote syslog"),
    later_switch(&["-js", "--jetstream"], "JetStream"),
    later_text(&["--routes"], "urls", "Routes to connect to"),
    later_text(
        &["--cluster", "--cluster_listen"],
        "url",
        "Address to accept routes on",
    ),
    later_text(&["--cluster_name"], "name", "Name of the cluster"),
    later_switch(&["--no_advertise"], "Keep cluster addresses from clients"),
    later_text(
        &["--cluster_advertise"],
        "url",
        "Cluster address told to other servers",
    ),
    later_number(
        &["--connect_retries"],
        "number",
        "Attempts at implicit routes",
    ),
    later_number(&["--profile"], "port", "Profiling over HTTP"),
];

const fn later_switch(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag {
        names,
        value: "",
        effect: Effect::LaterSwitch,
        group: Group::Later,
        help,
        default: "",
    }
}

const fn later_number(
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        names,
        value,
        effect: Effect::LaterNumber,
        group: Group::Later,
        help,
        default: "",
    }
}

const fn later_text(
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        names,
        value,
        effect: Effect::LaterText,
        group: Group::Later,
        help,
        default: "",
    }
}

fn put(field: &mut Option<String>, text: &str) -> Result<(), String> {
    *field = Some(text.to_string());
    Ok(())
}

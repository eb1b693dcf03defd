//! From a configuration to a running broker and back: listens, starts shards and workers, waits for the end.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::account::compiler::compile;
use crate::account::table::RoutingTable;
use crate::auth::jwt::ServerId;
use crate::auth::{self, Authenticator};
use crate::broker::interest::SHARDS_MAX;
use crate::broker::shown::TraceForm;
use crate::cli::Flags;
use crate::config::{Config, IoChoice, Spin};
use crate::proto::handshake::{COMPATIBLE_VERSION, Info};
use crate::shard::ring::probe::{self, FallbackNotice, Kind};
use crate::shard::{Snapshot, ToShard};

use super::accounts::{self, Accounts};
use super::callout::{self, Callouts};
use super::log::{FATAL, FLUSH_MAX, Logger};
use super::process::{self, PortsFile, PublicKeys, ServerKeys, UsableCores};
use super::read::Ready;
use super::reload::Reloader;
use super::shards::{self, Failure, Plan, Running};
use super::signals::{self, Event};
use super::snapshots::Snapshots;
use super::{tls, trusted, workers};

/// INFO `api_lvl`: what the oracle says without JetStream as well, and clients read as a number.
const API_LEVEL: u64 = 5;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// A `max_payload` above this is warned of at start, and not at a reload, as by the oracle.
const LARGE_PAYLOAD_BYTES: u32 = 8 * 1024 * 1024;

/// How long shards may take to close their connections when the broker stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the control thread waits for.
enum Wake {
    Signal(Event),
    ShardEnded(Result<(), String>),
    Accounts(accounts::Event),
}

/// Runs the broker until it is told to stop. The exit code is the oracle's. A reload lays the flags over the file anew.
pub fn run(flags: &Flags, ready: Ready) -> ExitCode {
    let logger = match Logger::start(&ready.config.log) {
        Ok(logger) => logger,
        Err(error) => {
            eprintln!("{}: {error}", crate::cli::PROGRAM);
            return ExitCode::FAILURE;
        }
    };
    logger.install();
    let code = match serve(flags, ready, &logger) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::error!(target: FATAL, "{problem}");
            ExitCode::FAILURE
        }
    };
    logger.flush(FLUSH_MAX);
    code
}

fn serve(flags: &Flags, ready: Ready, logger: &Logger) -> Result<(), String> {
    let config = &ready.config;
    let (wake_in, wakes) = mpsc::channel();
    signals::listen(wake_in.clone(), Wake::Signal)
        .map_err(|error| format!("cannot take signals: {error}"))?;
    let keys = ServerKeys::new();
    let public = keys.public();
    let source = ready.source.as_ref();
    let file = source.map(|source| (source.path.as_str(), source.digest.as_str()));
    for line in process::banner(config, &public.id, file) {
        log::info!("{line}");
    }
    for warning in &ready.warnings {
        log::warn!("{warning}");
    }
    if auth::has_plain_passwords(config) {
        log::warn!("Plaintext passwords detected, use nkeys or bcrypt");
    }
    if config.store_dir.is_some() {
        log::warn!("store_dir has no effect: there is no JetStream in gannet yet");
    }
    trusted::announce(config);
    if config.limits.payload_bytes_max > LARGE_PAYLOAD_BYTES {
        log::warn!(
            "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance"
        );
    }
    let open_files_max = process::raise_open_files();
    process::make_room_for_files(open_files_max, config.limits.connections_max);
    if let Some(path) = &config.pid_file {
        process::write_pid_file(path, std::process::id())?;
    }
    let (listener, address) = listen(config)?;
    let plan = plan(config, &listener)?;
    let count = plan.count;
    let (events, accounts_heard) = mpsc::channel();
    let mut accounts = Accounts::open(config, events.clone())?;
    let snapshot = snapshot(config, public, address, None, accounts.as_mut())?;
    let snapshot = Arc::new(snapshot);
    let Running {
        lines,
        jobs_in,
        jobs,
        ends,
        node,
        threads,
    } = start_shards(plan, config.shards.io, &snapshot)?;
    let callouts = Callouts::start(callout::Node {
        server: server_of(config, &snapshot.info),
        keys,
        lines: lines.clone(),
        accounts: events.clone(),
    })
    .and_then(|callouts| {
        workers::start(count, jobs, lines.clone(), &callouts, &events)?;
        Ok(callouts)
    })
    .map_err(|error| format!("cannot start workers: {error}"))?;
    if let Some(accounts) = &mut accounts {
        let info = &snapshot.info;
        let listening = accounts.listen(lines[0].clone(), &info.server_name, &info.server_id);
        listening.map_err(|error| format!("cannot listen in the system account: {error}"))?;
    }
    log::info!(
        "Listening for client connections on {}",
        process::host_port(&config.host, address.port())
    );
    tls::announce(config);
    log::info!("Server is ready");
    let mut reloader = Reloader {
        flags: flags.clone(),
        ports_file: write_ports_file(config, address),
        config: ready.config,
        snapshots: Snapshots::new(snapshot, lines.clone()),
        lines: lines.clone(),
        node,
        logger: logger.clone(),
        address,
        accounts,
        callouts,
        jobs: jobs_in,
    };
    let heard = wake_in.clone();
    std::thread::spawn(move || {
        accounts_heard
            .iter()
            .all(|event| heard.send(Wake::Accounts(event)).is_ok())
    });

    std::thread::spawn(move || {
        ends.iter()
            .all(|end| wake_in.send(Wake::ShardEnded(end)).is_ok())
    });
    let outcome = control(wakes, logger, &mut reloader);
    for line in lines.iter() {
        line.tell(ToShard::Stop);
    }
    let deadline = std::time::Instant::now() + STOP_MAX;
    while threads.iter().any(|thread| !thread.is_finished()) && std::time::Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    if let Some(Err(problem)) = reloader.ports_file.map(PortsFile::remove) {
        log::error!("{problem}");
    }
    log::info!("Server Exiting..");
    outcome
}

/// Waits on a thread that gives way to the shards: reloads and new accounts are compiled beside them. Not on the main thread,
/// whose priority is shown as that of the whole process.
fn control(wakes: Receiver<Wake>, logger: &Logger, reloader: &mut Reloader) -> Result<(), String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("control".into());
        let thread = thread.spawn_scoped(scope, move || {
            process::give_way();
            wait(&wakes, logger, reloader)
        });
        let thread = thread.map_err(|error| format!("cannot start the control thread: {error}"))?;
        thread.join().expect("the control thread does not panic")
    })
}

/// The next thing to do. What has come already is taken together: accounts are compiled once for all of it.
fn next(wakes: &Receiver<Wake>, reloader: &mut Reloader) -> Result<Wake, RecvTimeoutError> {
    let taken = match wakes.try_recv() {
        Ok(wake) if !reloader.accounts_are_due() => return Ok(wake),
        Ok(wake) => Some(wake),
        Err(_) => match reloader.accounts_pause() {
            Some(pause) => return wakes.recv_timeout(pause),
            None => None,
        },
    };
    reloader.accounts_go_on();
    taken.map_or_else(|| wakes.recv_timeout(reloader.rest()), Ok)
}

/// Waits for the order to stop, or for a shard that fails.
fn wait(wakes: &Receiver<Wake>, logger: &Logger, reloader: &mut Reloader) -> Result<(), String> {
    loop {
        let wake = match next(wakes, reloader) {
            Ok(wake) => wake,
            Err(RecvTimeoutError::Timeout) => {
                reloader.on_time();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        match wake {
            Wake::Accounts(event) => reloader.accounts_hear(event),
            Wake::Signal(event) => {
                log::info!("{}", event.trapped());
                match event {
                    Event::Interrupt | Event::Terminate => {
                        log::info!("Initiating Shutdown...");
                        return Ok(());
                    }
                    Event::ReopenLog => logger.reopen(),
                    Event::Reload => reloader.reload(),
                    Event::LameDuck => {
                        log::error!(
                            "{}",
                            event.refusal().unwrap_or("not available in gannet yet")
                        );
                    }
                }
            }
            Wake::ShardEnded(Err(problem)) => return Err(problem),
            Wake::ShardEnded(Ok(())) => return Err("a shard has ended by itself".into()),
        }
    }
}

/// Which ring, how many shards, and where they run.
fn plan(config: &Config, listener: &OwnedFd) -> Result<Plan, String> {
    let (ring, notice) = probe::choose(config.shards.io).map_err(|refusal| refusal.to_string())?;
    if let Some(notice) = notice {
        log::warn!("{notice}");
    }
    let usable =
        UsableCores::detect().map_err(|error| format!("cannot read the affinity mask: {error}"))?;
    let count = config
        .shards
        .count
        .unwrap_or_else(|| usable.shards().min(SHARDS_MAX));
    if count == 0 || count > SHARDS_MAX {
        return Err(format!(
            "--shards {count}: 1 to {SHARDS_MAX} shards are possible"
        ));
    }
    let cores = if config.shards.no_pin {
        None
    } else {
        usable.pins(count)
    };
    let seed = getrandom::u64().map_err(|error| format!("no random numbers: {error}"))?;
    // A shard that shares its core with others must not spin them off it.
    let spin = if cores.is_none() && config.shards.spin == Spin::Adaptive {
        Spin::Off
    } else {
        config.shards.spin
    };
    Ok(Plan {
        listener: listener.as_raw_fd(),
        ring,
        cores: cores.unwrap_or_default(),
        count,
        spin,
        seed,
    })
}

/// Starts the shards. The ring that was tried is small: where the kernel does not give as much to every shard, they run on
/// epoll after all.
fn start_shards(
    mut plan: Plan,
    choice: IoChoice,
    snapshot: &Arc<Snapshot>,
) -> Result<Running, String> {
    let mut started = shards::start(plan.clone(), snapshot);
    if let (Err(Failure::Uring(_, refusal)), IoChoice::Auto) = (&started, choice) {
        log::warn!("{}", FallbackNotice(refusal.0.clone()));
        plan.ring = Kind::Epoll;
        started = shards::start(plan.clone(), snapshot);
    }
    let running = started.map_err(|failure| failure.to_string())?;
    let ring = match plan.ring {
        Kind::Uring => "io_uring",
        Kind::Epoll => "epoll",
    };
    let pinned = match plan.cores.is_empty() {
        true => "not pinned",
        false => "pinned to a core each",
    };
    log::info!("{} shards on {ring}, {pinned}", plan.count);
    Ok(running)
}

/// Compiles a configuration. Accounts keep the numbers they have in the table `before`.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn snapshot(
    config: &Config,
    keys: PublicKeys,
    address: SocketAddr,
    before: Option<&RoutingTable>,
    accounts: Option<&mut Accounts>,
) -> Result<Snapshot, String> {
    let (effective, operator) = accounts.map(|accounts| accounts.effective(config)).unzip();
    let config = effective.as_ref().unwrap_or(config);
    let authenticator = Authenticator::new(config).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    let authenticator = match operator {
        Some(operator) => authenticator.with_operator(operator),
        None => authenticator,
    };
    let tls = tls::load(config).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })?;
    let table = compile(config, before).map_err(|error| error.to_string())?;
    let (host, port) = match config.client_advertise_host_port() {
        Some((host, port)) => (host, port as u16),
        None => (config.host.clone(), address.port()),
    };
    let info = Info {
        server_name: config
            .server_name
            .clone()
            .unwrap_or_else(|| keys.id.clone()),
        server_id: keys.id,
        xkey: keys.xkey,
        version: COMPATIBLE_VERSION.into(),
        proto: 1,
        go: format!("gannet {}", env!("CARGO_PKG_VERSION")),
        host,
        port,
        headers: !config.limits.no_header_support,
        auth_required: authenticator.required(),
        tls_required: config.tls.is_some() && !config.allow_non_tls,
        tls_verify: config.tls.as_ref().is_some_and(|tls| tls.verify),
        tls_available: config.tls.is_some() && config.allow_non_tls,
        max_payload: i32::try_from(config.limits.payload_bytes_max).unwrap_or(i32::MAX),
        api_lvl: API_LEVEL,
        ..Info::default()
    };
    Ok(Snapshot {
        number: 0,
        table: Arc::new(table),
        authenticator: Arc::new(authenticator),
        limits: config.limits.clone(),
        info,
        labels: Arc::new(config.labels.clone()),
        tls,
        auth_timeout_ms: config.auth_timeout_ms(),
        trace: config.log.trace,
        trace_form: TraceForm {
            bytes_max: config.log.traced_bytes_max,
            headers_only: config.log.trace_headers,
        },
    })
}

/// What callout services are told of this server.
fn server_of(config: &Config, info: &Info) -> ServerId {
    ServerId {
        name: info.server_name.clone(),
        host: config.host.clone(),
        id: info.server_id.clone(),
        version: info.version.clone(),
        tags: config.labels.tags.clone(),
        ..ServerId::default()
    }
}

fn listen(config: &Config) -> Result<(OwnedFd, SocketAddr), String> {
    let port =
        u16::try_from(config.port.max(0)).map_err(|_| format!("{} is not a port", config.port))?;
    let bind = || -> std::io::Result<(OwnedFd, SocketAddr)> {
        let found: Vec<SocketAddr> = (config.host.as_str(), port).to_socket_addrs()?.collect();
        let old = found.iter().find(|address| address.is_ipv4());
        let address = *(old.or(found.first()))
            .ok_or_else(|| std::io::Error::other("the host has no address"))?;
        let (socket, address) = socket_for(address)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let bound = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| std::io::Error::other("no address"))?;
        Ok((socket.into(), bound))
    };
    let name = process::host_port(&config.host, port);
    bind().map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AddrInUse => "bind: address already in use".into(),
            ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".into(),
            ErrorKind::PermissionDenied => "bind: permission denied".into(),
            _ => error.to_string(),
        };
        format!("Error listening on port: {name}, \"listen tcp {name}: {why}\"")
    })
}

/// A socket for an address. One for all addresses is for those of both families, as the oracle's is, where there are both.
fn socket_for(address: SocketAddr) -> std::io::Result<(Socket, SocketAddr)> {
    let stream = |domain| {
        let kind = Type::STREAM.nonblocking().cloexec();
        Socket::new(domain, kind, Some(Protocol::TCP))
    };
    if address.ip().is_unspecified()
        && let Ok(socket) = stream(Domain::IPV6)
        && socket.set_only_v6(false).is_ok()
    {
        return Ok((socket, (Ipv6Addr::UNSPECIFIED, address.port()).into()));
    }
    Ok((stream(Domain::for_address(address))?, address))
}

/// Writes the ports file, if one is asked for; what goes wrong is logged.
pub fn write_ports_file(config: &Config, address: SocketAddr) -> Option<PortsFile> {
    let dir = config.ports_file_dir.as_deref()?;
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| crate::cli::PROGRAM.into());
    let urls = process::client_urls(address, &process::interface_addresses());
    PortsFile::write(dir, &program, std::process::id(), &urls)
        .map_err(|problem| log::error!("{problem}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    #[test]
    fn all_addresses_are_those_of_both_families() {
        let config = Config {
            host: "0.0.0.0".to_owned(),
            port: -1,
            ..Config::default()
        };
        let (_listener, address) = listen(&config).expect("a free port");
        TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).expect("listens there");
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).expect("listens there");
        }
    }
}

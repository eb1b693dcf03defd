//! From a configuration to a running broker and back: listens, starts shards and workers, waits for the end.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::auth::Authenticator;
use crate::config::Config;
use crate::proto::handshake::Info;
use crate::session::Context;

use super::shards::{self, Plan, RingKind};
use super::workers;

pub fn run(config: Config) -> ExitCode {
    let authenticator = Arc::new(Authenticator::new(&config).unwrap());
    let (listener, address) = listen(&config).unwrap();
    let count = config.shards.count.unwrap_or(1);
    let info = Info {
        server_id: "NXXX".into(),
        server_name: "x".into(),
        version: "2.15.1".into(),
        proto: 1,
        go: "".into(),
        host: config.host.clone(),
        port: address.port(),
        headers: true,
        max_payload: config.limits.payload_bytes_max as i32,
        ..Info::default()
    };
    let plan = Plan {
        listener: listener.as_raw_fd(),
        ring: if config.shards.io == crate::config::IoChoice::Epoll {
            RingKind::Epoll
        } else {
            RingKind::Uring
        },
        cores: vec![],
        count,
        spin: config.shards.spin,
        seed: 0x1234567,
    };
    let limits = config.limits.clone();
    let running = shards::start(plan, &config, move || {
        Context::new(limits.clone(), authenticator.clone(), info.clone(), 2000)
    })
    .unwrap();
    workers::start(2, running.jobs, running.lines.clone()).unwrap();
    eprintln!("ready on {address}");
    let end = running.ends.recv();
    eprintln!("{end:?}");
    ExitCode::SUCCESS
}

fn listen(config: &Config) -> std::io::Result<(OwnedFd, SocketAddr)> {
    let port = config.port.max(0) as u16;
    let address = (config.host.as_str(), port)
        .to_socket_addrs()?
        .next()
        .expect("an address");
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    let bound = socket
        .local_addr()?
        .as_socket()
        .expect("an internet socket");
    Ok((socket.into(), bound))
}

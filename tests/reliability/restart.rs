//! What is left of a server that was killed: nothing that keeps another one from taking its place.

use std::net::TcpListener;

use super::client::Client;
use super::io::Io;
use super::server::Server;

/// With a ring that polls the listener itself three of four fail.
const KILLS: usize = 20;

pub fn a_killed_server_leaves_its_port(io: Io) {
    for _ in 0..KILLS {
        let server = Server::start(io);
        let mut client = Client::connect(&server);
        client.op("SUB foo 1");
        client.barrier();
        let port = server.port;
        // It is killed, and its end waited for.
        drop(server);
        TcpListener::bind(("127.0.0.1", port))
            .expect("the port is free with the end of the process");
    }
}

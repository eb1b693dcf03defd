//! What the play needs of a server, and a real one over TCP. Owns sockets; knows nothing of what is said.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::client::Client;

/// A server that clients talk to.
pub trait Server {
    /// One more client comes.
    fn connect(&mut self) -> Result<(), String>;

    /// Sends what clients have said, and lets them read until each has had so many PONGs.
    fn run(&mut self, clients: &mut [Client], pongs: usize) -> Result<(), String>;
}

/// Upper bound of every wait, only there to turn a hang into a failure.
const WAIT: Duration = Duration::from_secs(30);

/// A server behind a port of this machine.
pub struct Real {
    port: u16,
    streams: Vec<TcpStream>,
}

impl Real {
    /// The server that listens there.
    pub fn new(port: u16) -> Self {
        let streams = Vec::new();
        Real { port, streams }
    }
}

impl Server for Real {
    fn connect(&mut self) -> Result<(), String> {
        let connect = || {
            let stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(WAIT))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connect().map_err(|e: std::io::Error| e.to_string())?;
        self.streams.push(stream);
        Ok(())
    }

    fn run(&mut self, clients: &mut [Client], pongs: usize) -> Result<(), String> {
        for (client, stream) in clients.iter_mut().zip(&mut self.streams) {
            let said = std::mem::take(&mut client.out);
            stream.write_all(&said).map_err(|e| e.to_string())?;
        }
        for (at, (client, stream)) in clients.iter_mut().zip(&mut self.streams).enumerate() {
            let mut bytes = [0; 64 << 10];
            while client.pongs < pongs {
                match stream.read(&mut bytes) {
                    Ok(0) => return Err(format!("client {at} has been closed")),
                    Ok(len) => client.feed(&bytes[..len])?,
                    Err(e) => return Err(format!("client {at}: {e}")),
                }
                let said = std::mem::take(&mut client.out);
                stream.write_all(&said).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
}

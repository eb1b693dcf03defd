//! Owns a server for tests of the generator: every message to every subscription, with a fault on demand.
//! Never meant to be fast or right beyond that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::conn::Target;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Cuts the subscribers off at this message.
    CutsAt(u64),
    /// Delivers this message twice.
    RepeatsAt(u64),
}

#[derive(Default)]
struct State {
    subscribers: Vec<(String, TcpStream)>,
    published: u64,
}

/// Starts a server on the loopback, until the process ends.
pub fn start(fault: Fault) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("it is bound").to_string();
    let state = Arc::new(Mutex::new(State::default()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, state) = (stream.expect("a connection"), Arc::clone(&state));
            // The client may go away at any time; that ends the thread and nothing else.
            std::thread::spawn(move || serve(stream, &state, fault).ok());
        }
    });
    Target {
        server,
        ..Target::default()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, fault: Fault) -> std::io::Result<()> {
    stream.write_all(b"INFO {\"server_id\":\"fake\"}\r\n")?;
    let mut input = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut state = state.lock().expect("no thread panics with it");
        match words.as_slice() {
            ["PING"] => stream.write_all(b"PONG\r\n")?,
            ["SUB", .., sid] => state
                .subscribers
                .push(((*sid).to_owned(), stream.try_clone()?)),
            ["PUB", subject, size] => {
                let mut payload = vec![0; size.parse::<usize>().expect("a size") + 2];
                input.read_exact(&mut payload)?;
                state.publish(subject, &payload, fault)?;
            }
            _ => {}
        }
        line.clear();
    }
    Ok(())
}

impl State {
    fn publish(&mut self, subject: &str, payload: &[u8], fault: Fault) -> std::io::Result<()> {
        self.published += 1;
        let times = if fault == Fault::RepeatsAt(self.published) {
            2
        } else {
            1
        };
        for (sid, stream) in &mut self.subscribers {
            if fault == Fault::CutsAt(self.published) {
                stream.shutdown(Shutdown::Both)?;
            }
            let mut bytes = format!("MSG {subject} {sid} {}\r\n", payload.len() - 2).into_bytes();
            bytes.extend_from_slice(payload);
            stream.write_all(&bytes.repeat(times))?;
        }
        Ok(())
    }
}

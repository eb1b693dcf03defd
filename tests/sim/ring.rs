//! The simulated ring: a shard's access to the simulated network, with chance where the kernel has its freedom:
//! how much is received or sent at once, when an operation ends, how many events a turn brings.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::rc::Rc;

use gannet::broker::outbox::Chunk;
use gannet::shard::ring::{BufferId, Event, ReceiveEnd, Ring, Token, Wait};

use super::net::{Net, SocketId};
use super::rng::Rng;

/// Size of a receive buffer: small, so that much comes in pieces.
const BUFFER_BYTES: usize = 4 * 1024;

/// How a ring takes its chances.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    /// An operation that could go on does so in this turn, in a thousand.
    pub progress: usize,
    /// A send or receive takes only a part of what it could, in a thousand.
    pub partial: usize,
    /// A turn brings only some of the events that are there, in a thousand.
    pub reap_some: usize,
    /// A send breaks its connection, in a thousand.
    pub broken_send: usize,
}

struct Receiving {
    socket: SocketId,
    stopping: bool,
}

struct Sending {
    socket: SocketId,
    chunk: Chunk,
}

/// One shard's simulated ring.
pub struct SimRing {
    index: usize,
    net: Rc<RefCell<Net>>,
    rng: Rng,
    /// The chances it takes now.
    pub chances: Chances,
    accepting: bool,
    receives: BTreeMap<u64, Receiving>,
    sends: BTreeMap<u64, Sending>,
    closes: Vec<(Token, RawFd)>,
    wakes: Vec<usize>,
    buffers: Vec<Box<[u8]>>,
    free: Vec<u32>,
    ready: VecDeque<Event>,
    sleeps: bool,
}

impl SimRing {
    /// The ring of shard `index`, with a few buffers.
    pub fn new(
        index: usize,
        net: Rc<RefCell<Net>>,
        rng: Rng,
        chances: Chances,
        buffers: u32,
    ) -> Self {
        SimRing {
            index,
            net,
            rng,
            chances,
            accepting: false,
            receives: BTreeMap::new(),
            sends: BTreeMap::new(),
            closes: Vec::new(),
            wakes: Vec::new(),
            buffers: (0..buffers)
                .map(|_| vec![0; BUFFER_BYTES].into_boxed_slice())
                .collect(),
            free: (0..buffers).rev().collect(),
            ready: VecDeque::new(),
            sleeps: false,
        }
    }

    /// Whether the last turn was to wait and nothing came: the kernel has not come back from it.
    pub fn sleeps(&self) -> bool {
        self.sleeps
    }

    /// Whether a shard that sleeps in this ring would come back now.
    pub fn has_cause_to_return(&self) -> bool {
        let mut net = self.net.borrow_mut();
        let incoming = |receiving: &Receiving| {
            let socket = net.socket(receiving.socket);
            let bytes = !socket.to_broker.is_empty() && !self.free.is_empty();
            bytes || receiving.stopping || socket.reset || socket.shut
        };
        if !self.ready.is_empty() || self.receives.values().any(incoming) {
            return true;
        }
        let outgoing = |s: &Sending| net.room_to_client(s.socket) > 0 || net.socket(s.socket).reset;
        self.sends.values().any(outgoing)
            || net.woken[self.index]
            || self.accepting && !net.backlog.is_empty()
    }

    /// Whether nothing of the shard is left here: no operation, no lent buffer, no event.
    pub fn is_unused(&self) -> bool {
        self.receives.is_empty()
            && self.sends.is_empty()
            && self.closes.is_empty()
            && self.ready.is_empty()
            && self.free.len() == self.buffers.len()
    }

    fn go_on(&mut self) {
        let net = self.net.clone();
        let mut net = net.borrow_mut();
        if self.accepting
            && self.rng.chance(self.chances.progress)
            && let Some((fd, peer)) = net.backlog.pop_front()
        {
            self.ready.push_back(Event::Accepted {
                listener: 0,
                fd,
                peer,
            });
        }
        // Either kind first: events of one connection keep no order between the two.
        if self.rng.chance(500) {
            self.receive_some(&mut net);
            self.send_some(&mut net);
        } else {
            self.send_some(&mut net);
            self.receive_some(&mut net);
        }
    }

    fn receive_some(&mut self, net: &mut Net) {
        let tokens: Vec<u64> = self.receives.keys().copied().collect();
        for token in tokens {
            if self.rng.chance(self.chances.progress) {
                self.receive_one(net, token);
            }
        }
    }

    fn receive_one(&mut self, net: &mut Net, token: u64) {
        let Receiving { socket, stopping } = self.receives[&token];
        let socket = net.socket(socket);
        let end = if socket.reset {
            ReceiveEnd::Failed(io::ErrorKind::ConnectionReset.into())
        } else if stopping && self.rng.chance(500) {
            ReceiveEnd::Stopped
        } else if !socket.to_broker.is_empty() {
            let Some(buffer) = self.free.pop() else {
                return;
            };
            let most = socket.to_broker.len().min(BUFFER_BYTES);
            let len = part(&mut self.rng, self.chances.partial, most);
            let place = &mut self.buffers[buffer as usize];
            for (to, byte) in place.iter_mut().zip(socket.to_broker.drain(..len)) {
                *to = byte;
            }
            self.ready.push_back(Event::Received {
                conn: Token(token),
                buffer: BufferId(buffer),
                len,
            });
            return;
        } else if socket.shut {
            ReceiveEnd::Eof
        } else if stopping {
            ReceiveEnd::Stopped
        } else {
            return;
        };
        self.receives.remove(&token);
        let conn = Token(token);
        self.ready.push_back(Event::ReceiveEnded { conn, end });
    }

    fn send_some(&mut self, net: &mut Net) {
        let tokens: Vec<u64> = self.sends.keys().copied().collect();
        for token in tokens {
            if self.rng.chance(self.chances.progress) {
                self.send_one(net, token);
            }
        }
    }

    fn send_one(&mut self, net: &mut Net, token: u64) {
        let socket = self.sends[&token].socket;
        if !net.socket(socket).reset && self.rng.chance(self.chances.broken_send) {
            net.break_off(socket);
        }
        let room = net.room_to_client(socket);
        let reset = net.socket(socket).reset;
        if !reset && room == 0 {
            return;
        }
        let Sending { chunk, .. } = self.sends.remove(&token).expect("seen above");
        let result = if reset {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            let most = chunk.unsent().len().min(room);
            let taken = part(&mut self.rng, self.chances.partial, most);
            net.socket(socket)
                .to_client
                .extend(&chunk.unsent()[..taken]);
            Ok(taken)
        };
        self.ready.push_back(Event::Sent {
            conn: Token(token),
            chunk,
            result,
        });
    }

    /// What is in flight on a closed descriptor ends too: a send may still have got something through.
    fn close_queued(&mut self, net: &mut Net) {
        for (Token(token), fd) in std::mem::take(&mut self.closes) {
            if self.sends.contains_key(&token) && self.rng.chance(500) {
                self.send_one(net, token);
            }
            if let Some(Sending { chunk, .. }) = self.sends.remove(&token) {
                self.ready.push_back(Event::Sent {
                    conn: Token(token),
                    chunk,
                    result: Err(io::ErrorKind::BrokenPipe.into()),
                });
            }
            if self.receives.remove(&token).is_some() {
                self.ready.push_back(Event::ReceiveEnded {
                    conn: Token(token),
                    end: ReceiveEnd::Eof,
                });
            }
            net.close(fd);
        }
    }
}

impl Ring for SimRing {
    fn accept(&mut self, _: RawFd) {
        self.accepting = true;
    }

    fn accept_stop(&mut self, _: RawFd) {
        self.accepting = false;
    }

    fn receive(&mut self, conn: Token, fd: RawFd) {
        let receiving = Receiving {
            socket: self.net.borrow().of_fd(fd),
            stopping: false,
        };
        let before = self.receives.insert(conn.0, receiving);
        assert!(before.is_none(), "receives twice at once");
    }

    fn receive_stop(&mut self, conn: Token, _: RawFd) {
        if let Some(receiving) = self.receives.get_mut(&conn.0) {
            receiving.stopping = true;
        }
    }

    fn send(&mut self, conn: Token, fd: RawFd, chunk: Chunk) {
        assert!(!chunk.unsent().is_empty(), "sends nothing");
        let socket = self.net.borrow().of_fd(fd);
        let before = self.sends.insert(conn.0, Sending { socket, chunk });
        assert!(before.is_none(), "sends twice at once");
    }

    fn send_now(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> usize {
        let mut net = self.net.borrow_mut();
        let socket = net.of_fd(fd);
        let room = if net.socket(socket).reset {
            0
        } else {
            net.room_to_client(socket)
        };
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let most = bytes.len().min(room);
        let taken = match most {
            0 => 0,
            most => part(&mut self.rng, self.chances.partial, most),
        };
        net.socket(socket).to_client.extend(&bytes[..taken]);
        taken
    }

    fn close(&mut self, conn: Token, fd: RawFd) {
        let mut net = self.net.borrow_mut();
        let socket = net.of_fd(fd);
        net.ended.push(socket);
        self.closes.push((conn, fd));
    }

    fn wake(&mut self, peer: usize) {
        self.wakes.push(peer);
    }

    fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        let before = events.len();
        self.submit()?;
        self.go_on();
        let all = self.ready.len();
        let some = all > 1 && self.rng.chance(self.chances.reap_some);
        let count = if some { self.rng.range(1, all) } else { all };
        events.extend(self.ready.drain(..count));
        if std::mem::take(&mut self.net.borrow_mut().woken[self.index]) {
            events.push(Event::Woken);
        }
        self.sleeps = wait != Wait::No && events.len() == before;
        Ok(())
    }

    fn submit(&mut self) -> io::Result<()> {
        let net = self.net.clone();
        let mut net = net.borrow_mut();
        for peer in self.wakes.drain(..) {
            net.woken[peer] = true;
        }
        self.close_queued(&mut net);
        // Where there is room the kernel often takes a send at once.
        if self.rng.chance(500) {
            self.send_some(&mut net);
        }
        Ok(())
    }

    fn buffer(&self, id: &BufferId) -> &[u8] {
        &self.buffers[id.0 as usize]
    }

    fn recycle(&mut self, id: BufferId) {
        assert!(!self.free.contains(&id.0), "recycled twice");
        self.free.push(id.0);
    }
}

/// All of `most`, or by chance a part, often a small one.
fn part(rng: &mut Rng, per_mille: usize, most: usize) -> usize {
    if !rng.chance(per_mille) {
        return most;
    }
    let bound = if rng.chance(300) { most.min(8) } else { most };
    rng.range(1, bound)
}

//! The handshake of a connection, step by step, made by rustls. Owns the connection until it is done.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use super::certificate::PeerCertificate;
use super::{Acceptor, Codec, Fault, HEADER_BYTES, RECORD_BYTES_MAX, Said};

/// A handshake that has begun. Every step may cost a signature and the verification of others: not for shards.
///
/// Invariant: rustls is asked for nothing more once it has failed, but for what it has to say.
pub struct Handshake {
    acceptor: Arc<Acceptor>,
    connection: UnbufferedServerConnection,
    /// What has come of a record that is not whole.
    rest: Vec<u8>,
    said: Said,
    ended: bool,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("rest", &self.rest.len())
            .field("said", &self.said)
            .finish_non_exhaustive()
    }
}

/// What a step of a handshake came to. In each case there may be something that must be sent.
#[derive(Debug)]
pub enum Step {
    /// It goes on with more bytes.
    More(Box<Handshake>),
    /// It is done.
    Done(Box<Secured>),
    /// It has failed; its alert is left.
    Failed(Said, Fault),
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secured {
    /// Opens and seals from now on.
    pub codec: Box<Codec>,
    /// Who the client is, if it was asked.
    pub certificate: Option<PeerCertificate>,
    /// What it said already.
    pub plain: Vec<u8>,
}

impl Handshake {
    /// Nothing has come yet.
    ///
    /// # Errors
    /// A configuration that rustls does not take.
    pub fn new(acceptor: &Arc<Acceptor>) -> Result<Handshake, Fault> {
        Ok(Handshake {
            acceptor: Arc::clone(acceptor),
            connection: UnbufferedServerConnection::new(acceptor.config())?,
            rest: Vec::new(),
            said: Said::default(),
            ended: false,
        })
    }

    /// What must be sent before it can go on.
    pub fn said(&mut self) -> &mut Said {
        &mut self.said
    }

    /// Whether these bytes end a record, so that there is something to do.
    pub fn has_record(&self, bytes: &[u8]) -> bool {
        let mut all = self
            .rest
            .iter()
            .chain(bytes)
            .skip(HEADER_BYTES - 2)
            .map(|byte| usize::from(*byte));
        let (Some(high), Some(low)) = (all.next(), all.next()) else {
            return false;
        };
        let needed = high << 8 | low;
        // One that is too long will be refused, whole or not.
        needed > RECORD_BYTES_MAX + 256 || all.count() >= needed
    }

    /// Goes on with these bytes.
    pub fn step(mut self: Box<Self>, bytes: &[u8]) -> Step {
        let mut plain = Vec::new();
        match self.take(bytes, &mut plain) {
            Err(fault) => Step::Failed(self.said, fault),
            Ok(()) if self.connection.is_handshaking() => Step::More(self),
            Ok(()) => self.finish(plain),
        }
    }

    fn take(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Fault> {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut self.rest[at..]);
            let mut last = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        plain.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.said),
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(_) => last = true,
                Err(error) => {
                    self.say_last();
                    return Err(error.into());
                }
            }
            at += discard;
            if last {
                break;
            }
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Takes what rustls has to say of a fault.
    fn say_last(&mut self) {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            match status.state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.said),
                _ => break,
            }
        }
    }

    fn finish(self, plain: Vec<u8>) -> Step {
        let shown = self.connection.peer_certificates();
        let leaf = shown.and_then(<[_]>::first);
        let certificate = match leaf.map(|leaf| PeerCertificate::parse(leaf)) {
            None => None,
            Some(Some(certificate)) => Some(certificate),
            Some(None) => return Step::Failed(self.said, Fault::Unreadable),
        };
        if let Err(fault) = self.acceptor.admits(certificate.as_ref()) {
            return Step::Failed(self.said, fault);
        }
        match Codec::new(self.connection, self.rest, self.said, self.ended) {
            Err(fault) => Step::Failed(Said::default(), fault),
            Ok(codec) => Step::Done(Box::new(Secured {
                codec: Box::new(codec),
                certificate,
                plain,
            })),
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, said: &mut Said) {
    let mut record = vec![0; RECORD_BYTES_MAX];
    loop {
        match data.encode(&mut record) {
            Ok(len) => return said.add(&record[..len]),
            Err(EncodeError::InsufficientSize(needed)) => record.resize(needed.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => unreachable!("encoded once"),
        }
    }
}

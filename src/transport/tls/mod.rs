//! TLS over rustls: [`Handshake`] is for threads that may take their time, [`Codec`] opens and seals records afterwards.
//! Neither touches a socket; memory for records belongs to the caller and is used again.

pub mod acceptor;
pub mod certificate;
#[cfg(test)]
#[path = "../../../tests/differential/pki.rs"]
mod pki;
pub mod shown;
#[cfg(test)]
mod tests;
mod verifier;

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CipherSuite, ProtocolVersion};

pub use acceptor::Acceptor;
use certificate::PeerCertificate;
pub use shown::Shown;

/// The first byte of whatever a TLS client says first: a handshake record.
pub const HANDSHAKE: u8 = 0x16;

/// Plain text in one record at most.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// What a record is longer than its plain text, at most: that of AES-GCM in TLS 1.2.
const RECORD_OVERHEAD_MAX: usize = 29;

/// Room for what rustls may say of itself between two records: a key update.
const EXTRA_BYTES: usize = 64;

/// Memory kept for the beginning of a record by a connection at rest.
const KEEP_BYTES: usize = 2 * 1024;

/// Room that is enough to seal so many bytes.
pub const fn sealed_bytes_max(plain_bytes: usize) -> usize {
    plain_bytes + plain_bytes.div_ceil(RECORD_BYTES_MAX) * RECORD_OVERHEAD_MAX + EXTRA_BYTES
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The peer's fault, or nothing in common with it.
    Tls(rustls::Error),
    /// What came first is not TLS.
    NotTls,
    /// The client's certificate is not among `pinned_certs`, or it has none.
    NotPinned,
    /// The client's certificate was good when its session began and is not any more.
    Expired,
    /// The client's certificate cannot be read although it could be verified.
    Unreadable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls(rustls::Error::NoCertificatesPresented) => {
                f.write_str("client didn't provide a certificate")
            }
            Fault::Tls(error) => error.fmt(f),
            Fault::NotTls => f.write_str("first record does not look like a TLS handshake"),
            Fault::NotPinned => f.write_str("certificate not pinned"),
            Fault::Expired => f.write_str("certificate has expired since its session began"),
            Fault::Unreadable => f.write_str("certificate cannot be read"),
        }
    }
}

impl From<rustls::Error> for Fault {
    fn from(error: rustls::Error) -> Self {
        Fault::Tls(error)
    }
}

/// A handshake that has begun. Every step may cost a signature and the verification of others: not for shards.
#[derive(Debug)]
pub struct Handshake {
    acceptor: Arc<Acceptor>,
    codec: Box<Codec>,
}

/// What a step of a handshake came to. In each case the codec's [`Codec::take_ready`] has what must be sent.
#[derive(Debug)]
pub enum Step {
    /// It goes on with more bytes.
    More(Box<Handshake>),
    /// It is done.
    Done(Box<Secured>),
    /// It has failed; what is left of the codec is its alert.
    Failed(Box<Codec>, Fault),
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
            codec: Box::new(Codec::new(acceptor)?),
        })
    }

    /// What must be sent before it can go on.
    pub fn codec(&mut self) -> &mut Codec {
        &mut self.codec
    }

    /// Whether these bytes end a record, so that there is something to do.
    pub fn has_record(&self, bytes: &[u8]) -> bool {
        let mut all = self
            .codec
            .rest
            .iter()
            .chain(bytes)
            .skip(3)
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
        let mut scratch = Scratch::default();
        match self.codec.open(bytes, &mut scratch) {
            Err(fault) => Step::Failed(self.codec, fault),
            Ok(_) if self.codec.connection.is_handshaking() => Step::More(self),
            Ok(_) => self.finish(scratch.plain),
        }
    }

    fn finish(self, plain: Vec<u8>) -> Step {
        let shown = self.codec.connection.peer_certificates();
        let leaf = shown.and_then(<[_]>::first);
        let certificate = match leaf.map(|leaf| PeerCertificate::parse(leaf)) {
            None => None,
            Some(Some(certificate)) => Some(certificate),
            Some(None) => return Step::Failed(self.codec, Fault::Unreadable),
        };
        match self.acceptor.admits(certificate.as_ref()) {
            Err(fault) => Step::Failed(self.codec, fault),
            Ok(()) => Step::Done(Box::new(Secured {
                codec: self.codec,
                certificate,
                plain,
            })),
        }
    }
}

/// Memory for records in work, shared by all connections of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    records: Vec<u8>,
    /// What was opened last.
    pub plain: Vec<u8>,
}

/// One connection's keys and the pieces of records it waits with.
///
/// Invariants: rustls is asked for nothing more once it has failed, but for what it has to say; `rest` holds no whole record; `ready` was encrypted before anything that is sealed later.
pub struct Codec {
    connection: UnbufferedServerConnection,
    /// What has come of a record that is not whole.
    rest: Vec<u8>,
    /// What rustls has to say of itself: handshakes, alerts, tickets, key updates.
    ready: Vec<u8>,
    ended: bool,
    failed: Option<Fault>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("rest", &self.rest.len())
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

impl Codec {
    fn new(acceptor: &Acceptor) -> Result<Codec, Fault> {
        Ok(Codec {
            connection: UnbufferedServerConnection::new(acceptor.config())?,
            rest: Vec::new(),
            ready: Vec::new(),
            ended: false,
            failed: None,
        })
    }

    /// Opens what has come: its plain text is in `scratch.plain`. Returns whether the peer has said that it says no more.
    ///
    /// # Errors
    /// Records that are none, or that the peer's key did not make. Then only its alert is left to be sent.
    pub fn open(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Result<bool, Fault> {
        let Scratch { records, plain } = scratch;
        plain.clear();
        records.clear();
        records.extend_from_slice(&self.rest);
        records.extend_from_slice(bytes);
        self.rest.clear();
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        let mut at = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut records[at..]);
            let mut last = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        plain.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.ready),
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(_) => last = true,
                Err(error) => return Err(self.fail(error.into())),
            }
            at += discard;
            if last {
                break;
            }
        }
        if at < records.len() && !self.ended {
            self.rest.extend_from_slice(&records[at..]);
        } else if self.rest.capacity() > KEEP_BYTES {
            self.rest = Vec::new();
        }
        Ok(self.ended)
    }

    /// Nothing more can be opened or sealed; what rustls has to say of it is ready.
    fn fail(&mut self, fault: Fault) -> Fault {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            match status.state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.ready),
                _ => break,
            }
        }
        self.failed = Some(fault.clone());
        fault
    }

    /// Seals this plain text into `out`, which is at least [`sealed_bytes_max`] long, and returns how many bytes it took.
    /// What [`Codec::take_ready`] has goes before it.
    ///
    /// # Errors
    /// The keys are worn out: no more can be sent.
    pub fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        debug_assert!(out.len() >= sealed_bytes_max(plain.len()));
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        loop {
            // What has come of a record must be shown, although there is nothing new in it.
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.rest);
            debug_assert_eq!(discard, 0, "`rest` holds no whole record");
            match state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return traffic.encrypt(plain, out).map_err(|_| worn_out());
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.ready),
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Err(worn_out()),
            }
        }
    }

    /// Says that nothing more will be sealed: an alert in [`Codec::take_ready`].
    pub fn close(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let state = self.connection.process_tls_records(&mut self.rest).state;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let mut alert = [0; EXTRA_BYTES];
            if let Ok(len) = traffic.queue_close_notify(&mut alert) {
                self.ready.extend_from_slice(&alert[..len]);
            }
        }
    }

    /// Whether the peer has said that it says no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether there is something that must be sent before anything is sealed.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Moves what must be sent into `out`, as far as it fits, and returns how much that is.
    pub fn take_ready(&mut self, out: &mut [u8]) -> usize {
        let len = self.ready.len().min(out.len());
        out[..len].copy_from_slice(&self.ready[..len]);
        self.ready.drain(..len);
        if self.ready.is_empty() {
            self.ready = Vec::new();
        }
        len
    }

    /// What the handshake with this acceptor came to, for a service that decides about the client.
    pub fn shown(&self, acceptor: &Arc<Acceptor>) -> Shown {
        let presented = self.connection.peer_certificates();
        Shown::new(self.agreed(), presented.unwrap_or_default(), acceptor)
    }

    /// Version and cipher suite.
    pub fn agreed(&self) -> (&'static str, &'static str) {
        let version = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "unknown",
        };
        let suite = self.connection.negotiated_cipher_suite();
        (
            version,
            suite.map_or("unknown", |suite| suite_name(suite.suite())),
        )
    }
}

/// Names of suites as they are registered: rustls spells those of TLS 1.3 in its own way.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, ready: &mut Vec<u8>) {
    let at = ready.len();
    let mut room = RECORD_BYTES_MAX;
    loop {
        ready.resize(at + room, 0);
        match data.encode(&mut ready[at..]) {
            Ok(len) => {
                ready.truncate(at + len);
                return;
            }
            Err(EncodeError::InsufficientSize(needed)) => room = needed.required_size,
            Err(EncodeError::AlreadyEncoded) => unreachable!("encoded once"),
        }
    }
}

fn worn_out() -> Fault {
    Fault::Tls(rustls::Error::EncryptError)
}

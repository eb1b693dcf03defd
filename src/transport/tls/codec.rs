//! A connection whose handshake is done: opens what comes and seals what goes. rustls has given the keys away, for it takes
//! memory of its own for each record and copies the text once more than need be (measured: `cargo bench --bench records`); new keys are
//! still made by it. Owns the pieces of records that are not whole, and what a server must know of TLS behind the
//! handshake: alerts, new keys, and when keys are worn out.

use std::fmt;
use std::sync::Arc;

use rustls::kernel::KernelConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved,
    ProtocolVersion, SupportedCipherSuite,
};

use super::records::{Keys, Refusal, too_long, unexpected};
use super::{
    Acceptor, EXTRA_BYTES, Fault, HEADER_BYTES, RECORD_BYTES_MAX, Said, Shown, sealed_bytes_max,
    suite_name,
};

/// Memory kept for the beginning of a record by a connection at rest.
const KEEP_BYTES: usize = 2 * 1024;

/// The longest record that is taken, without its header.
const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX + 256;

/// Memories for pieces of records that a thread keeps.
const SPARES_MAX: usize = 16;

/// Records in a row that may bring nothing.
const IDLE_MAX: u8 = 32;

/// A server that makes new keys says so in these bytes, and asks for none in return.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// Memory for records in work, shared by all connections of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Behind `len` there is nothing of worth.
    bytes: Vec<u8>,
    len: usize,
    spares: Vec<Vec<u8>>,
}

impl Scratch {
    /// What was opened last.
    pub fn plain(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Room behind what is there.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let needed = self.len + bytes;
        if self.bytes.len() < needed {
            self.bytes.resize(needed.next_power_of_two(), 0);
        }
        &mut self.bytes[self.len..]
    }

    fn lend(&mut self) -> Vec<u8> {
        let spare = self.spares.pop();
        spare.unwrap_or_else(|| Vec::with_capacity(HEADER_BYTES + BODY_BYTES_MAX))
    }

    fn give_back(&mut self, mut memory: Vec<u8>) {
        if self.spares.len() < SPARES_MAX {
            memory.clear();
            self.spares.push(memory);
        }
    }
}

/// One connection's keys and the piece of a record it waits with.
///
/// Invariants: nothing is opened once it has failed or ended; `rest` holds no whole record; `said` was encrypted before
/// anything that is sealed later.
pub struct Codec {
    opening: Keys,
    sealing: Keys,
    /// Makes new keys.
    kernel: KernelConnection<ServerConnectionData>,
    /// Records that a key is good for.
    records_max: u64,
    /// The peer has asked for new keys.
    renews: bool,
    /// Records in a row that brought nothing.
    idle: u8,
    /// What has come of a record that is not whole.
    rest: Vec<u8>,
    said: Said,
    ended: bool,
    failed: Option<Fault>,
    presented: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("rest", &self.rest.len())
            .field("said", &self.said)
            .finish_non_exhaustive()
    }
}

impl Codec {
    /// Takes over from rustls, whose handshake is done: with what has come of the next record, what is not sent yet,
    /// and whether the peer says no more.
    ///
    /// # Errors
    /// rustls does not give the keys away, or is in the middle of something.
    pub(super) fn new(
        connection: UnbufferedServerConnection,
        rest: Vec<u8>,
        said: Said,
        ended: bool,
    ) -> Result<Codec, Fault> {
        // A message behind the handshake that is cut into records: rustls has opened the first of them in place.
        if !ended && wanted(&rest).is_ok_and(|wanted| wanted <= rest.len()) {
            return Err(Fault::Tls(unexpected(ContentType::Handshake).1));
        }
        let presented = connection.peer_certificates().unwrap_or_default();
        let presented = presented.iter().map(|der| der.clone().into_owned());
        let presented = presented.collect();
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let is_13 = kernel.protocol_version() == ProtocolVersion::TLSv1_3;
        let limit = match kernel.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        };
        Ok(Codec {
            opening: Keys::new(is_13, secrets.rx)?,
            sealing: Keys::new(is_13, secrets.tx)?,
            kernel,
            // Far below, numbers could end.
            records_max: limit.min(1 << 60),
            renews: false,
            idle: 0,
            rest,
            said,
            ended,
            failed: None,
            presented,
        })
    }

    fn is_13(&self) -> bool {
        self.kernel.protocol_version() == ProtocolVersion::TLSv1_3
    }

    /// Opens what has come: its plain text is in `scratch`. Returns whether the peer has said that it says no more.
    ///
    /// # Errors
    /// Records that are none, or that the peer's key did not make. Then only the alert is left to be sent.
    pub fn open(&mut self, mut bytes: &[u8], scratch: &mut Scratch) -> Result<bool, Fault> {
        scratch.len = 0;
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        while !bytes.is_empty() && !self.ended {
            self.open_next(&mut bytes, scratch)
                .map_err(|refusal| self.refuse(refusal))?;
        }
        Ok(self.ended)
    }

    /// Opens the next record, or keeps what there is of it.
    fn open_next(&mut self, bytes: &mut &[u8], scratch: &mut Scratch) -> Result<(), Refusal> {
        let needed = match self.rest.is_empty() {
            true => wanted(bytes)?,
            false => wanted(&self.rest)?,
        };
        if self.rest.is_empty() && needed > HEADER_BYTES && needed <= bytes.len() {
            let (record, behind) = bytes.split_at(needed);
            *bytes = behind;
            return self.take(record, scratch);
        }
        if needed > KEEP_BYTES && self.rest.capacity() < needed {
            let mut memory = scratch.lend();
            memory.extend_from_slice(&self.rest);
            self.rest = memory;
        }
        let (piece, behind) = bytes.split_at((needed - self.rest.len()).min(bytes.len()));
        *bytes = behind;
        self.rest.extend_from_slice(piece);
        if needed == HEADER_BYTES || self.rest.len() < needed {
            return Ok(());
        }
        let mut record = std::mem::take(&mut self.rest);
        let taken = self.take(&record, scratch);
        if record.capacity() > KEEP_BYTES {
            scratch.give_back(record);
        } else {
            record.clear();
            self.rest = record;
        }
        taken
    }

    /// Takes a whole record.
    fn take(&mut self, record: &[u8], scratch: &mut Scratch) -> Result<(), Refusal> {
        let room = scratch.room(record.len());
        let (kind, len) = self.opening.open(record, room)?;
        if kind == ContentType::ApplicationData && len > 0 {
            self.idle = 0;
            scratch.len += len;
            return Ok(());
        }
        self.take_rare(kind, &room[..len])
    }

    /// Takes a record that brings no text.
    #[cold]
    fn take_rare(&mut self, kind: ContentType, text: &[u8]) -> Result<(), Refusal> {
        self.idle += 1;
        if self.idle > IDLE_MAX {
            let error = PeerMisbehaved::TooManyEmptyFragments;
            return Err(Refusal(
                Some(AlertDescription::UnexpectedMessage),
                error.into(),
            ));
        }
        match kind {
            ContentType::ApplicationData => Ok(()),
            ContentType::Alert => self.take_alert(text),
            ContentType::Handshake if self.is_13() => self.take_handshake(text),
            kind => Err(unexpected(kind)),
        }
    }

    fn take_alert(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let [level, number] = *text else {
            let error = InvalidMessage::MissingData("AlertMessagePayload");
            return Err(Refusal(Some(AlertDescription::DecodeError), error.into()));
        };
        let alert = AlertDescription::from(number);
        let error = Error::AlertReceived(alert);
        match level {
            WARNING | FATAL if alert == AlertDescription::CloseNotify => self.ended = true,
            WARNING if !self.is_13() || alert == AlertDescription::UserCanceled => {}
            WARNING => return Err(Refusal(Some(AlertDescription::DecodeError), error)),
            FATAL => return Err(Refusal(None, error)),
            _ => return Err(Refusal(Some(AlertDescription::IllegalParameter), error)),
        }
        Ok(())
    }

    /// The peer has made new keys: nothing else may come. It must be a record of its own, for the next has those keys.
    fn take_handshake(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let asks = match *text {
            [24, 0, 0, 1, asks @ 0..=1] => asks == 1,
            _ => {
                let error = Error::InappropriateHandshakeMessage {
                    expect_types: vec![HandshakeType::KeyUpdate],
                    got_type: HandshakeType::from(text.first().copied().unwrap_or_default()),
                };
                return Err(Refusal(Some(AlertDescription::UnexpectedMessage), error));
            }
        };
        let secrets = self.kernel.update_rx_secret();
        let keys = secrets.and_then(|secrets| Keys::new(true, secrets));
        self.opening = keys.map_err(|error| Refusal(None, error))?;
        self.renews |= asks;
        Ok(())
    }

    /// Nothing more can be opened or sealed; what there is to say of it is said.
    #[cold]
    fn refuse(&mut self, Refusal(alert, error): Refusal) -> Fault {
        if let Some(alert) = alert {
            self.say(FATAL, alert);
        }
        let fault = Fault::Tls(error);
        self.failed = Some(fault.clone());
        fault
    }

    fn say(&mut self, level: u8, alert: AlertDescription) {
        let mut record = [0; EXTRA_BYTES];
        let text = [level, u8::from(alert)];
        if let Ok(len) = self.sealing.seal(ContentType::Alert, &text, &mut record) {
            self.said.add(&record[..len]);
        }
    }

    /// Seals this plain text into `out`, which is at least [`sealed_bytes_max`] long, and returns how many bytes it took.
    /// What [`Codec::said`] has goes before it.
    ///
    /// # Errors
    /// The keys are worn out: no more can be sent.
    pub fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        debug_assert!(out.len() >= sealed_bytes_max(plain.len()));
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        let records = plain.len().div_ceil(RECORD_BYTES_MAX) as u64;
        let mut at = 0;
        if self.renews || self.sealing.number() + records >= self.records_max {
            at = self.renew(out)?;
        }
        for piece in plain.chunks(RECORD_BYTES_MAX) {
            at += self
                .sealing
                .seal(ContentType::ApplicationData, piece, &mut out[at..])?;
        }
        Ok(at)
    }

    /// Makes new keys, and says so under the old ones.
    #[cold]
    fn renew(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        if !self.is_13() {
            return Err(Fault::Tls(Error::EncryptError));
        }
        let len = self
            .sealing
            .seal(ContentType::Handshake, &KEY_UPDATE, out)?;
        self.sealing = Keys::new(true, self.kernel.update_tx_secret()?)?;
        self.renews = false;
        Ok(len)
    }

    /// Says that nothing more will be sealed: an alert in [`Codec::said`].
    pub fn close(&mut self) {
        if self.failed.is_none() {
            self.say(WARNING, AlertDescription::CloseNotify);
        }
    }

    /// Whether the peer has said that it says no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What must be sent before anything is sealed.
    pub fn said(&mut self) -> &mut Said {
        &mut self.said
    }

    /// That is all there is left.
    pub fn into_said(self) -> Said {
        self.said
    }

    /// What the handshake with this acceptor came to, for a service that decides about the client.
    pub fn shown(&self, acceptor: &Arc<Acceptor>) -> Shown {
        Shown::new(self.agreed(), &self.presented, acceptor)
    }

    /// Version and cipher suite.
    pub fn agreed(&self) -> (&'static str, &'static str) {
        let version = if self.is_13() { "1.3" } else { "1.2" };
        let suite = self.kernel.negotiated_cipher_suite().suite();
        (version, suite_name(suite))
    }

    /// As if this key were good for so few records.
    #[cfg(test)]
    pub(super) fn wears_out_after(&mut self, records: u64) {
        self.records_max = records;
    }

    /// The peer's next record, as if it were of this kind.
    #[cfg(test)]
    pub(super) fn forge(&mut self, kind: ContentType, text: &[u8]) -> Vec<u8> {
        let mut out = vec![0; sealed_bytes_max(text.len())];
        let len = self.opening.seal(kind, text, &mut out).unwrap();
        self.opening.goes_back();
        out.truncate(len);
        out
    }
}

/// How long the record is that begins here, with its header; the header alone where that is not there yet.
fn wanted(bytes: &[u8]) -> Result<usize, Refusal> {
    let [_, major, _, high, low, ..] = *bytes else {
        return Ok(HEADER_BYTES);
    };
    let body = usize::from(high) << 8 | usize::from(low);
    match (major, body) {
        (3, 1..=BODY_BYTES_MAX) => Ok(HEADER_BYTES + body),
        (3, 1..) => Err(too_long()),
        (3, 0) => {
            let error = InvalidMessage::InvalidEmptyPayload;
            Err(Refusal(Some(AlertDescription::DecodeError), error.into()))
        }
        _ => {
            let error = InvalidMessage::UnknownProtocolVersion;
            Err(Refusal(Some(AlertDescription::DecodeError), error.into()))
        }
    }
}

//! One direction of a connection whose handshake is done: a key, the number of the next record, and how both make a record
//! of plain text and the reverse, from one memory to another and without any of their own. Never decides what a record
//! means.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::{AlertDescription, ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved};

use super::{HEADER_BYTES, RECORD_BYTES_MAX};

const TAG_BYTES: usize = 16;

/// The part of the nonce that AES-GCM in TLS 1.2 sends along.
const EXPLICIT_BYTES: usize = 8;

/// How a record is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Tls13,
    Gcm12,
    Chacha12,
}

/// Why a record is refused: what is said of it to the peer, if anything, and here.
#[derive(Debug)]
pub struct Refusal(pub Option<AlertDescription>, pub Error);

/// A key and the number of the next record.
///
/// Invariant: no number is used twice.
pub struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    number: u64,
    form: Form,
}

impl Keys {
    /// As rustls gives them away.
    ///
    /// # Errors
    /// Secrets of a kind that was not there when this was written.
    pub fn new(
        is_13: bool,
        (number, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Keys, Error> {
        let gcm = if is_13 { Form::Tls13 } else { Form::Gcm12 };
        let chacha = if is_13 { Form::Tls13 } else { Form::Chacha12 };
        let unknown = || Error::General("secrets of an unknown kind".into());
        let (algorithm, key, iv, form) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, key, iv, chacha)
            }
            _ => return Err(unknown()),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| unknown())?;
        Ok(Keys {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().map_err(|_| unknown())?,
            number,
            form,
        })
    }

    /// How many records there have been.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// As if the last record had not been.
    #[cfg(test)]
    pub fn goes_back(&mut self) {
        self.number -= 1;
    }

    fn explicit_bytes(&self) -> usize {
        match self.form {
            Form::Gcm12 => EXPLICIT_BYTES,
            Form::Tls13 | Form::Chacha12 => 0,
        }
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        let number = self.number.to_be_bytes();
        let last = nonce.iter_mut().skip(NONCE_LEN - number.len());
        last.zip(number).for_each(|(byte, with)| *byte ^= with);
        nonce
    }

    /// What is signed along with the text.
    fn aad(&self, kind: u8, text_bytes: usize, record_bytes: usize) -> Aad<Signed> {
        let mut signed = Signed {
            bytes: [0; 13],
            from: 0,
        };
        let bytes = match self.form {
            Form::Tls13 => {
                signed.from = 8;
                record_bytes
            }
            Form::Gcm12 | Form::Chacha12 => {
                signed.bytes[..8].copy_from_slice(&self.number.to_be_bytes());
                text_bytes
            }
        };
        signed.bytes[8..].copy_from_slice(&header(kind, bytes));
        Aad::from(signed)
    }

    /// Makes a record of this text, of [`RECORD_BYTES_MAX`] at most, at the beginning of `out`. Returns how long it is.
    ///
    /// # Errors
    /// There is too little room, or no number is left.
    pub fn seal(&mut self, kind: ContentType, text: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let is_13 = self.form == Form::Tls13;
        let outer = if is_13 {
            ContentType::ApplicationData
        } else {
            kind
        };
        let inner = [u8::from(kind)];
        let inner = if is_13 { &inner[..] } else { &[] };
        let explicit_bytes = self.explicit_bytes();
        let body_bytes = explicit_bytes + text.len() + inner.len() + TAG_BYTES;
        let record = out.get_mut(..HEADER_BYTES + body_bytes);
        let record = record.ok_or(Error::EncryptError)?;
        let (head, body) = record.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&header(u8::from(outer), body_bytes));
        let nonce = self.nonce();
        let (explicit, body) = body.split_at_mut(explicit_bytes);
        explicit.copy_from_slice(&nonce[NONCE_LEN - explicit_bytes..]);
        let (sealed, tag) = body.split_at_mut(text.len());
        let aad = self.aad(u8::from(outer), text.len(), body_bytes);
        self.number = self.number.checked_add(1).ok_or(Error::EncryptError)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .key
            .seal_out_of_place_scatter(nonce, aad, text, sealed, inner, tag);
        sealed.map_err(|_| Error::EncryptError)?;
        Ok(HEADER_BYTES + body_bytes)
    }

    /// Opens a whole record into `out`, which is at least as long. Returns its kind and how long the text is.
    ///
    /// # Errors
    /// The peer's key has not made it, or not so.
    pub fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<(ContentType, usize), Refusal> {
        let is_13 = self.form == Form::Tls13;
        let (head, body) = record.split_at(HEADER_BYTES);
        let kind = ContentType::from(head[0]);
        if is_13 && kind != ContentType::ApplicationData {
            return Err(unexpected(kind));
        }
        let explicit_bytes = self.explicit_bytes();
        if body.len() < explicit_bytes + TAG_BYTES {
            return Err(not_opened());
        }
        let (explicit, sealed) = body.split_at(explicit_bytes);
        let (sealed, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
        if sealed.len() > RECORD_BYTES_MAX + usize::from(is_13) {
            return Err(too_long());
        }
        let mut nonce = self.nonce();
        nonce[NONCE_LEN - explicit_bytes..].copy_from_slice(explicit);
        let aad = self.aad(head[0], sealed.len(), body.len());
        let text = &mut out[..sealed.len()];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_separate_gather(nonce, aad, sealed, tag, text);
        opened.map_err(|_| not_opened())?;
        self.number = self.number.wrapping_add(1);
        if !is_13 {
            return Ok((kind, text.len()));
        }
        // The kind stands behind the text, and zeros behind that.
        let at = text.iter().rposition(|byte| *byte != 0);
        let at = at.ok_or_else(|| {
            let error = PeerMisbehaved::IllegalTlsInnerPlaintext;
            Refusal(Some(AlertDescription::UnexpectedMessage), error.into())
        })?;
        match ContentType::from(text[at]) {
            kind if at <= RECORD_BYTES_MAX => Ok((kind, at)),
            _ => Err(too_long()),
        }
    }
}

/// What is signed along.
struct Signed {
    bytes: [u8; 13],
    from: usize,
}

impl AsRef<[u8]> for Signed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

fn header(kind: u8, bytes: usize) -> [u8; HEADER_BYTES] {
    // Both versions call themselves 1.2 here.
    [kind, 3, 3, (bytes >> 8) as u8, bytes as u8]
}

fn not_opened() -> Refusal {
    Refusal(Some(AlertDescription::BadRecordMac), Error::DecryptError)
}

/// A record that is longer than records are.
pub fn too_long() -> Refusal {
    let error = Error::PeerSentOversizedRecord;
    Refusal(Some(AlertDescription::RecordOverflow), error)
}

/// A record that nobody expects behind the handshake.
pub fn unexpected(kind: ContentType) -> Refusal {
    let error = Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData],
        got_type: kind,
    };
    Refusal(Some(AlertDescription::UnexpectedMessage), error)
}

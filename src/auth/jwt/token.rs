//! Tokens: `header.claims.signature`, each base64url without padding. Owns their bounds, the header, the signature and what
//! kind of claims is inside; never decides whom to trust.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, Encoding, Specification};
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha512_256};
use std::sync::LazyLock;

use super::claims::{Claims, Common, Kind};
use super::json;

/// Longest token that is looked at, bytes.
pub const TOKEN_BYTES_MAX: usize = 1024 * 1024;

/// The only `alg` of tokens of version 2, and of version 1.
const ALGORITHM: &str = "ed25519-nkey";
const ALGORITHM_V1: &str = "ed25519";

/// Newest version of claims.
const VERSION_MAX: i64 = 2;

/// Why a text is not a token. Displays without repeating anything of the token but the names of kinds and algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    TooLong,
    /// Not three parts with points between.
    NotThreeParts,
    /// A part (named) is not base64url.
    NotBase64(&'static str),
    /// A part (named) is not the JSON that it should be.
    NotJson(&'static str, String),
    /// The header's `typ` is another.
    Type(String),
    /// The header's `alg` is another: nothing but Ed25519 is taken.
    Algorithm(String),
    /// Claims of a version that is not known.
    Version(i64),
    /// Claims of a kind that is not looked at here.
    Kind {
        /// What was wanted.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// `iss` did not sign it.
    Signature,
    /// `iss` is no public key, or of a kind that may not sign such claims.
    Issuer(String),
}

/// Decodes any token and verifies that `iss` signed it. Whether anybody trusts `iss` is another question.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(token: &str) -> Result<Claims, DecodeError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(DecodeError::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(DecodeError::NotThreeParts);
    };
    check_header(&part(header, "header")?)?;
    let claims = json::parse(&part(payload, "claims")?).map_err(|e| not_json("claims", &e))?;
    let (kind, version) = kind_and_version(&claims)?;
    let claims = Claims::read(kind, version, &claims).map_err(|e| not_json("claims", &e))?;
    let signature = part(signature, "signature")?;
    // Version 1 signs the claims alone.
    let signed = match version {
        ..=1 => payload,
        _ => &token[..header.len() + 1 + payload.len()],
    };
    let issuer = &claims.common().issuer;
    let key = KeyPair::from_public_key(issuer).map_err(|_| DecodeError::Signature)?;
    key.verify(signed.as_bytes(), &signature)
        .map_err(|_| DecodeError::Signature)?;
    if !claims.may_be_signed_by(&key.key_pair_type()) {
        return Err(DecodeError::Issuer(issuer.clone()));
    }
    Ok(claims)
}

/// Makes a token of version 2, signed by `key`, which becomes `iss`. `jti` is the hash that the usual tools would make.
/// `now` is `iat`, seconds since 1970.
///
/// # Errors
/// The key has no seed.
pub fn encode(mut claims: Value, key: &KeyPair, now: i64) -> Result<String, nkeys::error::Error> {
    if let Some(fields) = claims.as_object_mut() {
        fields.insert("iat".into(), now.into());
        fields.insert("iss".into(), key.public_key().into());
        let hash = Sha512_256::digest(Value::Object(fields.clone()).to_string());
        fields.insert("jti".into(), BASE32_NOPAD.encode(&hash).into());
    }
    let header = json!({"typ": "JWT", "alg": ALGORITHM}).to_string();
    let [header, payload] =
        [header, claims.to_string()].map(|text| BASE64URL_NOPAD.encode(text.as_bytes()));
    let signed = format!("{header}.{payload}");
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// base64url without padding, as the usual tools read it: line ends are passed over, the last bits are free.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    static URL: LazyLock<Encoding> = LazyLock::new(|| lenient("-_", None));
    URL.decode(text.as_bytes()).ok()
}

/// A signature as clients send it: base64url without padding, or else standard base64 with it, read alike.
pub(in crate::auth) fn signature(text: &str) -> Option<Vec<u8>> {
    static STANDARD: LazyLock<Encoding> = LazyLock::new(|| lenient("+/", Some('=')));
    base64url(text).or_else(|| STANDARD.decode(text.as_bytes()).ok())
}

fn lenient(last_two: &str, padding: Option<char>) -> Encoding {
    const FIRST: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut specification = Specification::new();
    specification.symbols = format!("{FIRST}{last_two}");
    specification.padding = padding;
    specification.check_trailing_bits = false;
    specification.ignore.push_str("\r\n");
    specification.encoding().expect("a base64 alphabet")
}

/// Whether a text is the public key of this kind. Whether it is a point of the curve that signatures are made with is seen
/// where it signs; curve keys, which sign nothing, need not be.
pub(in crate::auth) fn is_public(kind: &KeyPairType, text: &str) -> bool {
    nkeys::from_public_key(text).is_ok_and(|(prefix, _)| KeyPairType::from(prefix) == *kind)
}

fn part(text: &str, name: &'static str) -> Result<Vec<u8>, DecodeError> {
    base64url(text).ok_or(DecodeError::NotBase64(name))
}

fn not_json(part: &'static str, error: &serde_json::Error) -> DecodeError {
    // Not the error's own text: it repeats values.
    let what = match error.classify() {
        serde_json::error::Category::Data => "a value of another type",
        _ => "no JSON",
    };
    DecodeError::NotJson(part, format!("{what} at byte {}", error.column()))
}

fn check_header(text: &[u8]) -> Result<(), DecodeError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Header {
        typ: String,
        alg: String,
    }
    let header = json::parse(text).and_then(|value| json::read::<Header>(Some(&value)));
    let header = header.map_err(|e| not_json("header", &e))?;
    if !header.typ.eq_ignore_ascii_case("JWT") {
        return Err(DecodeError::Type(header.typ));
    }
    let algorithm = header.alg.to_lowercase();
    if algorithm != ALGORITHM && algorithm != ALGORITHM_V1 {
        return Err(DecodeError::Algorithm(header.alg));
    }
    Ok(())
}

/// Version 1 says its kind in `type` beside `nats`, version 2 inside.
fn kind_and_version(claims: &Value) -> Result<(Kind, i64), DecodeError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Outer {
        r#type: String,
        nats: Inner,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Inner {
        r#type: String,
        version: i64,
    }
    let outer: Outer = json::read(Some(claims)).map_err(|e| not_json("claims", &e))?;
    let (kind, version) = match outer.r#type.is_empty() {
        true => (outer.nats.r#type, outer.nats.version),
        false => (outer.r#type, 1),
    };
    let kind = Kind::of(&kind);
    let known = match kind {
        Kind::Other(_) => version <= VERSION_MAX,
        Kind::AuthorizationRequest | Kind::AuthorizationResponse => version <= VERSION_MAX,
        _ => (1..=VERSION_MAX).contains(&version),
    };
    match known {
        true => Ok((kind, version)),
        false => Err(DecodeError::Version(version)),
    }
}

impl DecodeError {
    /// The claims are of another kind than was wanted.
    pub(super) fn kind(wanted: &'static str, found: &Claims) -> DecodeError {
        let found = found.kind().to_owned();
        DecodeError::Kind { wanted, found }
    }
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooLong => write!(f, "longer than {TOKEN_BYTES_MAX} bytes"),
            DecodeError::NotThreeParts => f.write_str("not three parts with points between"),
            DecodeError::NotBase64(part) => write!(f, "the {part} is not base64url"),
            DecodeError::NotJson(part, what) => write!(f, "the {part}: {what}"),
            DecodeError::Type(found) => write!(f, "the type is {}, not \"JWT\"", short(found)),
            DecodeError::Algorithm(found) => {
                write!(f, "signed with {}, not {ALGORITHM:?}", short(found))
            }
            DecodeError::Version(found) => write!(f, "claims of version {found} are not known"),
            DecodeError::Kind { wanted, found } => {
                write!(f, "the claims are of {}, not of {wanted:?}", short(found))
            }
            DecodeError::Signature => f.write_str("the issuer did not sign it"),
            DecodeError::Issuer(issuer) => {
                write!(f, "{} may not issue such claims", short(issuer))
            }
        }
    }
}

/// What strangers write, quoted and not longer than a log line can take.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let cut: String = text.chars().take(CHARS_MAX).collect();
    format!("{cut:?}")
}

/// The claims that every token has.
pub(super) fn common(claims: &Value) -> Result<Common, serde_json::Error> {
    json::read(Some(claims))
}

//! Certificates and keys for tests, made once a process: authorities, servers, clients, good and bad. Owns their names; knows
//! no server. `src/transport/tls` takes this file for its tests as well.

use std::collections::HashMap;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType,
    SerialNumber, SigningKey, date_time_ymd,
};
use sha2::{Digest, Sha256};

/// A certificate with its chain and its key.
pub struct Identity {
    /// PEM: the certificate, then those above it.
    pub chain: String,
    /// PEM.
    pub key: String,
    /// DER of the certificate.
    pub der: Vec<u8>,
    /// SHA-256 of its public key, hexadecimal.
    #[allow(dead_code, reason = "unit tests pin nothing")]
    pub pin: String,
}

/// Everything, by name.
///
/// Authorities: `ca`, `other-ca`, `middle` (under `ca`). Servers for `localhost`: `server`, `rsa`, `p384`, `ed25519`,
/// `chained` (under `middle`), `unchained` (the same without `middle` in its file), `expired`, `stray` (under `other-ca`), `server-self` and `server-ca` (by
/// themselves, the latter as an authority);
/// for other names: `alpha` and `beta` (`alpha.example`, `*.beta.example`), `rsa-alpha`. Clients: `joe` (CN, O), `names`
/// (e-mail addresses, DNS names, URI), `mail`, `dc` (domain component), `uid` (an attribute without a name), `rsa-client`,
/// `client-chained`, `client-expired`, `client-early`, `client-stray`, `client-server` (for servers only), `client-self`,
/// `client-again` (under an authority of its own that calls itself `ca`). Clients with odd names: `latin` (CN, and an OU `café` in
/// Latin-1, as T61String), `escapes` (CN, URIs with blanks and braces). Clients called as `joe` that nobody can read to the end:
/// `bad-text` (an OU that is no UTF-8), `bad-mail`, `bad-uri`, `bad-address`, `bad-usage`, `bad-serial` (negative), `bad-twice` (an
/// extension twice), `bad-critical` (alternative names that must be heeded, none of them known).
pub fn identities() -> &'static HashMap<&'static str, Identity> {
    static ALL: OnceLock<HashMap<&'static str, Identity>> = OnceLock::new();
    ALL.get_or_init(make)
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

struct Maker {
    all: HashMap<&'static str, Identity>,
}

fn make() -> HashMap<&'static str, Identity> {
    let mut maker = Maker {
        all: HashMap::new(),
    };
    let ca = maker.authority("ca", None);
    let other = maker.authority("other-ca", None);
    let middle = maker.authority("middle", Some(&ca));
    maker.servers(&ca, &other, &middle);
    maker.clients(&ca, &other, &middle);
    maker.odd(&ca);
    maker.again();
    maker.all
}

impl Maker {
    fn authority(&mut self, name: &'static str, above: Option<&Issuer>) -> Issuer {
        let issuer = issuer(name, above);
        let identity = Identity {
            chain: issuer.pem(),
            key: issuer.key().serialize_pem(),
            der: issuer.der().to_vec(),
            pin: pin(issuer.key()),
        };
        self.all.insert(name, identity);
        issuer
    }

    /// An authority made anew under its old name.
    fn again(&mut self) {
        let joe = client(&[(DnType::CommonName, "joe")]);
        self.add("client-again", joe, p256(), &issuer("ca", None), &[]);
    }

    fn servers(&mut self, ca: &Issuer, other: &Issuer, middle: &Issuer) {
        let server = |names: &[&str]| {
            let mut params = params(&[(DnType::CommonName, "server")]);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names = names.iter().map(|name| dns(name)).collect();
            params
        };
        let local = || server(&["localhost"]);
        self.add("server", local(), p256(), ca, &[]);
        self.add("rsa", local(), rsa(), ca, &[]);
        self.add("p384", local(), key(&PKCS_ECDSA_P384_SHA384), ca, &[]);
        self.add("ed25519", local(), key(&PKCS_ED25519), ca, &[]);
        self.add("chained", local(), p256(), middle, &[middle]);
        self.add("unchained", local(), p256(), middle, &[]);
        self.add("expired", expired(local()), p256(), ca, &[]);
        self.add("stray", local(), p256(), other, &[]);
        self.self_signed("server-self", local());
        let mut authority = local();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.self_signed("server-ca", authority);
        self.add("alpha", server(&["alpha.example"]), p256(), ca, &[]);
        self.add("rsa-alpha", server(&["alpha.example"]), rsa(), ca, &[]);
        self.add("beta", server(&["*.beta.example"]), p256(), ca, &[]);
    }

    fn clients(&mut self, ca: &Issuer, other: &Issuer, middle: &Issuer) {
        let org = DnType::OrganizationName;
        let component = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]);
        let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        let joe = || client(&[(org.clone(), "Org"), (DnType::CommonName, "joe")]);
        let mut names = client(&[(DnType::CommonName, "names")]);
        names.subject_alt_names = vec![
            SanType::Rfc822Name("Joe@x.org".try_into().expect("ASCII")),
            SanType::Rfc822Name("second@x.org".try_into().expect("ASCII")),
            dns("joe.example"),
            dns("Second.example"),
            SanType::URI("spiffe://x.org/joe".try_into().expect("ASCII")),
        ];
        let mut mail = client(&[]);
        mail.subject_alt_names = vec![SanType::Rfc822Name("only@x.org".try_into().expect("ASCII"))];
        let mut for_servers = joe();
        for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut early = joe();
        early.not_before = date_time_ymd(2090, 1, 1);
        let dc = client(&[
            (component, "org"),
            (org.clone(), "Org"),
            (DnType::CommonName, "joe"),
        ]);
        let odd = client(&[
            (uid, "u1"),
            (org.clone(), "Org"),
            (DnType::CommonName, "joe"),
        ]);
        self.add("names", names, p256(), ca, &[]);
        self.add("mail", mail, p256(), ca, &[]);
        self.add("dc", dc, p256(), ca, &[]);
        self.add("uid", odd, p256(), ca, &[]);
        self.add("joe", joe(), p256(), ca, &[]);
        self.add("rsa-client", joe(), rsa(), ca, &[]);
        self.add("client-chained", joe(), p256(), middle, &[middle]);
        self.add("client-expired", expired(joe()), p256(), ca, &[]);
        self.add("client-early", early, p256(), ca, &[]);
        self.add("client-stray", joe(), p256(), other, &[]);
        self.add("client-server", for_servers, p256(), ca, &[]);
        self.self_signed("client-self", joe());
    }

    fn odd(&mut self, ca: &Issuer) {
        const NAMES: &[u64] = &[2, 5, 29, 17];
        let joe = || {
            client(&[
                (DnType::OrganizationName, "Org"),
                (DnType::CommonName, "joe"),
            ])
        };
        let named = |names: &[SanType]| {
            let mut params = joe();
            params.subject_alt_names = names.to_vec();
            params
        };
        let extended = |extensions: &[(&[u64], &[u8])]| {
            let mut params = joe();
            let extensions = extensions.iter();
            params.custom_extensions = extensions
                .map(|(oid, content)| CustomExtension::from_oid_content(oid, content.to_vec()))
                .collect();
            params
        };
        let uri = |uri: &str| SanType::URI(uri.try_into().expect("ASCII"));
        let mail = SanType::Rfc822Name("j~e@x.org".try_into().expect("ASCII"));
        let unit = |value: DnValue| {
            let mut params = joe();
            let subject = &mut params.distinguished_name;
            subject.push(DnType::OrganizationalUnitName, value);
            params
        };
        let latin = unit(DnValue::TeletexString("caf~".try_into().expect("ASCII")));
        self.patched("latin", latin, ca, b"caf~", b"caf\xe9");
        let text = unit(DnValue::Utf8String("caf~".to_owned()));
        self.patched("bad-text", text, ca, b"caf~", b"caf\xe9");
        self.patched("bad-mail", named(&[mail]), ca, b"j~e@", b"j\xffe@");
        let mut serial = joe();
        serial.serial_number = Some(SerialNumber::from(vec![0x7f, 1, 2, 3]));
        self.patched(
            "bad-serial",
            serial,
            ca,
            b"\x7f\x01\x02\x03",
            b"\xff\x01\x02\x03",
        );
        let escapes = [uri("spiffe://x.org/a b"), uri("spiffe://x.org/{a}#b c")];
        self.add("escapes", named(&escapes), p256(), ca, &[]);
        let bad = named(&[uri("spiffe://x..org/joe")]);
        self.add("bad-uri", bad, p256(), ca, &[]);
        let bad = extended(&[(NAMES, b"\x30\x05\x87\x03\x01\x02\x03")]);
        self.add("bad-address", bad, p256(), ca, &[]);
        let bad = extended(&[(&[2, 5, 29, 15], b"abc")]);
        self.add("bad-usage", bad, p256(), ca, &[]);
        let bad = extended(&[(&[1, 2, 3, 4], b"a"), (&[1, 2, 3, 4], b"b")]);
        self.add("bad-twice", bad, p256(), ca, &[]);
        let mut bad = extended(&[(NAMES, b"\x30\x04\xa4\x02\x30\0")]);
        bad.custom_extensions[0].set_criticality(true);
        self.add("bad-critical", bad, p256(), ca, &[]);
    }

    /// A certificate in which some bytes are others, of the same number, before it is signed.
    fn patched(
        &mut self,
        name: &'static str,
        params: CertificateParams,
        issuer: &Issuer,
        from: &[u8],
        to: &[u8],
    ) {
        let key = p256();
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        let der = certificate.der();
        // The whole begins with four bytes; in it are what is signed, the kind of the signature, the signature.
        let end = 4 + der_len(&der[4..]);
        let kind_end = end + der_len(&der[end..]);
        let mut signed = der[4..end].to_vec();
        let at = signed.windows(from.len()).position(|bytes| bytes == from);
        let at = at.expect("the bytes are there");
        signed[at..at + to.len()].copy_from_slice(to);
        let signature = issuer.key().sign(&signed).expect("a signature");
        let mut rest = der[end..kind_end].to_vec();
        let len = u8::try_from(signature.len() + 1).expect("short");
        rest.extend([3, len, 0]);
        rest.extend(signature);
        let len = u16::try_from(signed.len() + rest.len()).expect("short");
        let mut der = vec![0x30, 0x82];
        der.extend(len.to_be_bytes());
        der.extend(signed);
        der.extend(rest);
        let chain = pem::encode(&pem::Pem::new("CERTIFICATE", der.clone()));
        self.insert(name, chain, der, &key);
    }

    fn add(
        &mut self,
        name: &'static str,
        params: CertificateParams,
        key: KeyPair,
        issuer: &Issuer,
        above: &[&Issuer],
    ) {
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        let chain = certificate.pem();
        let chain = above
            .iter()
            .fold(chain, |chain, above| chain + &above.pem());
        self.insert(name, chain, certificate.der().to_vec(), &key);
    }

    fn self_signed(&mut self, name: &'static str, params: CertificateParams) {
        let key = p256();
        let certificate = params.self_signed(&key).expect("a certificate");
        self.insert(name, certificate.pem(), certificate.der().to_vec(), &key);
    }

    fn insert(&mut self, name: &'static str, chain: String, der: Vec<u8>, key: &KeyPair) {
        let identity = Identity {
            chain,
            key: key.serialize_pem(),
            der,
            pin: pin(key),
        };
        self.all.insert(name, identity);
    }
}

/// Of the value of DER that begins here.
fn der_len(der: &[u8]) -> usize {
    match der[1] {
        0x81 => 3 + usize::from(der[2]),
        0x82 => 4 + usize::from(u16::from_be_bytes([der[2], der[3]])),
        len => 2 + usize::from(len),
    }
}

fn issuer(name: &str, above: Option<&Issuer>) -> Issuer {
    let mut params = params(&[(DnType::CommonName, name)]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let issuer = match above {
        None => CertifiedIssuer::self_signed(params, key),
        Some(above) => CertifiedIssuer::signed_by(params, key, above),
    };
    issuer.expect("a certificate")
}

fn params(subject: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        let value = DnValue::Utf8String((*value).to_owned());
        params.distinguished_name.push(kind.clone(), value);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}

fn client(subject: &[(DnType, &str)]) -> CertificateParams {
    let mut params = params(subject);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

fn p256() -> KeyPair {
    key(&PKCS_ECDSA_P256_SHA256)
}

fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key")
}

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
}

fn pin(key: &impl PublicKeyData) -> String {
    let digest = Sha256::digest(key.subject_public_key_info());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

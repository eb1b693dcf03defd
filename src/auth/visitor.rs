//! What a connection that asks to come in presents. Owns nothing of it; judges nothing.

use std::net::{IpAddr, Ipv4Addr};

use crate::proto::handshake::ConnectOptions;
use crate::transport::PeerCertificate;

/// Somebody at the door: what it said, and what the node knows of it besides.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// CONNECT; the defaults where it sent something else first.
    pub connect: &'a ConnectOptions,
    /// What INFO gave it to sign; empty if nothing.
    pub nonce: &'a str,
    /// Where it comes from.
    pub ip: IpAddr,
    /// Its number on this node.
    pub id: u64,
    /// What it has shown and proven in a TLS handshake.
    pub certificate: Option<&'a PeerCertificate>,
}

impl<'a> Visitor<'a> {
    /// Who said this, from nowhere in particular, and was given nothing to sign.
    pub fn saying(connect: &'a ConnectOptions) -> Visitor<'a> {
        Visitor {
            connect,
            nonce: "",
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            id: 0,
            certificate: None,
        }
    }

    /// It brings neither a name, nor a key, nor a secret.
    pub(super) fn brings_nothing(&self) -> bool {
        let connect = self.connect;
        connect.user.is_empty()
            && connect.pass.is_empty()
            && connect.auth_token.is_empty()
            && connect.nkey.is_empty()
    }
}

//! A session whose connection is, or may become, one in TLS: when it says INFO, what it learns of the client. Never encrypts.

use std::sync::Arc;

use crate::broker::Broker;
use crate::config::tls::HandshakeFirst;
use crate::transport::PeerCertificate;
use crate::transport::tls::Acceptor;

use super::Context;
use super::client::Client;
use super::heartbeat::Heartbeat;

/// How connections of the port for clients become TLS. Immutable: another one may take its place for those to come.
#[derive(Debug)]
pub struct TlsPort {
    /// Makes the handshakes.
    pub acceptor: Arc<Acceptor>,
    /// How long each may take, milliseconds.
    pub timeout_ms: u64,
    /// Who speaks first.
    pub handshake_first: HandshakeFirst,
    /// Plain text is taken, too.
    pub allow_plain: bool,
    /// Handshakes a second on the whole node; 0 is no limit.
    pub rate_max: u64,
}

impl Client {
    /// Says INFO to a client that was to speak first and has not, or may not.
    pub fn greet(&self, context: &Context, broker: &mut Broker) {
        self.say_info(context, broker, false);
    }

    /// The way for the protocol is free: the handshake is done, or it was seen that there is none. The times that run
    /// from the beginning of a connection run from now. `greet` says the INFO that was not said in plain text.
    pub fn secured(
        &mut self,
        context: &Context,
        broker: &mut Broker,
        certificate: Option<PeerCertificate>,
        greet: bool,
    ) {
        self.certificate = certificate.map(Box::new);
        self.heartbeat = Heartbeat::new(context, self.is_stranger());
        if greet {
            // What it says here holds for this connection, whatever others may do.
            let mut info = self.info(context);
            info.tls_required = true;
            self.say(broker, &info);
        }
    }

    /// What the client has shown and proven.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_deref()
    }
}

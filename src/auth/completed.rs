//! What the node makes of what a client says of itself, before anybody judges it or is told of it: as in the oracle, a
//! certificate's user is the client's name whatever it calls itself, who brings nothing brings what the `no_auth_user`
//! would, and a JWT is nothing where no operator is trusted. Judges nothing.

use crate::proto::handshake::{ConnectOptions, Secret};
use crate::transport::PeerCertificate;

use super::Authenticator;

impl Authenticator {
    /// Completes CONNECT. Afterwards the client is known as what it says: to [`Authenticator::begin`], to callout services
    /// and in events.
    pub fn complete(&self, connect: &mut ConnectOptions, certificate: Option<&PeerCertificate>) {
        if self.operator.is_some() {
            return;
        }
        connect.jwt = Secret::default();
        if let Some(users) = &self.users {
            users.complete(connect, certificate);
        }
    }
}

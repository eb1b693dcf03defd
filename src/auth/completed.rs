//! What the node makes of what a client says of itself, before anybody judges it or is told of it: as in the oracle, a
//! certificate's user is the client's name whatever it calls itself, who brings nothing brings what the `no_auth_user`
//! would, and a JWT is nothing where no operator is trusted. Judges nothing.

use crate::proto::handshake::{ConnectOptions, Secret};
use crate::transport::PeerCertificate;

use super::Authenticator;

impl Authenticator {
    /// Completes CONNECT. Afterwards the client is known as what it says: to [`Authenticator::begin`], to callout services
    /// and in events. Whether it now says what the client did not: another CONNECT must not find that.
    pub fn complete(
        &self,
        connect: &mut ConnectOptions,
        certificate: Option<&PeerCertificate>,
    ) -> bool {
        if self.operator.is_some() {
            return false;
        }
        connect.jwt = Secret::default();
        let users = self.users.as_ref();
        users.is_some_and(|users| users.complete(connect, certificate))
    }
}

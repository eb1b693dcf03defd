//! The method `token`: one secret shared by all clients.

use crate::config::Authorization;
use crate::proto::handshake::ConnectOptions;

use super::identity::{Denial, DenialReason, Identity, Outcome};
use super::password::Password;

/// The configured token.
#[derive(Debug)]
pub(super) struct Token {
    token: Password,
}

impl Token {
    /// `None` without a token, or with an empty one.
    pub(super) fn compile(authorization: &Authorization) -> Option<Token> {
        let token = authorization
            .token
            .as_ref()
            .filter(|token| !token.0.is_empty())?;
        Some(Token {
            token: Password::new(token),
        })
    }

    /// Looks at nothing but the token: a user named beside it does not matter.
    pub(super) fn begin(&self, connect: &ConnectOptions) -> Outcome {
        let denied = Denial::new(connect, DenialReason::WrongToken);
        if connect.auth_token.is_empty() {
            return denied.into();
        }
        self.token
            .check(&connect.auth_token, Identity::token(), denied)
    }
}

//! The method of one user and password, from `authorization { user, password }` or the command line. It has no permissions.

use std::sync::Arc;

use crate::config::{Authorization, Secret};
use crate::proto::handshake::ConnectOptions;

use super::identity::{Denial, DenialReason, Identity, Outcome};
use super::password::Password;

/// The one user.
#[derive(Debug)]
pub(super) struct SingleUser {
    name: Arc<str>,
    password: Password,
}

impl SingleUser {
    /// `None` without a user's name. A user without a password has the empty one.
    pub(super) fn compile(authorization: &Authorization) -> Option<SingleUser> {
        let name = authorization
            .user
            .as_deref()
            .filter(|name| !name.is_empty())?;
        let empty = Secret(String::new());
        let password = Password::new(authorization.password.as_ref().unwrap_or(&empty));
        Some(SingleUser {
            name: name.into(),
            password,
        })
    }

    /// Who a client that gives the password is.
    pub(super) fn identity(&self) -> Identity {
        Identity::global_user(&self.name)
    }

    pub(super) fn begin(&self, connect: &ConnectOptions) -> Outcome {
        if connect.user.is_empty() {
            return Denial::new(connect, DenialReason::NoCredentials).into();
        }
        if *connect.user != *self.name {
            return Denial::new(connect, DenialReason::UnknownUser).into();
        }
        let denied = Denial::new(connect, DenialReason::WrongPassword);
        self.password.check(&connect.pass, self.identity(), denied)
    }
}

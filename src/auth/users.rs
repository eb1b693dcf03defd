//! The method `users`: many users with a password and permissions each, and the `no_auth_user` among them.

use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::config::{self, Authorization};
use crate::proto::handshake::ConnectOptions;

use super::ConfigError;
use super::connection_type;
use super::identity::{Denial, DenialReason, Identity, Outcome};
use super::password::Password;
use super::permission::Permissions;

/// The configured users by name.
#[derive(Debug)]
pub(super) struct Users {
    by_name: ByName,
    /// A key of `by_name`.
    no_auth_user: Option<Arc<str>>,
}

/// Found by names that clients choose, holding names that the operator chose: a fixed seed is enough.
type ByName = hashbrown::HashMap<Arc<str>, User, FixedState>;

#[derive(Debug)]
struct User {
    name: Arc<str>,
    password: Password,
    allows_standard: bool,
    permissions: Option<Arc<Permissions>>,
}

impl Users {
    /// `None` without users. Of users with the same name the last counts.
    pub(super) fn compile(
        authorization: &Authorization,
    ) -> Result<Option<Users>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let default = compile_permissions(authorization.default_permissions.as_ref(), &mut errors);
        let mut by_name =
            ByName::with_capacity_and_hasher(authorization.users.len(), FixedState::default());
        for written in &authorization.users {
            errors.extend(connection_type::check(written));
            let own = compile_permissions(written.permissions.as_ref(), &mut errors);
            let user = User {
                name: written.name.as_str().into(),
                password: Password::new(&written.password),
                allows_standard: connection_type::allows_standard(written),
                permissions: own.or_else(|| default.clone()),
            };
            by_name.insert(Arc::clone(&user.name), user);
        }
        let no_auth_user = find_no_auth_user(authorization, &by_name).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok((!by_name.is_empty()).then_some(Users {
            by_name,
            no_auth_user,
        }))
    }

    /// Whether clients without credentials are let in.
    pub(super) fn has_no_auth_user(&self) -> bool {
        self.no_auth_user.is_some()
    }

    /// `None` where the client names no user and none stands in: another method decides.
    pub(super) fn begin(&self, connect: &ConnectOptions) -> Option<Outcome> {
        if connect.user.is_empty() {
            let gave_something = !connect.pass.is_empty() || !connect.auth_token.is_empty();
            let name = self.no_auth_user.as_ref().filter(|_| !gave_something)?;
            return Some(self.by_name[name].stand_in());
        }
        Some(match self.by_name.get(&*connect.user) {
            Some(user) => user.begin(connect),
            None => Denial::new(connect, DenialReason::UnknownUser).into(),
        })
    }
}

impl User {
    fn begin(&self, connect: &ConnectOptions) -> Outcome {
        if !self.allows_standard {
            return Denial::of_user(&self.name, DenialReason::ConnectionType).into();
        }
        let denied = Denial::of_user(&self.name, DenialReason::WrongPassword);
        self.password.check(&connect.pass, self.identity(), denied)
    }

    /// For a client without credentials. The oracle pretends that it sent the password as it is configured, so that
    /// a plain one always matches and a bcrypt hash never does.
    fn stand_in(&self) -> Outcome {
        if !self.allows_standard {
            return Denial::of_user(&self.name, DenialReason::ConnectionType).into();
        }
        if self.password.is_bcrypt() {
            return Denial::of_user(&self.name, DenialReason::NoAuthUserBcrypt).into();
        }
        Outcome::Accepted(self.identity())
    }

    fn identity(&self) -> Identity {
        Identity::user(&self.name, self.permissions.clone())
    }
}

fn compile_permissions(
    written: Option<&config::Permissions>,
    errors: &mut Vec<ConfigError>,
) -> Option<Arc<Permissions>> {
    match Permissions::compile(written?) {
        Ok(permissions) => Some(Arc::new(permissions)),
        Err(mut wrong) => {
            errors.append(&mut wrong);
            None
        }
    }
}

fn find_no_auth_user(
    authorization: &Authorization,
    by_name: &ByName,
) -> Result<Option<Arc<str>>, ConfigError> {
    let Some((name, at)) = authorization
        .no_auth_user
        .as_ref()
        .filter(|(name, _)| !name.is_empty())
    else {
        return Ok(None);
    };
    if let Some((name, _)) = by_name.get_key_value(name.as_str()) {
        return Ok(Some(Arc::clone(name)));
    }
    let text = if by_name.is_empty() {
        format!("no_auth_user: {name:?} present, but users/nkeys are not defined")
    } else {
        format!(
            "no_auth_user: {name:?} not present as user or nkey in authorization block or account configuration"
        )
    };
    Err(ConfigError {
        at: Some(at.clone()),
        text,
    })
}

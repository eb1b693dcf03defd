//! The method `users`: many users with a password or a key and permissions each, of `authorization` and of accounts,
//! and who stands in for clients without credentials.

use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::config::{self, Config, Position};
use crate::proto::handshake::ConnectOptions;
use crate::transport::PeerCertificate;

use super::callout::{CALLOUT_SUBJECT, Callout};
use super::certificate::{self, Subjects};
use super::identity::{Denial, DenialReason, Identity, Outcome};
use super::jwt;
use super::nkey::{KeyUser, Keys};
use super::password::Password;
use super::permission::Permissions;
use super::visitor::Visitor;
use super::{ConfigError, GLOBAL_ACCOUNT, connection_type};

/// The configured users by name, whatever their accounts: a name is there once.
#[derive(Debug)]
pub(super) struct Users {
    by_name: ByName,
    keys: Keys,
    /// With `verify_and_map` users are known by certificates and by no name that a client gives.
    certificates: Option<Subjects>,
    stand_in: StandIn,
}

/// Who a client without credentials is.
#[derive(Debug)]
enum StandIn {
    /// Nobody: it is refused.
    Nobody,
    /// The `no_auth_user`, a key of `by_name`.
    User(Arc<str>),
    /// The `no_auth_user`, one of `keys`.
    Key(Arc<str>),
    /// Nobody in particular, in the global account: if there is no other account but the system's, its users do
    /// not close the door to everybody else. INFO does not tell.
    Stranger,
}

/// Found by names that clients choose, holding names that the operator chose: a fixed seed is enough.
type ByName = hashbrown::HashMap<Arc<str>, User, FixedState>;

#[derive(Debug)]
struct User {
    name: Arc<str>,
    account: Arc<str>,
    password: Password,
    allows_standard: bool,
    permissions: Option<Arc<Permissions>>,
}

impl Users {
    /// `None` without users. Of users with the same name the last counts.
    pub(super) fn compile(
        config: &Config,
        callout: Option<&Callout>,
    ) -> Result<Option<Users>, Vec<ConfigError>> {
        let authorization = &config.authorization;
        let accounts = config.accounts.iter().map(|account| {
            let default = account.default_permissions.as_ref();
            (account.name.as_str(), default, &account.users)
        });
        let default = authorization.default_permissions.as_ref();
        let global = (GLOBAL_ACCOUNT, default, &authorization.users);
        let mut errors = Vec::new();
        let (mut by_name, mut keys) = (ByName::default(), Keys::default());
        for (account, default, users) in std::iter::once(global).chain(accounts) {
            let account: Arc<str> = account.into();
            let closed = authorization.callout.as_ref().map(|written| &written.at);
            let closed = closed.filter(|_| callout.is_some_and(|c| c.closes(&account)));
            let default = compile_permissions(default, closed, &mut errors);
            for written in users {
                errors.extend(connection_type::check(written));
                let own = written.permissions.as_ref();
                let permissions = match own {
                    None => default.clone(),
                    Some(_) => compile_permissions(own, closed, &mut errors),
                };
                let (account, allows_standard) =
                    (account.clone(), connection_type::allows_standard(written));
                match &written.nkey {
                    Some(key) => keys.add(KeyUser {
                        key: key.as_str().into(),
                        account,
                        allows_standard,
                        permissions,
                    }),
                    None => {
                        let user = User {
                            name: written.name.as_str().into(),
                            account,
                            password: Password::new(&written.password),
                            allows_standard,
                            permissions,
                        };
                        by_name.insert(Arc::clone(&user.name), user);
                    }
                }
            }
        }
        let stand_in = find_stand_in(config, &by_name, &keys).unwrap_or_else(|error| {
            errors.push(error);
            StandIn::Nobody
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let any = !by_name.is_empty() || !keys.is_empty() || !matches!(stand_in, StandIn::Nobody);
        Ok(any.then_some(Users {
            certificates: certificates(config, &by_name),
            by_name,
            keys,
            stand_in,
        }))
    }

    /// Whether clients without credentials, and without CONNECT, are let in.
    pub(super) fn has_named_stand_in(&self) -> bool {
        !matches!(self.stand_in, StandIn::Nobody | StandIn::Key(_))
    }

    /// The user that a client says it is, whether or not it proves it.
    pub(super) fn named(&self, connect: &ConnectOptions) -> Option<&str> {
        let name = match self.has_keys() && !connect.nkey.is_empty() {
            true => self.keys.find(&connect.nkey),
            false => self.by_name.get(&*connect.user).map(|user| &user.name),
        };
        name.map(|name| &**name)
    }

    /// Whether any user has a key.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether clients are told so.
    pub(super) fn has_no_auth_user(&self) -> bool {
        matches!(self.stand_in, StandIn::User(_) | StandIn::Key(_))
    }

    /// All of them, as they are once what they bring is verified, and the stranger that is let in.
    pub(super) fn identities(&self) -> impl Iterator<Item = Identity> {
        let stranger = matches!(self.stand_in, StandIn::Stranger).then(Identity::stranger);
        let named = self.by_name.values().map(User::identity);
        named.chain(self.keys.identities()).chain(stranger)
    }

    /// The account of the user that a client names.
    pub(super) fn account_of(&self, connect: &ConnectOptions) -> Option<&str> {
        if !connect.nkey.is_empty() {
            return self.keys.account_of(&connect.nkey);
        }
        Some(&*self.by_name.get(&*connect.user)?.account)
    }

    /// Says in place of a client who it is: the user of its certificate, or the `no_auth_user` where it brings nothing.
    /// Whether there is something to say.
    pub(super) fn complete(
        &self,
        connect: &mut ConnectOptions,
        certificate: Option<&PeerCertificate>,
    ) -> bool {
        let silent =
            connect.user.is_empty() && connect.pass.is_empty() && connect.auth_token.is_empty();
        let by_key = !self.keys.is_empty() && !connect.nkey.is_empty();
        match (&self.stand_in, &self.certificates) {
            _ if by_key => return false,
            (StandIn::Key(key), _) if silent && connect.nkey.is_empty() => {
                connect.nkey = (&**key).into();
            }
            (_, Some(subjects)) => {
                let Some(user) = certificate.and_then(|shown| self.certified(shown, subjects))
                else {
                    return false;
                };
                let claimed = &connect.user;
                if !claimed.is_empty() {
                    log::warn!(
                        "User {claimed:?} found in connect proto, but user required from cert"
                    );
                }
                connect.user = (&*user.name).into();
            }
            (StandIn::User(name), None) if silent => {
                connect.user = (&**name).into();
                connect.pass = self.by_name[name].password.as_given();
            }
            _ => return false,
        }
        true
    }

    /// `None` where the client names no user and none stands in: another method decides.
    pub(super) fn begin(&self, visitor: &Visitor<'_>) -> Option<Outcome> {
        let connect = visitor.connect;
        if !self.keys.is_empty() {
            match &self.stand_in {
                StandIn::Key(key) if visitor.brings_nothing() => {
                    return Some(self.keys.begin(visitor, key, Some(key)));
                }
                _ if connect.nkey.is_empty() => {}
                StandIn::Key(open) => {
                    return Some(self.keys.begin(visitor, &connect.nkey, Some(open)));
                }
                _ => return Some(self.keys.begin(visitor, &connect.nkey, None)),
            }
        }
        if let Some(subjects) = &self.certificates {
            return Some(self.by_certificate(visitor, subjects));
        }
        if connect.user.is_empty() {
            let gave_something = !connect.pass.is_empty() || !connect.auth_token.is_empty();
            return match &self.stand_in {
                _ if gave_something => None,
                StandIn::Nobody | StandIn::Key(_) => None,
                StandIn::User(name) => Some(self.by_name[name].stand_in()),
                StandIn::Stranger => Some(Outcome::Accepted(Identity::stranger())),
            };
        }
        Some(match self.by_name.get(&*connect.user) {
            Some(user) => user.begin(visitor),
            None => Denial::new(connect, DenialReason::UnknownUser).into(),
        })
    }
}

impl Users {
    /// `verify_and_map`: the certificate says who the client is; a user that has a password must give it as well.
    fn by_certificate(&self, visitor: &Visitor<'_>, subjects: &Subjects) -> Outcome {
        let Some(certificate) = visitor.certificate else {
            return Denial::new(visitor.connect, DenialReason::NoCertificate).into();
        };
        match self.certified(certificate, subjects) {
            Some(user) => user.begin(visitor),
            None => {
                let names = certificate::names(certificate);
                let reason = DenialReason::UnknownCertificate(names.into());
                Denial::new(visitor.connect, reason).into()
            }
        }
    }

    /// The user that a certificate is of.
    fn certified(&self, certificate: &PeerCertificate, subjects: &Subjects) -> Option<&User> {
        let may_come = |name: &str| {
            self.by_name
                .get(name)
                .is_some_and(|user| user.allows_standard)
        };
        let name = certificate::user_of(certificate, subjects, may_come)?;
        self.by_name.get(&*name)
    }
}

impl User {
    fn begin(&self, visitor: &Visitor<'_>) -> Outcome {
        if !self.allows_standard {
            return Denial::of_user(&self.name, DenialReason::ConnectionType).into();
        }
        if self.password.is_itself(&visitor.connect.pass) {
            return self.stand_in();
        }
        let denied = Denial::of_user(&self.name, DenialReason::WrongPassword);
        self.password
            .check(&visitor.connect.pass, self.identity(), denied)
    }

    /// For a client without credentials, which is taken to have sent the password as it is configured: a plain one always
    /// matches, and a bcrypt hash never does.
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
        Identity::user(&self.name, &self.account, self.permissions.clone())
    }
}

/// `None` without `verify_and_map`, and without users: then there is nobody to be known.
fn certificates(config: &Config, by_name: &ByName) -> Option<Subjects> {
    let maps = config.tls.as_ref().is_some_and(|tls| tls.map);
    (maps && !by_name.is_empty()).then(|| {
        let mut subjects = Subjects::default();
        // In the order of the names, so that it is always the same one that is found.
        let mut users: Vec<&User> = by_name
            .values()
            .filter(|user| user.allows_standard)
            .collect();
        users.sort_by_key(|user| &user.name);
        users.iter().for_each(|user| subjects.add(&user.name));
        subjects
    })
}

/// `closed` is where the callout stands that forbids to publish requests like the broker's own.
fn compile_permissions(
    written: Option<&config::Permissions>,
    closed: Option<&Position>,
    errors: &mut Vec<ConfigError>,
) -> Option<Arc<Permissions>> {
    let closing = closed.map(|at| jwt::closing(written.cloned(), Some(CALLOUT_SUBJECT), at));
    let written = match &closing {
        Some(closing) => closing.as_ref(),
        None => written,
    };
    match Permissions::compile(written?) {
        Ok(permissions) => Some(Arc::new(permissions)),
        Err(mut wrong) => {
            errors.append(&mut wrong);
            None
        }
    }
}

fn find_stand_in(config: &Config, by_name: &ByName, keys: &Keys) -> Result<StandIn, ConfigError> {
    let named = config.authorization.no_auth_user.as_ref();
    let Some((name, at)) = named.filter(|(name, _)| !name.is_empty()) else {
        return Ok(match config.strangers_are_global() {
            true => StandIn::Stranger,
            false => StandIn::Nobody,
        });
    };
    if let Some((name, _)) = by_name.get_key_value(name.as_str()) {
        return Ok(StandIn::User(Arc::clone(name)));
    }
    if let Some(key) = keys.find(name) {
        return Ok(StandIn::Key(Arc::clone(key)));
    }
    let text = if by_name.is_empty() && keys.is_empty() {
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

//! Whose message it is: account, user, permissions, and where they come from. Built here from a configuration; whoever
//! knows an identity by other means (a token, a file of credentials) builds the same, and the road is the same.

use std::sync::Arc;

use crate::account::AccountId;
use crate::auth::{Credential, Identity, Outcome, Permissions, Visitor, allows_standard};
use crate::proto::handshake::ConnectOptions;

use super::World;
use super::report::{Actor, Chain, Limit, Provenance};

/// Somebody who is connected.
#[derive(Clone, Debug)]
pub struct Who {
    /// Its account.
    pub account: AccountId,
    /// Its user or key, `[REDACTED]` for a token; `None` for nobody in particular.
    pub user: Option<Arc<str>>,
    /// What it may do; `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
    /// What makes it so, and where that is written.
    pub provenance: Vec<Provenance>,
    /// Limits of its own, beyond those of the server and the account.
    pub limits: Vec<Limit>,
    /// Its JWT and those behind it.
    pub jwt: Option<Arc<Chain>>,
    /// Why it is not let in, or cannot stay for a moment: then it sends nothing and sees nothing.
    pub shut_out: Option<String>,
}

impl Who {
    /// A user by name, or whoever a client is that brings no credentials. `account` alone is a client of an account that
    /// has no users.
    ///
    /// # Errors
    /// There is no such user or account, or strangers are refused.
    pub fn find(
        world: &World<'_>,
        user: Option<&str>,
        account: Option<&str>,
    ) -> Result<Who, String> {
        let account = match account {
            None => None,
            Some(name) => Some(
                world
                    .table
                    .find(name)
                    .ok_or_else(|| unknown_account(world, name))?,
            ),
        };
        match (user, account) {
            (Some(user), account) => Who::of_user(world, user, account),
            (None, Some(account)) => Who::of_account(world, account),
            (None, None) => Who::stranger(world),
        }
    }

    /// With an operator nobody has a name: users are known by their JWTs.
    ///
    /// # Errors
    /// Somebody was named.
    pub fn check_named(
        world: &World<'_>,
        user: Option<&str>,
        account: Option<&str>,
    ) -> Result<(), String> {
        if world.tokens.is_some() && (user.is_some() || account.is_some()) {
            let text = "with an operator, users are known by their JWTs: say who it is with --creds or --jwt";
            return Err(text.to_owned());
        }
        Ok(())
    }

    /// Somebody whose credentials are those of `identity`.
    pub(super) fn of_identity(world: &World<'_>, identity: &Identity) -> Who {
        let account = world.table.find(&identity.account);
        let account = account.expect("identities are in accounts that there are");
        let mut provenance = Vec::new();
        if identity.credential != Credential::None {
            provenance.extend(user_provenance(world, identity));
        } else if world.authenticator.expects_connect() {
            let what = "clients without credentials are in the global account: only the system account has users";
            provenance.push(Provenance::new(what, None));
        } else {
            provenance.push(Provenance::new("nobody is asked for credentials", None));
        }
        if world.authenticator.asks_service(identity) {
            let what = "auth_callout: a service decides who it is; this is what the file says";
            provenance.push(Provenance::new(what, None));
        }
        provenance.push(account_provenance(world, account));
        let written = (identity.credential != Credential::None)
            .then(|| world.user(&identity.user))
            .flatten();
        let barred = written.filter(|user| !allows_standard(user)).map(|user| {
            let types = user.connection_types.join(", ");
            format!("it may not connect by plain TCP or TLS (STANDARD), only by {types}")
        });
        Who {
            account,
            user: (identity.credential != Credential::None).then(|| identity.user.clone()),
            permissions: identity.permissions.clone(),
            provenance,
            limits: Vec::new(),
            jwt: None,
            shut_out: barred.or_else(|| shut_out(world, account, None)),
        }
    }

    fn of_user(world: &World<'_>, user: &str, account: Option<AccountId>) -> Result<Who, String> {
        let named = |who: &&Who| who.user.as_deref() == Some(user);
        if let Some(who) = world.members.iter().find(named) {
            return match account {
                Some(account) if account != who.account => Err(format!(
                    "the user {user:?} is in the account {:?}, not in {:?}",
                    world.name(who.account),
                    world.name(account)
                )),
                _ => Ok(who.clone()),
            };
        }
        if !world.authenticator.expects_connect() {
            return Err(format!(
                "there is no user {user:?}: nobody is asked for credentials"
            ));
        }
        Err(format!(
            "there is no user {user:?}{}",
            users_text(&world.members)
        ))
    }

    fn of_account(world: &World<'_>, account: AccountId) -> Result<Who, String> {
        let members: Vec<Who> = world.members(account).cloned().collect();
        let nobody = |who: &&Who| who.user.is_none();
        if let Some(who) = members.iter().find(nobody) {
            return Ok(who.clone());
        }
        if !members.is_empty() {
            let name = world.name(account);
            return Err(format!(
                "say which user of {name:?} it is{}",
                users_text(&members)
            ));
        }
        Ok(Who {
            account,
            user: None,
            permissions: None,
            provenance: vec![
                Provenance::new(
                    "a client that nothing restricts: the account has no users",
                    None,
                ),
                account_provenance(world, account),
            ],
            limits: Vec::new(),
            jwt: None,
            shut_out: shut_out(world, account, None),
        })
    }

    fn stranger(world: &World<'_>) -> Result<Who, String> {
        let nothing = ConnectOptions::default();
        match world.authenticator.begin(&Visitor::saying(&nothing)) {
            Outcome::Accepted(identity) => {
                let mut who = Who::of_identity(world, &identity);
                if let (Some(_), Some((name, at))) =
                    (&who.user, &world.config.authorization.no_auth_user)
                {
                    let what = format!("clients without credentials are the user {name:?}");
                    who.provenance.insert(0, Provenance::new(what, Some(at)));
                }
                Ok(who)
            }
            Outcome::Denied(denial) => Err(format!(
                "clients without credentials are refused ({}): say who it is with --user{}",
                denial.reason,
                users_text(&world.members)
            )),
            Outcome::Work(_) => {
                Err("the callout service decides about clients without credentials: say who it is with --user".into())
            }
        }
    }

    /// As the report shows it.
    pub(super) fn actor(&self, world: &World<'_>) -> Actor {
        Actor {
            account: world.name(self.account).to_owned(),
            user: self.user.as_deref().map(str::to_owned),
            jwt: self.jwt.as_deref().cloned(),
            provenance: self.provenance.clone(),
        }
    }
}

/// Limits that nobody can keep: the broker closes whoever is under them at once.
pub(super) fn shut_out(
    world: &World<'_>,
    account: AccountId,
    subscriptions_max: Option<u64>,
) -> Option<String> {
    let limits = &world.table.account(account).limits;
    if limits.connections_max == Some(0) {
        return Some("its account may have no connections".to_owned());
    }
    let none = subscriptions_max == Some(0) || limits.subscriptions_max == Some(0);
    none.then(|| "it may have no subscriptions: it is closed behind its CONNECT".to_owned())
}

fn user_provenance(world: &World<'_>, identity: &Identity) -> Vec<Provenance> {
    let authorization = &world.config.authorization;
    let Some(user) = world.user(&identity.user) else {
        let what = match identity.credential {
            Credential::Token => "whoever has the token",
            _ => "the single user of authorization",
        };
        return vec![Provenance::new(what, None)];
    };
    let mut lines = vec![Provenance::new(
        format!("user {:?}", user.id()),
        Some(&user.at),
    )];
    let account = world
        .config
        .accounts
        .iter()
        .find(|account| *account.name == *identity.account);
    let default = match account {
        Some(account) => &account.default_permissions,
        None => &authorization.default_permissions,
    };
    lines.push(Provenance::new(
        match (&user.permissions, default) {
            (Some(_), _) => "it has permissions of its own",
            (None, Some(_)) => "the default permissions apply to it",
            (None, None) => "it has no permissions: nothing restricts it",
        },
        None,
    ));
    lines
}

fn account_provenance(world: &World<'_>, account: AccountId) -> Provenance {
    let written = world.account(account).map(|account| &account.at);
    Provenance::new(format!("account {:?}", world.name(account)), written)
}

fn unknown_account(world: &World<'_>, name: &str) -> String {
    let names: Vec<String> = world
        .accounts()
        .map(|(_, account)| format!("{:?}", account.name))
        .collect();
    match names.as_slice() {
        [] => format!("there is no account {name:?}: the configuration has none"),
        _ => format!(
            "there is no account {name:?}; there are {}",
            shortened(&names)
        ),
    }
}

/// `; the users are "a", "b"`.
fn users_text(members: &[Who]) -> String {
    let names: Vec<String> = members
        .iter()
        .filter_map(|who| who.user.as_ref())
        .map(|name| format!("{name:?}"))
        .collect();
    match names.as_slice() {
        [] => String::new(),
        _ => format!("; the users are {}", shortened(&names)),
    }
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names.len() {
        count if count > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => names.join(", "),
    }
}

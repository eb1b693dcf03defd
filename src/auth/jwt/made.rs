//! Users that a callout service made where accounts stand in the configuration: what their own claims say, and no
//! account's claims beside them. Decides nothing but times and kinds of connections.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::connection_type::allow_no_way;
use crate::auth::identity;
use crate::auth::permission::Permissions;
use crate::config::{self, Position, Rule};

use super::chain::limit;
use super::times::{self, Allowed};
use super::user::{UserClaims, UserLimits};

/// What a service's user may do, and for how long.
#[derive(Clone, Debug)]
pub struct Grant {
    /// `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
    /// When it is closed.
    pub expires: Option<Timestamp>,
}

/// Reads the claims. `closed` is a subject that the user may not publish to, whatever they say.
///
/// # Errors
/// Why the user is not let in, for the log.
pub fn grant(
    user: &UserClaims,
    closed: Option<&str>,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Grant, String> {
    let limits = &user.limits;
    let until = match times::allowed(&limits.times, &limits.locale, zone, now) {
        Allowed::Always => None,
        Allowed::Until(end) => Some(end),
        Allowed::Never => return Err("outside of valid connect times".to_owned()),
    };
    // The oracle asks no more of them: who may come by WebSocket alone is let in.
    if allow_no_way(&limits.allowed_connection_types) {
        return Err("using invalid connection type".to_owned());
    }
    let at = Position {
        file: format!("JWT of user {}", user.common.subject).into(),
        line: 0,
        column: 1,
    };
    let written = closing(limits.permissions.to_config(&at), closed, &at);
    let permissions = written.as_ref().map(Permissions::compile).transpose();
    let permissions = permissions.map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("with permissions that are not valid: {}", texts.join("; "))
    })?;
    let token_ends = (user.common.expires != 0).then(|| times::from_seconds(user.common.expires));
    Ok(Grant {
        permissions: permissions.map(Arc::new),
        expires: token_ends.into_iter().chain(until).min(),
    })
}

/// The limits of a user's own claims.
pub fn user_limits(limits: &UserLimits) -> identity::UserLimits {
    identity::UserLimits {
        subscriptions_max: limit(limits.subs),
        payload_bytes_max: limit(limits.payload),
    }
}

/// The permissions with one subject more denied.
pub fn closing(
    written: Option<config::Permissions>,
    closed: Option<&str>,
    at: &Position,
) -> Option<config::Permissions> {
    let Some(subject) = closed else {
        return written;
    };
    let mut written = written.unwrap_or_default();
    written.publish.deny.push(Rule {
        subject: subject.to_owned(),
        queue: None,
        at: at.clone(),
    });
    Some(written)
}

//! What a user's claims, or its signing key's scope, let it do: from claims to the report. Decides about nobody.

use crate::auth::Permissions;
use crate::auth::callout::CALLOUT_SUBJECT;
use crate::auth::jwt::{AccountClaims, Trust, UserClaims, closing, limits_of, user_limits};
use crate::config::{Position, Rule, Rules};

use super::super::verdict::within;
use super::chain::{Given, Grant, Lists};

/// What it may do; `None` where its key signs nothing, or a template cannot be filled in.
pub(super) fn grant(user: &UserClaims, trust: &Trust, account: &AccountClaims) -> Option<Grant> {
    let (limits, scope) = limits_of(user, trust, account).ok()?;
    let nowhere = Position {
        file: "".into(),
        line: 1,
        column: 1,
    };
    let own = limits.permissions.to_config(&nowhere);
    let default = || account.account.default_permissions.to_config(&nowhere);
    let (permissions_of, written) = match (own, scope.is_some()) {
        (Some(own), true) => (Given::Scope, Some(own)),
        (Some(own), false) => (Given::User, Some(own)),
        (None, _) => match default() {
            Some(default) => (Given::AccountDefault, Some(default)),
            None => (Given::Nobody, None),
        },
    };
    let closed = account.has_callout().then_some(CALLOUT_SUBJECT);
    let written = closing(written, closed, &nowhere).unwrap_or_default();
    let compiled = Permissions::compile(&written).ok()?;
    let own = user_limits(&limits);
    let times = limits.times.iter();
    Some(Grant {
        permissions_of,
        publish: Lists::from(&written.publish),
        subscribe: Lists::from(&written.subscribe),
        responses: compiled.responses().map(within),
        bearer: limits.bearer_token,
        connection_types: limits.allowed_connection_types.clone(),
        networks: limits.src.clone(),
        times: times
            .map(|range| format!("{}-{}", range.start, range.end))
            .collect(),
        zone: (!limits.locale.is_empty()).then(|| limits.locale.clone()),
        subscriptions_max: own.subscriptions_max,
        payload_bytes_max: own.payload_bytes_max,
    })
}

impl From<&Rules> for Lists {
    fn from(rules: &Rules) -> Lists {
        let text = |rule: &Rule| match &rule.queue {
            Some(queue) => format!("{} {queue}", rule.subject),
            None => rule.subject.clone(),
        };
        Lists {
            allow: rules.allow.iter().flatten().map(text).collect(),
            deny: rules.deny.iter().map(text).collect(),
        }
    }
}

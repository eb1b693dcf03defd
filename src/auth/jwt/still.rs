//! Whether a user that has been let in may stay when its account's claims are others. Owns no clock and verifies no
//! signature: the user's own token is what it was.

use std::sync::Arc;

use jiff::Timestamp;

use crate::auth::callout::CALLOUT_SUBJECT;
use crate::auth::permission::Permissions;

use super::account::AccountClaims;
use super::chain::{Admitted, position};
use super::denial::Reason;
use super::made::closing;
use super::trust::Trust;

/// The user under other claims of its account: the same, or the same with other default permissions.
///
/// # Errors
/// Why it has to go, in the oracle's order.
pub fn still_admitted(
    user: &Arc<Admitted>,
    before: &AccountClaims,
    after: &AccountClaims,
    trust: &Trust,
    now: Timestamp,
) -> Result<Arc<Admitted>, Reason> {
    let issuer = &after.common.issuer;
    if !trust.trusts(issuer) {
        return Err(Reason::AccountIssuer(issuer.clone()));
    }
    if after.has_ended(now.as_second()) {
        return Err(Reason::AccountExpired(after.common.expires));
    }
    if user.bearer && after.account.limits.disallow_bearer {
        return Err(Reason::Bearer);
    }
    // Such claims are held against every token, and what does not say since when it is there counts as revoked.
    let limits = &after.account.limits;
    let judged = !after.account.revocations.is_empty() || limits.disallow_bearer;
    let of_no_time = judged && user.issued_at == 0 && user.made.is_none();
    if of_no_time || after.revokes(&user.user, user.issued_at) {
        return Err(Reason::Revoked(user.issued_at));
    }
    let signer = |account: &AccountClaims| account.account.signing_keys.get(&*user.issuer).cloned();
    let is_own_key = *user.issuer == *after.common.subject;
    if !is_own_key && (signer(after).is_none() || signer(after) != signer(before)) {
        return Err(Reason::UserIssuer(user.issuer.to_string()));
    }
    if is_own_key && trust.is_strict(issuer) {
        return Err(Reason::UserIssuer(user.issuer.to_string()));
    }
    let callout = after.has_callout();
    let same = before.account.default_permissions == after.account.default_permissions;
    if !user.has_default_permissions || (same && callout == user.callout) {
        return Ok(user.clone());
    }
    let at = position("account", &after.common.subject);
    let closed = callout.then_some(CALLOUT_SUBJECT);
    let written = closing(
        after.account.default_permissions.to_config(&at),
        closed,
        &at,
    );
    let permissions = written.as_ref().map(Permissions::compile).transpose();
    let permissions = permissions.map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(|error| error.text.clone()).collect();
        Reason::Invalid(texts.join("; "))
    })?;
    Ok(Arc::new(Admitted {
        permissions: permissions.map(Arc::new),
        callout,
        ..Admitted::clone(user)
    }))
}

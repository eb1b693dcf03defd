//! What keeps a user out, in words: all of it, not only what the broker comes to first. The reasons are the broker's own.

use crate::auth::jwt::{
    ALL, AccountClaims, Attempt, Issues, Reason, Severity, UserClaims, instant, suppose_all,
};

use super::known::{Found, Tokens};
use super::links::{account_signer, user_link};

/// Everything that is wrong with the user's JWT, with its account's and with the attempt.
pub(super) fn wrong(
    tokens: &Tokens,
    user: &UserClaims,
    found: Option<&Found>,
    (attempt, signs): (&Attempt<'_>, Option<&str>),
) -> Vec<String> {
    let now = tokens.now.as_second();
    let mut wrong = blocking("the user's JWT", &user.validate(now));
    if user.limits.proxy_required {
        wrong.push(format!("the user {}", Reason::ProxyRequired));
    }
    if !tokens.trust.is_pinned(user.account()) {
        wrong.push("the account is none of \"resolver_pinned_accounts\"".to_owned());
    }
    let Some(Found {
        claims, wrong: not, ..
    }) = found
    else {
        return wrong;
    };
    let of_account = wrong.len();
    if let Some(account) = claims {
        wrong.extend(blocking("the account's JWT", &account.validate(now)));
        let reasons = suppose_all(&tokens.trust, attempt, user, account);
        let texts = reasons.iter();
        wrong.extend(texts.filter_map(|reason| {
            Some(match reason {
                // Its own times have been told, and so has this where the token itself says it.
                Reason::AccountExpired(_) => return None,
                Reason::ProxyRequired if user.limits.proxy_required => return None,
                Reason::AccountIssuer(issuer) => {
                    let (_, whose) = account_signer(tokens, issuer);
                    format!("the account's JWT: signed by {issuer}, {whose}")
                }
                Reason::UserIssuer(issuer) => {
                    let whose = user_link(tokens, user, Some(account)).signer_text;
                    format!("the user's JWT: signed by {issuer}, {whose}")
                }
                Reason::Revoked(_) => revoked(user, account),
                Reason::Signature => other_key(user, signs),
                Reason::ConnectionType => {
                    let own = attempt.connection.name();
                    format!("the user may not connect by plain TCP or TLS ({own})")
                }
                reason => format!("the user {reason}"),
            })
        }));
    }
    if wrong.len() == of_account
        && let Some(not) = not
    {
        wrong.push(format!("the account's JWT: {not}"));
    }
    wrong
}

fn blocking(of: &str, issues: &Issues) -> Vec<String> {
    let all = issues.0.iter();
    all.filter(|issue| issue.severity != Severity::Warning)
        .map(|issue| format!("{of}: {}", issue.text))
        .collect()
}

fn revoked(user: &UserClaims, account: &AccountClaims) -> String {
    let until = account.revoked_until(&user.common.subject);
    let all = account.account.revocations.get(ALL).copied();
    let whose = match until == all {
        true => "all users' JWTs",
        false => "all JWTs of this user",
    };
    let until = until.map(instant).unwrap_or_default();
    format!("the user's JWT: revoked by the account, with {whose} issued until {until}")
}

fn other_key(user: &UserClaims, signs: Option<&str>) -> String {
    match signs {
        Some(key) => format!(
            "the seed is that of {key}: it cannot sign for the user {}",
            user.common.subject
        ),
        None => format!("the user {}", Reason::Signature),
    }
}

//! Who signed what: from claims to the chain of a report. Decides about nobody.

use crate::auth::jwt::{
    self, AccountClaims, Attempt, Claims, OperatorClaims, UserClaims, expansions, instant,
};

use super::chain::{Chain, Expanded, Link, Signer};
use super::grant::grant;
use super::known::Tokens;
use super::wrong::wrong;

/// All that can be said of a user's JWT. `signs` is the public key of whoever makes the attempt, if it has one.
pub(super) fn chain(
    tokens: &Tokens,
    user: &UserClaims,
    attempt: &Attempt<'_>,
    signs: Option<&str>,
) -> Chain {
    let found = tokens.found(user.account());
    let account = found.and_then(|found| found.claims.as_ref());
    let mut chain = Chain {
        user: user_link(tokens, user, account),
        account: found.zip(account).map(|(found, account)| Link {
            from: Some(found.from.clone()),
            ..account_link(tokens, account)
        }),
        scope: None,
        template: Vec::new(),
        grant: None,
        wrong: wrong(tokens, user, found, (attempt, signs)),
    };
    if let Some(account) = account {
        let signer = account.signer(&user.common.issuer, is_strict(tokens, account));
        if let jwt::Signer::Scoped(scope) = signer {
            chain.scope = Some(scope.role.clone());
            let expanded = expansions(&scope.template, user, account);
            chain.template = expanded.into_iter().map(Expanded::from).collect();
        }
        chain.grant = grant(user, &tokens.trust, account);
    }
    chain
}

fn link(claims: &Claims, (signer, signer_text): (Signer, String)) -> Link {
    let common = claims.common();
    let time = |seconds: i64| (seconds != 0).then(|| instant(seconds));
    Link {
        key: common.subject.clone(),
        name: common.name.clone(),
        tags: common.tags.clone(),
        from: None,
        issued: instant(common.issued_at),
        not_before: time(common.not_before),
        expires: time(common.expires),
        issuer: common.issuer.clone(),
        signer,
        signer_text,
    }
}

pub(super) fn user_link(
    tokens: &Tokens,
    user: &UserClaims,
    account: Option<&AccountClaims>,
) -> Link {
    let issuer = &user.common.issuer;
    let signer = match account {
        None => match *issuer == user.account() {
            true => (Signer::Identity, "the account's own key".to_owned()),
            false => {
                let text = "which says that it is a signing key of the account";
                (Signer::Unclear, text.to_owned())
            }
        },
        Some(account) => match account.signer(issuer, is_strict(tokens, account)) {
            jwt::Signer::Scoped(scope) => (
                Signer::ScopedKey,
                format!("a signing key of the account, with the scope {:?}", scope.role),
            ),
            jwt::Signer::Trusted if *issuer == account.common.subject => {
                (Signer::Identity, "the account's own key".to_owned())
            }
            jwt::Signer::Trusted => (
                Signer::SigningKey,
                "a signing key of the account".to_owned(),
            ),
            jwt::Signer::Unknown if *issuer == account.common.subject => (
                Signer::Unknown,
                "the account's own key, which its operator does not let sign users (strict_signing_key_usage)".to_owned(),
            ),
            jwt::Signer::Unknown => (Signer::Unknown, "which is no key of the account".to_owned()),
        },
    };
    link(&Claims::User(Box::new(user.clone())), signer)
}

fn account_link(tokens: &Tokens, account: &AccountClaims) -> Link {
    let issuer = &account.common.issuer;
    let signer = account_signer(tokens, issuer);
    link(&Claims::Account(Box::new(account.clone())), signer)
}

pub(super) fn account_signer(tokens: &Tokens, issuer: &str) -> (Signer, String) {
    let named = |claims: &OperatorClaims| match claims.common.name.as_str() {
        "" => format!("the operator {}", claims.common.subject),
        name => format!("the operator {name:?}"),
    };
    for claims in &tokens.mode.operators {
        let is_own = claims.common.subject == issuer;
        if !is_own && !claims.operator.signing_keys.iter().any(|key| key == issuer) {
            continue;
        }
        let operator = named(claims);
        return match (is_own, tokens.trust.trusts(issuer)) {
            (true, true) => (Signer::Identity, format!("the own key of {operator}")),
            (false, true) => (Signer::SigningKey, format!("a signing key of {operator}")),
            (_, false) => (
                Signer::Unknown,
                format!(
                    "the own key of {operator}, which it does not let sign accounts (strict_signing_key_usage)"
                ),
            ),
        };
    }
    match tokens.trust.trusts(issuer) {
        true => (Signer::TrustedKey, "one of trusted_keys".to_owned()),
        false => (Signer::Unknown, "whom no operator trusts".to_owned()),
    }
}

fn is_strict(tokens: &Tokens, account: &AccountClaims) -> bool {
    tokens.trust.is_strict(&account.common.issuer)
}

impl From<jwt::Expansion> for Expanded {
    fn from(expansion: jwt::Expansion) -> Expanded {
        let (subjects, error) = match expansion.subjects {
            Ok(subjects) => (subjects, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Expanded {
            list: expansion.list,
            entry: expansion.entry,
            subjects,
            error,
        }
    }
}

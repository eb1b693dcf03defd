//! What a callout service answered: whether the answer counts, and whom it makes. Decrypts nothing, asks nobody.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::callout::{CALLOUT_SUBJECT, CalloutWork, Issuer, PROXY_REQUIRED, Service};
use super::identity::{Credential, Identity, UserLimits};
use super::jwt::{self, DecodeError, Grant, Issue, ResponseClaims, Severity, UserClaims};
use super::operator::Operator;

/// What an answer must fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The service that was asked.
    pub service: &'a Service,
    /// The key that was made for the client.
    pub user: &'a str,
    /// The server's id.
    pub server: &'a str,
    /// Whether the answer came encrypted: then whoever signed it has the right key.
    pub encrypted: bool,
}

/// The user that an answer makes, and the account that it is of: its name where the configuration has accounts, its
/// key where they come from JWTs.
#[derive(Clone, Debug)]
pub struct Made {
    /// The user's claims.
    pub user: Box<UserClaims>,
    /// The account.
    pub account: String,
}

/// Judges an answer. `Err` says for the log why it does not count.
///
/// # Errors
/// Whatever the oracle refuses, in its order.
pub fn judge(answer: &[u8], expected: &Expected<'_>, now: Timestamp) -> Result<Made, String> {
    let account = &expected.service.account;
    if answer.is_empty() {
        return Err(format!(
            "Auth callout violation: \"no reason supplied\" on account {account:?}"
        ));
    }
    let response = std::str::from_utf8(answer)
        .map_err(|_| "the answer of the callout service is no text".to_owned())
        .and_then(|text| {
            ResponseClaims::decode(text)
                .map_err(|error| decode_text(&error, "Not an authorization request claim"))
        })?;
    if let Some(issue) = response.validate(now.as_second()).0.first() {
        return Err(format!(
            "Authorization response had validation errors: {}",
            told(issue)
        ));
    }
    let (common, body) = (&response.common, &response.response);
    if common.subject != expected.user {
        return Err(
            "Auth callout violation: auth callout response is not for expected user".to_owned(),
        );
    }
    if common.audience != expected.server {
        return Err("Auth callout violation: auth callout response is not for server".to_owned());
    }
    if !body.error.is_empty() {
        return Err(format!(
            "Auth callout service returned an error: {}",
            body.error
        ));
    }
    if !expected.encrypted {
        check_signer(&response, expected.service)?;
    }
    let user =
        UserClaims::decode(&body.jwt).map_err(|error| decode_text(&error, "Not user claim"))?;
    judge_user(user, expected, now)
}

/// The issuer signs, whatever account the response names. In operator mode it is the account that was asked, or one of
/// its signing keys, and the response may name no other account. The oracle's rules; a name alone proves nothing.
fn check_signer(response: &ResponseClaims, service: &Service) -> Result<(), String> {
    let signer = &response.common.issuer;
    let named = &response.response.issuer_account;
    let signs = match &service.issuer {
        Issuer::Key(issuer) => **issuer == **signer,
        Issuer::Accounts(_) => {
            let elsewhere = !named.is_empty() && **named != *service.account;
            !elsewhere && signs_for(service, signer)
        }
    };
    match signs {
        true => Ok(()),
        false => Err("Auth callout signing key is unknown".to_owned()),
    }
}

fn signs_for(service: &Service, key: &str) -> bool {
    let operator = service.operator.as_ref();
    let claims = operator.and_then(|operator| operator.account(&service.account));
    *key == *service.account
        || claims.is_some_and(|claims| claims.account.signing_keys.contains_key(key))
}

fn judge_user(user: UserClaims, expected: &Expected<'_>, now: Timestamp) -> Result<Made, String> {
    if user.limits.proxy_required {
        return Err(PROXY_REQUIRED.to_owned());
    }
    if let Some(issue) = user.validate(now.as_second()).0.first() {
        return Err(format!("Error validating user JWT: {}", told(issue)));
    }
    if user.common.subject != expected.user {
        return Err(format!(
            "Expected authorized user of {:?} but got {:?} on account {:?}",
            expected.user, user.common.subject, expected.service.account
        ));
    }
    let asked = &expected.service.account;
    let account = match &expected.service.issuer {
        Issuer::Key(issuer) => {
            if !user.issuer_account.is_empty() {
                return Err(format!(
                    "Error non operator mode account {asked:?}: attempted to use issuer_account"
                ));
            }
            if user.common.issuer != **issuer {
                let by = &user.common.issuer;
                return Err(format!(
                    "Wrong issuer for auth callout response on account {asked:?}, expected {issuer:?} got {by:?}"
                ));
            }
            user.common.audience.clone()
        }
        Issuer::Accounts(allowed) => {
            let account = user.account().to_owned();
            let any = allowed.iter().any(|name| **name == *"*");
            if account != *expected.service.account
                && !any
                && !allowed.iter().any(|name| **name == *account)
            {
                let by = &user.common.issuer;
                return Err(format!(
                    "Account {by:?} not permitted as valid account option for auth callout for account {asked:?}"
                ));
            }
            account
        }
    };
    Ok(Made {
        user: Box::new(user),
        account,
    })
}

/// Why something is no token, or claims of another kind, as the oracle tells the account of the service.
fn decode_text(error: &DecodeError, kind: &str) -> String {
    match error {
        DecodeError::NotThreeParts => "Expected 3 chunks".to_owned(),
        DecodeError::Signature => "Claim failed V2 signature verification".to_owned(),
        DecodeError::Kind { .. } => kind.to_owned(),
        error => error.to_string(),
    }
}

/// What is wrong with claims, as the oracle tells the account of the service.
fn told(issue: &Issue) -> &str {
    match issue.severity {
        Severity::Time if issue.text.starts_with("expired") => "claim is expired",
        Severity::Time => "claim is not yet valid",
        _ => &issue.text,
    }
}

impl Made {
    /// Who the client of `work` is: known by the name that the token gives it, else as it was. `operator` knows the account,
    /// where accounts come from JWTs; `zone` is that of times of day without one. Limits that the token states hold nobody, as
    /// in the oracle.
    ///
    /// # Errors
    /// Why it is not let in, for the log.
    pub fn identity(
        &self,
        work: &CalloutWork,
        operator: Option<&Operator>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Identity, String> {
        if let Some(operator) = operator {
            let identity = operator.admit_made(&self.user, &self.account, work, now)?;
            return Ok(identity.renamed(&self.user.common.name));
        }
        let (service, known_as) = (&work.service, &work.denied);
        let closed = (*self.account == *service.account).then_some(CALLOUT_SUBJECT);
        let Grant {
            permissions,
            expires,
        } = jwt::grant(&self.user, closed, zone, now)
            .map_err(|error| format!("Authorized user on account {:?} {error}", service.account))?;
        let name = &self.user.common.name;
        let (user, credential) = match name.is_empty() {
            true => (known_as.user.clone(), known_as.credential),
            false => (name.as_str().into(), Credential::User),
        };
        Ok(Identity {
            user,
            credential,
            account: self.account.as_str().into(),
            permissions,
            limits: UserLimits::default(),
            expires,
            token: None,
            issuer_key: Some(self.account.as_str().into()),
        })
    }
}

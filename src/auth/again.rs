//! Who a client is under another configuration than the one that let it in. Owns what need not be proven twice.

use subtle::ConstantTimeEq;

use super::Authenticator;
use super::callout::CalloutWork;
use super::identity::{Identity, Outcome};
use super::visitor::Visitor;
use super::work::Work;

/// How a client that is there was let in.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// By what.
    pub authenticator: &'a Authenticator,
    /// As whom.
    pub identity: &'a Identity,
    /// A callout service said so.
    pub by_service: bool,
}

impl Authenticator {
    /// Judges a client that is there: as [`Authenticator::begin`] would, but what it has proven before it need not prove
    /// again. So a bcrypt hash is computed only where the configured one has changed, and what a service said of
    /// a client stays true. Without `before`, everything is to be proven.
    pub fn again(&self, visitor: &Visitor<'_>, before: Option<Before<'_>>) -> Outcome {
        if let (Some(operator), Some(before)) = (&self.operator, &before)
            && let (Some(was), Some(token)) =
                (&before.authenticator.operator, &before.identity.token)
        {
            return operator.again(was, token, before.identity);
        }
        let work = match self.begin(visitor) {
            Outcome::Work(work) => work,
            outcome => return outcome,
        };
        let Some(before) = before else {
            return Outcome::Work(work);
        };
        match (before.authenticator.begin(visitor), work.accepted()) {
            (Outcome::Work(was), _) if !work.asks_the_same(&was) => Outcome::Work(work),
            (Outcome::Work(_), _) if before.by_service => {
                Outcome::Accepted(before.identity.clone())
            }
            (Outcome::Work(_), Some(proven)) => {
                self.go_on(visitor, Outcome::Accepted(proven.clone()))
            }
            _ => Outcome::Work(work),
        }
    }
}

impl Work {
    /// Who the client is if the work proves it; `None` where somebody else says who it is.
    pub fn accepted(&self) -> Option<&Identity> {
        match self {
            Work::Bcrypt(work) => Some(work.accepted()),
            Work::Signature(work) => Some(work.accepted()),
            Work::Jwt(_) | Work::Callout(_) => None,
        }
    }

    /// Whether the outcome of the other is that of this one, where both are about the same client.
    fn asks_the_same(&self, other: &Work) -> bool {
        match (self, other) {
            (Work::Bcrypt(own), Work::Bcrypt(other)) => {
                bool::from(own.hash().as_bytes().ct_eq(other.hash().as_bytes()))
            }
            (Work::Signature(own), Work::Signature(other)) => own.key() == other.key(),
            (Work::Callout(own), Work::Callout(other)) => {
                let key = |work: &CalloutWork| {
                    (
                        work.service.account.clone(),
                        work.service.subject().to_owned(),
                    )
                };
                key(own) == key(other)
            }
            _ => false,
        }
    }
}

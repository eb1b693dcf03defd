//! What one client may have: the least of what the server, its account and its user allow. Owns the arithmetic;
//! sends only the refusal.

use crate::account::AccountLimits;
use crate::auth::UserLimits;
use crate::broker::Broker;
use crate::broker::effect::CloseReason;
use crate::config::Limits;

use super::client::Client;
use super::{Context, Flow};

/// The limits of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Longest payload with its headers, bytes.
    pub payload_bytes_max: u32,
    /// Most subscriptions; `u32::MAX` is no limit.
    pub subscriptions_max: u32,
}

impl ClientLimits {
    /// None at all: for connections of the broker itself.
    pub const NONE: ClientLimits = ClientLimits {
        payload_bytes_max: u32::MAX,
        subscriptions_max: u32::MAX,
    };

    /// What a client has that is in no account yet.
    pub fn of_server(server: &Limits) -> Self {
        ClientLimits::least(server, &AccountLimits::default(), UserLimits::default())
    }

    /// The least of all.
    pub fn least(server: &Limits, account: &AccountLimits, user: UserLimits) -> Self {
        let least = |own: u32, others: [Option<u64>; 2]| {
            let others = others.into_iter().flatten();
            others.fold(own, |least, next| {
                least.min(u32::try_from(next).unwrap_or(u32::MAX))
            })
        };
        // The server's 0 is no limit, unlike theirs.
        let of_server = match server.subscriptions_max {
            0 => u32::MAX,
            max => max,
        };
        ClientLimits {
            payload_bytes_max: least(
                server.payload_bytes_max,
                [account.payload_bytes_max, user.payload_bytes_max],
            ),
            subscriptions_max: least(
                of_server,
                [account.subscriptions_max, user.subscriptions_max],
            ),
        }
    }
}

impl Client {
    pub(super) fn take_limits(&mut self, context: &Context, broker: &Broker) {
        let user = self.identity.as_ref().map(|identity| identity.limits);
        let account = &broker.account_table(self.conn).limits;
        self.limits = ClientLimits::least(&context.limits, account, user.unwrap_or_default());
    }

    /// Takes the limits that hold now: the client has got an account, or the configuration has changed. A client that
    /// has all the subscriptions it may have at this moment is closed, as in the oracle.
    pub fn apply_limits(&mut self, context: &Context, broker: &mut Broker) -> Flow {
        self.take_limits(context, broker);
        if broker.subscriptions_of(self.conn) < self.limits.subscriptions_max as usize {
            return Flow::Continue;
        }
        log::error!("{} - maximum subscriptions exceeded", self.label());
        self.say_error(broker, "maximum subscriptions exceeded");
        Flow::Close(CloseReason::MaxSubscriptionsExceeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_counts() {
        let server = Limits {
            payload_bytes_max: 100,
            subscriptions_max: 0,
            ..Limits::default()
        };
        let account = AccountLimits {
            payload_bytes_max: Some(1000),
            subscriptions_max: Some(7),
            ..AccountLimits::default()
        };
        let user = UserLimits {
            payload_bytes_max: Some(10),
            subscriptions_max: None,
        };
        let both = |payload_bytes_max, subscriptions_max| ClientLimits {
            payload_bytes_max,
            subscriptions_max,
        };
        assert_eq!(ClientLimits::of_server(&server), both(100, u32::MAX));
        assert_eq!(ClientLimits::least(&server, &account, user), both(10, 7));
        let none = UserLimits::default();
        assert_eq!(ClientLimits::least(&server, &account, none), both(100, 7));
    }
}

//! The limits that a message or a subscription is under. Enforces none.

use crate::config::Position;

use super::report::{Action, At, Limit};
use super::{Who, World};

/// Those of the server, the account and the user, as far as they concern what is asked.
pub(super) fn limits(world: &World<'_>, who: &Who, action: Action) -> Vec<Limit> {
    let server = &world.config.limits;
    let places = &world.config.places;
    let written = |name: &str| places.has(name).then(|| At::from(&places.get(name)));
    let of_server = |name: &'static str, value: u64| Limit {
        name,
        value,
        at: written(name),
    };
    let own = world.account(who.account);
    let of_account = |name: &'static str, value: Option<u64>| {
        let at: Option<&Position> = own.map(|own| &own.at);
        value.map(|value| Limit {
            name,
            value,
            at: at.map(At::from),
        })
    };
    let account = own.map(|own| own.limits.clone()).unwrap_or_default();
    let mut limits = Vec::new();
    if action == Action::Sub {
        if server.subscriptions_max > 0 {
            limits.push(of_server(
                "max_subscriptions",
                server.subscriptions_max.into(),
            ));
        }
        if server.subscription_tokens_max > 0 {
            limits.push(of_server(
                "max_subscription_tokens",
                server.subscription_tokens_max.into(),
            ));
        }
        limits.extend(of_account(
            "account max_subscriptions",
            account.subscriptions_max,
        ));
        limits.push(of_server("max_pending", server.pending_bytes_max));
    } else {
        limits.push(of_server("max_payload", server.payload_bytes_max.into()));
        limits.extend(of_account("account max_payload", account.payload_bytes_max));
    }
    limits.push(of_server(
        "max_control_line",
        server.control_line_bytes_max.into(),
    ));
    limits.extend(of_account(
        "account max_connections",
        account.connections_max,
    ));
    limits.extend(who.limits.iter().cloned());
    limits
}

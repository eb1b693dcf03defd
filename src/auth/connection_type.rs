//! `allowed_connection_types`: over what a user may connect. Knows the names, not the transports.

use crate::config::User;

use super::ConfigError;

/// The names that the configuration knows, upper case.
const NAMES: [&str; 7] = [
    "STANDARD",
    "WEBSOCKET",
    "LEAFNODE",
    "LEAFNODE_WS",
    "MQTT",
    "MQTT_WS",
    "IN_PROCESS",
];

/// Whether a user may connect as a client over plain TCP or TLS.
pub(crate) fn allows_standard(user: &User) -> bool {
    let types = &user.connection_types;
    types.is_empty()
        || types
            .iter()
            .any(|name| name.eq_ignore_ascii_case("STANDARD"))
}

/// Whether these are names, and not one of them is known: the user can connect in no way. None at all is every way.
pub(crate) fn allow_no_way(types: &[String]) -> bool {
    !types.is_empty() && !types.iter().any(|name| is_known(name))
}

fn is_known(name: &str) -> bool {
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// An error for each unknown name.
pub(super) fn check(user: &User) -> impl Iterator<Item = ConfigError> {
    user.connection_types
        .iter()
        .filter(|name| !is_known(name))
        .map(|name| ConfigError {
            at: Some(user.at.clone()),
            text: format!("unknown connection type {name:?}"),
        })
}

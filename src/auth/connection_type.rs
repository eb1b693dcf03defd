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
pub(super) fn allows_standard(user: &User) -> bool {
    let types = &user.connection_types;
    types.is_empty()
        || types
            .iter()
            .any(|name| name.eq_ignore_ascii_case("STANDARD"))
}

/// An error for each unknown name.
pub(super) fn check(user: &User) -> impl Iterator<Item = ConfigError> {
    let known = |name: &str| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    user.connection_types
        .iter()
        .filter(move |name| !known(name))
        .map(|name| ConfigError {
            at: Some(user.at.clone()),
            text: format!("unknown connection type {name:?}"),
        })
}

//! Owns `users`, of `authorization` and of accounts: names, passwords, keys, permissions.
//! Never prints a password, never verifies one.

use super::{Field, Schema, nkey, permissions};
use crate::config::value::{Kind, Map, Value};
use crate::config::{Position, Secret, User};

const FIELDS: &[&str] = &[
    "allowed_connection_types",
    "authorization",
    "clients",
    "connection_types",
    "nkey",
    "pass",
    "password",
    "permission",
    "permissions",
    "user",
    "username",
];

/// Kinds of connections that a user may be bound to.
const CONNECTION_TYPES: &[&str] = &[
    "STANDARD",
    "WEBSOCKET",
    "LEAFNODE",
    "LEAFNODE_WS",
    "MQTT",
    "MQTT_WS",
    "IN_PROCESS",
];

/// Reads an array of users; those with neither name nor key are left out. Whether one is there twice is seen when
/// all are known ([`check_together`]).
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<User> {
    let Kind::Array(array) = &field.value.kind else {
        schema.wrong(field, "an array of users");
        return Vec::new();
    };
    array
        .items
        .iter()
        .filter_map(|item| user(schema, item))
        .collect()
}

/// What can only be seen of all users together: names and keys that are there twice, and users of accounts beside
/// the single user or the token.
pub(super) fn check_together(schema: &mut Schema<'_>) {
    let config = &schema.config;
    let of_accounts = || config.accounts.iter().flat_map(|account| &account.users);
    let mut users: Vec<&User> = config
        .authorization
        .users
        .iter()
        .chain(of_accounts())
        .collect();
    users.sort_by(|a, b| a.at.cmp(&b.at));
    let mut errors = Vec::new();
    let mut seen = std::collections::HashMap::with_capacity(users.len());
    for user in &users {
        if let Some(first) = seen.get(user.id()) {
            let text = format!("the user {:?} is there twice, first at {first}", user.id());
            errors.push((user.at.clone(), text));
        } else {
            seen.insert(user.id(), &user.at);
        }
    }
    if let Some(user) = of_accounts().next() {
        let beside = match &config.authorization {
            auth if auth.user.is_some() => Some("the single user of \"authorization\""),
            auth if auth.token.is_some() => Some("the token of \"authorization\""),
            _ => None,
        };
        if let Some(beside) = beside {
            let text = format!("users of an account cannot stand beside {beside}");
            errors.push((user.at.clone(), text));
        }
    }
    for (at, text) in errors {
        schema.error(&at, text);
    }
}

fn user(schema: &mut Schema<'_>, item: &Value) -> Option<User> {
    let Kind::Map(map) = &item.kind else {
        if !matches!(item.kind, Kind::Bad) {
            let noun = item.kind.noun();
            schema.error(
                &item.at,
                format!("a user must be a map {{ … }}, not {noun}"),
            );
        }
        return None;
    };
    let user = fields(schema, map, &item.at);
    if user.id().is_empty() && !schema.parsed.partial && !has_a_bad_name(map) {
        schema.error(
            &item.at,
            "this user has no name: give it a \"user\"".to_owned(),
        );
    }
    if user.nkey.is_some() && (!user.name.is_empty() || !user.password.0.is_empty()) {
        let text = "a user with an nkey has neither a name nor a password";
        schema.error(&item.at, text.to_owned());
    }
    Some(user).filter(|user| !user.id().is_empty())
}

/// Something stands in a name's place that has been reported.
fn has_a_bad_name(map: &Map) -> bool {
    map.iter().map(Field::of).any(|field| match &*field.key() {
        "user" | "username" => !matches!(field.value.kind, Kind::Text(_)),
        "nkey" => !matches!(&field.value.kind, Kind::Text(text) if text.is_empty()),
        _ => false,
    })
}

fn fields(schema: &mut Schema<'_>, map: &Map, at: &Position) -> User {
    let mut user = User {
        name: String::new(),
        nkey: None,
        password: Secret(String::new()),
        permissions: None,
        connection_types: Vec::new(),
        at: at.clone(),
    };
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "user" | "username" => user.name = schema.text(field).unwrap_or_default().to_owned(),
            "pass" | "password" => {
                user.password = Secret(schema.text(field).unwrap_or_default().to_owned());
            }
            "permission" | "permissions" | "authorization" => {
                user.permissions = permissions::read(schema, field);
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                user.connection_types = connection_types(schema, field);
            }
            "nkey" => user.nkey = nkey::user(schema, field),
            "proxy_required" => schema.refuse_unless_off(field),
            _ => schema.unknown(field, FIELDS),
        }
    }
    user
}

fn connection_types(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<String> {
    let mut types = Vec::new();
    for (text, at) in schema.texts(field).unwrap_or_default() {
        let upper = text.to_uppercase();
        if !CONNECTION_TYPES.contains(&&*upper) {
            let known = CONNECTION_TYPES.join(", ");
            schema.error(
                at,
                format!("{text:?} is not a connection type; there are {known}"),
            );
        } else if !types.contains(&upper) {
            types.push(upper);
        }
    }
    types
}

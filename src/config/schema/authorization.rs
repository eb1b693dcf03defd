//! Owns the section `authorization`: the single user, the token, the users.
//! Never prints a password or a token, never verifies one.

use std::collections::HashMap;

use super::permissions;
use super::{Field, Schema};
use crate::config::value::{Kind, Map, Value};
use crate::config::{Authorization, Position, Secret, User, duration};

const FIELDS: &[&str] = &[
    "default_permission",
    "default_permissions",
    "pass",
    "password",
    "permissions",
    "timeout",
    "token",
    "user",
    "username",
    "users",
];

const USER_FIELDS: &[&str] = &[
    "allowed_connection_types",
    "authorization",
    "clients",
    "connection_types",
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

/// Reads the section into the configuration.
pub(super) fn read(schema: &mut Schema<'_>, section: Field<'_>) {
    let Some(map) = schema.map(section) else {
        return;
    };
    let mut auth = Authorization {
        no_auth_user: schema.config.authorization.no_auth_user.take(),
        ..Authorization::default()
    };
    let mut users_at = None;
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "user" | "username" => auth.user = not_empty(schema.text(field)),
            "pass" | "password" => auth.password = not_empty(schema.text(field)).map(Secret),
            "token" => auth.token = not_empty(schema.text(field)).map(Secret),
            "timeout" => auth.timeout_ms = timeout_ms(schema, field),
            "users" => {
                users_at = Some(field.at);
                auth.users = users(schema, field);
            }
            "default_permission" | "default_permissions" | "permissions" => {
                auth.default_permissions = permissions::read(schema, field);
            }
            "auth_callout" | "auth_hook" | "proxy_required" => schema.refuse_yet(field),
            _ => schema.unknown(field, FIELDS),
        }
    }
    check_together(schema, section, &auth, users_at);
    schema.config.authorization = auth;
}

/// What may not stand in one section.
fn check_together(
    schema: &mut Schema<'_>,
    section: Field<'_>,
    auth: &Authorization,
    users_at: Option<&Position>,
) {
    let single = auth.user.is_some() || auth.password.is_some();
    if single && auth.token.is_some() {
        let text = "a single user and a token cannot stand together in \"authorization\"";
        schema.error(section.at, text.to_owned());
    }
    let Some(users_at) = users_at else {
        return;
    };
    if auth.user.is_some() {
        let text = "a single user and \"users\" cannot stand together in \"authorization\"";
        schema.error(users_at, text.to_owned());
    }
    if auth.token.is_some() {
        let text = "a token and \"users\" cannot stand together in \"authorization\"";
        schema.error(users_at, text.to_owned());
    }
}

/// Seconds as a number, or a duration. 0 is the default.
fn timeout_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    const HIGH_S: f64 = 60.0;
    let seconds = match &field.value.kind {
        Kind::Integer(seconds) => *seconds as f64,
        Kind::Float(seconds) => *seconds,
        Kind::Text(text) => match duration::parse(text) {
            Some(nanoseconds) => nanoseconds as f64 / 1e9,
            None => {
                schema.not_a_duration(field);
                return None;
            }
        },
        _ => {
            schema.wrong(field, "a number of seconds or a duration such as \"2s\"");
            return None;
        }
    };
    if seconds < 0.0 {
        schema.error(field.at, format!("{:?} must not be negative", field.name));
        return None;
    }
    if seconds > HIGH_S {
        let text = format!(
            "{:?} of {seconds} seconds is high, keep it under 60 (1m without quotes is a million: write \"1m\")",
            field.name
        );
        schema.warning(field.at, text);
    }
    Some((seconds * 1000.0).ceil() as u64).filter(|ms| *ms != 0)
}

fn users(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<User> {
    let Kind::Array(array) = &field.value.kind else {
        schema.wrong(field, "an array of users");
        return Vec::new();
    };
    let mut users: Vec<User> = Vec::with_capacity(array.items.len());
    let mut seen: HashMap<String, Position> = HashMap::with_capacity(array.items.len());
    for item in &array.items {
        let Some(user) = user(schema, item) else {
            continue;
        };
        match seen.get(&user.name) {
            Some(first) => {
                let text = format!("the user {:?} is there twice, first at {first}", user.name);
                schema.error(&user.at, text);
            }
            None => {
                seen.insert(user.name.clone(), user.at.clone());
                users.push(user);
            }
        }
    }
    users
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
    let user = user_fields(schema, map, &item.at);
    if user.name.is_empty() && !schema.parsed.partial && !tries_a_name(map) {
        schema.error(
            &item.at,
            "this user has no name: give it a \"user\"".to_owned(),
        );
    }
    Some(user).filter(|u| !u.name.is_empty())
}

/// There is a name, or something wrong in its place that has been reported.
fn tries_a_name(map: &Map) -> bool {
    map.iter().map(Field::of).any(|field| {
        let name = matches!(&*field.key(), "user" | "username" | "nkey");
        let empty = matches!(&field.value.kind, Kind::Text(text) if text.is_empty());
        name && !empty
    })
}

fn user_fields(schema: &mut Schema<'_>, map: &Map, at: &Position) -> User {
    let mut user = User {
        name: String::new(),
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
            "nkey" | "proxy_required" => schema.refuse_yet(field),
            _ => schema.unknown(field, USER_FIELDS),
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

fn not_empty(text: Option<&str>) -> Option<String> {
    text.filter(|t| !t.is_empty()).map(str::to_owned)
}

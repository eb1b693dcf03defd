//! Owns the section `authorization`: the single user, the token; `users` reads the users,
//! `callout` the callout.
//! Never prints a password or a token, never verifies one.

use super::{Field, Schema, callout, permissions, users};
use crate::config::value::Kind;
use crate::config::{Authorization, Position, Secret, duration};

const FIELDS: &[&str] = &[
    "auth_callout",
    "auth_hook",
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
                auth.users = users::read(schema, field);
            }
            "default_permission" | "default_permissions" | "permissions" => {
                auth.default_permissions = permissions::read(schema, field);
            }
            "auth_callout" | "auth_hook" => auth.callout = callout::read(schema, field),
            "proxy_required" => schema.refuse_unless_off(field),
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

/// Seconds as a number, or a duration; not negative.
pub(super) fn seconds(schema: &mut Schema<'_>, field: Field<'_>) -> Option<f64> {
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
    Some(seconds)
}

/// As [`seconds`]; 0 is the default.
fn timeout_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    const HIGH_S: f64 = 60.0;
    let seconds = seconds(schema, field)?;
    if seconds > HIGH_S {
        let text = format!(
            "{:?} of {seconds} seconds is high, keep it under 60 (1m without quotes is a million: write \"1m\")",
            field.name
        );
        schema.warning(field.at, text);
    }
    Some((seconds * 1000.0).ceil() as u64).filter(|ms| *ms != 0)
}

fn not_empty(text: Option<&str>) -> Option<String> {
    text.filter(|t| !t.is_empty()).map(str::to_owned)
}

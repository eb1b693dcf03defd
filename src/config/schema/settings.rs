//! Owns the settings of the outermost level: their names, types and bounds.
//! Never reads into a section: each has its own file.

use super::refused::{LATER, NEVER};
use super::{
    Field, Schema, accounts, authorization, jetstream, mappings, operators, resolver, resolver_tls,
    tls,
};
use crate::config::host_port;
use crate::config::value::{Kind, Map};

/// The names of a setting, the first of which it is known by inside, and what reads it.
type Setting = (&'static [&'static str], fn(&mut Schema<'_>, Field<'_>));

const SETTINGS: &[Setting] = &[
    (&["accounts"], accounts::read),
    (&["allow_non_tls"], |s, f| {
        set_bool(s, f, |s, v| s.config.allow_non_tls = v)
    }),
    (&["authorization"], authorization::read),
    (&["client_advertise"], |s, f| {
        set_text(s, f, |s, v| s.config.client_advertise = v)
    }),
    (&["debug"], |s, f| {
        set_bool(s, f, |s, v| s.config.log.debug = v)
    }),
    (&["default_sentinel"], operators::default_sentinel),
    (&["host", "net"], |s, f| {
        set_text(s, f, |s, v| set_host(s, v.as_deref()))
    }),
    (&["jetstream"], jetstream::read),
    (&["listen"], listen),
    (&["log_file", "logfile"], |s, f| {
        set_text(s, f, |s, v| s.config.log.file = v.map(Into::into));
    }),
    (&["log_max_num", "logfile_max_num"], |s, f| {
        set_count(s, f, |s, v| s.config.log.files_max = v);
    }),
    (&["log_size_limit", "logfile_size_limit"], |s, f| {
        set_count(s, f, |s, v| s.config.log.file_bytes_max = v);
    }),
    (&["logtime"], |s, f| {
        set_bool(s, f, |s, v| s.config.log.time = v)
    }),
    (&["logtime_utc"], |s, f| {
        set_bool(s, f, |s, v| s.config.log.utc = v)
    }),
    (&["mappings", "maps"], mappings::read),
    (&["max_connections", "max_conn"], max_connections),
    (&["max_control_line"], |s, f| {
        set_size(s, f, |s, v| s.config.limits.control_line_bytes_max = v);
    }),
    (&["max_payload"], |s, f| {
        set_size(s, f, |s, v| s.config.limits.payload_bytes_max = v)
    }),
    (&["max_pending"], max_pending),
    (
        &["max_subscription_tokens", "max_sub_tokens"],
        max_subscription_tokens,
    ),
    (&["max_subscriptions", "max_subs"], max_subscriptions),
    (&["max_traced_msg_len"], |s, f| {
        set_count(s, f, |s, v| s.config.log.traced_bytes_max = v as usize);
    }),
    (&["no_auth_user"], no_auth_user),
    (&["no_fast_producer_stall"], |s, f| {
        set_bool(s, f, |s, v| s.config.limits.no_fast_producer_stall = v);
    }),
    (&["no_header_support"], |s, f| {
        set_bool(s, f, |s, v| s.config.limits.no_header_support = v);
    }),
    (&["no_system_account", "no_system", "no_sys_acc"], |s, f| {
        set_bool(s, f, |s, v| s.config.no_system_account = v)
    }),
    (
        &[
            "operator",
            "operators",
            "root",
            "root_operator",
            "root_operators",
            "roots",
        ],
        operators::operators,
    ),
    (&["pid_file", "pidfile"], |s, f| {
        set_text(s, f, |s, v| s.config.pid_file = v.map(Into::into));
    }),
    (&["ping_interval"], |s, f| {
        set_duration(s, f, |s, v| s.config.limits.ping_interval_ms = v);
    }),
    (&["ping_max"], ping_max),
    (&["port"], port),
    (&["ports_file_dir"], |s, f| {
        set_text(s, f, |s, v| s.config.ports_file_dir = v.map(Into::into));
    }),
    (
        &["resolver", "account_resolver", "accounts_resolver"],
        resolver::read,
    ),
    (&["resolver_pinned_accounts"], operators::pinned),
    (&["resolver_preload"], operators::preload),
    (&["resolver_tls"], resolver_tls::read),
    (&["server_metadata"], |s, f| {
        let Some(map) = s.map(f) else {
            return;
        };
        for entry in map.iter().map(Field::of) {
            if let Some(text) = s.text(entry) {
                let metadata = &mut s.config.labels.metadata;
                metadata.insert(entry.name.to_owned(), text.to_owned());
            }
        }
    }),
    (&["server_name"], server_name),
    (&["server_tags"], |s, f| {
        for (tag, _) in s.texts(f).unwrap_or_default() {
            s.config.labels.add_tag(tag);
        }
    }),
    (&["store_dir", "storedir"], |s, f| {
        set_text(s, f, |s, v| s.config.store_dir = v.map(Into::into));
    }),
    (&["system_account", "system"], accounts::system_account),
    (&["tls"], tls::read),
    (&["trace"], |s, f| {
        set_bool(s, f, |s, v| s.config.log.trace = v)
    }),
    (&["trace_headers"], |s, f| {
        set_bool(s, f, |s, v| {
            (s.config.log.trace_headers, s.config.log.trace) = (v, v)
        });
    }),
    (&["trace_verbose"], |s, f| {
        set_bool(s, f, |s, v| {
            (s.config.log.trace_verbose, s.config.log.trace) = (v, v)
        });
    }),
    (&["trusted_keys", "trusted"], operators::trusted_keys),
    (&["write_deadline"], |s, f| {
        set_duration(s, f, |s, v| s.config.limits.write_deadline_ms = v);
    }),
];

/// Reads the outermost map, in the order of the file: of two settings of one thing the later wins.
pub(super) fn read(schema: &mut Schema<'_>, map: &Map) {
    for field in map.iter().map(Field::of) {
        let key = field.key();
        if let Some((names, apply)) = SETTINGS.iter().find(|(names, _)| names.contains(&&*key)) {
            schema.config.places.set(names[0], field.at.clone());
            apply(schema, field);
        } else if let Some((_, off)) = LATER.iter().find(|(name, _)| *name == key) {
            if !off(&field.value.kind) {
                schema.refuse_yet(field);
            }
        } else if let Some((_, why, off)) = NEVER.iter().find(|(name, ..)| *name == key) {
            if off(&field.value.kind) {
                continue;
            }
            let text = format!("{:?} has no meaning in gannet: {why}", field.name);
            schema.error(field.at, text);
        } else {
            let known: Vec<&str> = SETTINGS
                .iter()
                .flat_map(|(names, _)| names.iter().copied())
                .collect();
            schema.unknown(field, &known);
        }
    }
}

/// `host:port`, or a port.
fn listen(schema: &mut Schema<'_>, field: Field<'_>) {
    match &field.value.kind {
        Kind::Integer(number) => set_port(schema, field, *number),
        Kind::Text(text) => {
            let split = host_port::split(text);
            match split.and_then(|(host, port)| Some((host, port.parse::<i64>().ok()?))) {
                Some((host, number)) => {
                    set_host(schema, Some(host));
                    set_port(schema, field, number);
                }
                None => {
                    let text = "\"listen\" must be \"host:port\" or a port".to_owned();
                    schema.error(field.at, text);
                }
            }
        }
        _ => schema.wrong(field, "\"host:port\" or a port"),
    }
}

fn port(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(number) = schema.integer(field) {
        set_port(schema, field, number);
    }
}

/// 0 is the default; what is no port at all is for the check at the start.
fn set_port(schema: &mut Schema<'_>, field: Field<'_>, number: i64) {
    match i32::try_from(number) {
        Ok(0) => schema.config.port = 4222,
        Ok(port) => schema.config.port = port,
        Err(_) => schema.error(field.at, format!("{:?} is not a port number", field.name)),
    }
}

fn set_host(schema: &mut Schema<'_>, host: Option<&str>) {
    if let Some(host) = host.filter(|h| !h.is_empty()) {
        schema.config.host = host.to_owned();
    }
}

fn server_name(schema: &mut Schema<'_>, field: Field<'_>) {
    let Some(name) = schema.text(field) else {
        return;
    };
    if name.contains(' ') {
        schema.error(
            field.at,
            "\"server_name\" must not contain blanks".to_owned(),
        );
    }
    schema.config.server_name = Some(name.to_owned()).filter(|n| !n.is_empty());
}

fn no_auth_user(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(name) = schema.text(field) {
        let user = (name.to_owned(), field.at.clone());
        schema.config.authorization.no_auth_user = Some(user).filter(|_| !name.is_empty());
    }
}

/// 0, as the oracle has it, is no connection at all.
fn max_connections(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(number) = schema.integer(field) {
        schema.config.limits.connections_max = if number == 0 { -1 } else { number };
    }
}

/// 0 and -1 are no limit.
fn max_subscriptions(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(number) = schema.integer_within(field, -1, i64::MAX) {
        schema.config.limits.subscriptions_max = number.clamp(0, u32::MAX.into()) as u32;
    }
}

fn max_subscription_tokens(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(number) = schema.integer_within(field, 1, u8::MAX.into()) {
        schema.config.limits.subscription_tokens_max = number as u8;
    }
}

/// 0 is the default.
fn max_pending(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(number) = schema
        .integer_within(field, 0, i64::MAX)
        .filter(|n| *n != 0)
    {
        schema.config.limits.pending_bytes_max = number as u64;
    }
}

/// 0 is the default.
fn ping_max(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(number) = schema
        .integer_within(field, 0, i32::MAX.into())
        .filter(|n| *n != 0)
    {
        schema.config.limits.pings_out_max = number as u32;
    }
}

/// An empty string is as if the setting was not there.
fn set_text(schema: &mut Schema<'_>, field: Field<'_>, set: fn(&mut Schema<'_>, Option<String>)) {
    if let Some(text) = schema.text(field) {
        set(schema, Some(text.to_owned()).filter(|t| !t.is_empty()));
    }
}

fn set_bool(schema: &mut Schema<'_>, field: Field<'_>, set: fn(&mut Schema<'_>, bool)) {
    if let Some(boolean) = schema.boolean(field) {
        set(schema, boolean);
    }
}

/// A count of which 0 and everything below is "no limit".
fn set_count(schema: &mut Schema<'_>, field: Field<'_>, set: fn(&mut Schema<'_>, u64)) {
    if let Some(number) = schema.integer(field) {
        set(schema, number.max(0) as u64);
    }
}

/// A size in bytes of which 0 is the default.
fn set_size(schema: &mut Schema<'_>, field: Field<'_>, set: fn(&mut Schema<'_>, u32)) {
    if let Some(number) = schema
        .integer_within(field, 0, i32::MAX.into())
        .filter(|n| *n != 0)
    {
        set(schema, number as u32);
    }
}

/// A duration of which 0 is the default.
fn set_duration(schema: &mut Schema<'_>, field: Field<'_>, set: fn(&mut Schema<'_>, u64)) {
    if let Some(ms) = schema.duration_ms(field).filter(|ms| *ms != 0) {
        set(schema, ms);
    }
}

//! Owns the section `accounts`: which there are and what each holds; `exports`, `imports`, `mappings` and `users`
//! read the parts. Never looks from one account into another: that is `config::check`.

use super::{
    Field, Schema, exports, imports, jetstream, mappings, msg_trace, nkey, permissions, users,
};
use crate::config::value::{Array, Kind, Map};
use crate::config::{Account, AccountLimits, Position};

/// The account of everybody who is in no other; it cannot be configured by name.
const RESERVED: &str = "$G";

const FIELDS: &[&str] = &[
    "default_permissions",
    "exports",
    "imports",
    "limits",
    "mappings",
    "maps",
    "msg_trace",
    "nkey",
    "trace_dest",
    "users",
];

const LIMITS: &[&str] = &[
    "max_conn",
    "max_connections",
    "max_leafnodes",
    "max_leafs",
    "max_pay",
    "max_payload",
    "max_subs",
    "max_subscriptions",
];

/// Reads the section: a map of accounts, or an array of names.
pub(super) fn read(schema: &mut Schema<'_>, section: Field<'_>) {
    schema.config.accounts = match &section.value.kind {
        Kind::Array(array) => names(schema, array),
        Kind::Map(map) => accounts(schema, map),
        _ => {
            schema.doubt_all = true;
            schema.wrong(
                section,
                "a map of accounts { … } or an array of their names",
            );
            Vec::new()
        }
    };
}

/// `system_account`; empty is as if it was not there.
pub(super) fn system_account(schema: &mut Schema<'_>, field: Field<'_>) {
    // Of the two names of this setting, the long one counts wherever it stands.
    let short = field.key() == "system";
    if let Some(name) = schema.text(field)
        && !(short && schema.has("system_account"))
    {
        let account = (name.to_owned(), field.at.clone());
        schema.config.system_account = Some(account).filter(|_| !name.is_empty());
    }
}

fn names(schema: &mut Schema<'_>, array: &Array) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::with_capacity(array.items.len());
    for item in &array.items {
        let Kind::Text(name) = &item.kind else {
            schema.doubt_all = true;
            if !matches!(item.kind, Kind::Bad) {
                let text = format!(
                    "the name of an account must be a string, not {}",
                    item.kind.noun()
                );
                schema.error(&item.at, text);
            }
            continue;
        };
        if is_reserved(schema, name, &item.at) {
            continue;
        }
        match accounts.iter().find(|account| account.name == **name) {
            Some(first) => {
                let text = format!("the account {name:?} is there twice, first at {}", first.at);
                schema.error(&item.at, text);
            }
            None => accounts.push(empty(name, &item.at)),
        }
    }
    accounts
}

/// Entries that serve as variables are no accounts.
fn accounts(schema: &mut Schema<'_>, map: &Map) -> Vec<Account> {
    let mut accounts = Vec::new();
    for field in map.iter().map(Field::of).filter(|field| !field.used) {
        let before = schema.errors.len();
        match &field.value.kind {
            Kind::Map(map) if !is_reserved(schema, field.name, field.at) => {
                accounts.push(account(schema, field, map));
            }
            Kind::Map(_) => {}
            _ => schema.wrong(field, "an account { … }"),
        }
        if schema.errors.len() > before || matches!(field.value.kind, Kind::Bad) {
            schema.doubtful.insert(field.name.to_owned());
        }
    }
    accounts
}

fn account(schema: &mut Schema<'_>, section: Field<'_>, map: &Map) -> Account {
    let mut account = empty(section.name, section.at);
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "nkey" => {
                account.nkey = nkey::account(schema, field).map(|key| (key, field.at.clone()));
            }
            "users" => account.users = users::read(schema, field),
            "default_permissions" => account.default_permissions = permissions::read(schema, field),
            "exports" => account.exports = exports::read(schema, field),
            "imports" => account.imports = imports::read(schema, field),
            "mappings" | "maps" => mappings::read_into(schema, field, &mut account.mappings),
            "limits" => account.limits = limits(schema, field),
            "msg_trace" | "trace_dest" => account.trace = msg_trace::read(schema, field),
            "jetstream" => jetstream::of_account(schema, field),
            _ => schema.unknown(field, FIELDS),
        }
    }
    account
}

fn limits(schema: &mut Schema<'_>, section: Field<'_>) -> AccountLimits {
    let mut limits = AccountLimits::default();
    for field in schema
        .map(section)
        .into_iter()
        .flat_map(Map::iter)
        .map(Field::of)
    {
        match &*field.key() {
            "max_connections" | "max_conn" => limits.connections_max = limit(schema, field),
            "max_subscriptions" | "max_subs" => limits.subscriptions_max = limit(schema, field),
            "max_payload" | "max_pay" => limits.payload_bytes_max = limit(schema, field),
            "max_leafnodes" | "max_leafs" => limits.leafnodes_max = limit(schema, field),
            _ => schema.unknown(field, LIMITS),
        }
    }
    limits
}

/// -1 is no limit; what is less leaves room for nothing, as 0 does.
fn limit(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    let number = schema.integer(field)?;
    (number != -1).then_some(number.max(0).unsigned_abs())
}

fn is_reserved(schema: &mut Schema<'_>, name: &str, at: &Position) -> bool {
    if name == RESERVED {
        let text = format!("the account {RESERVED:?} is there by itself and cannot be configured");
        schema.error(at, text);
    }
    name == RESERVED
}

fn empty(name: &str, at: &Position) -> Account {
    Account {
        name: name.to_owned(),
        label: None,
        at: at.clone(),
        nkey: None,
        users: Vec::new(),
        default_permissions: None,
        exports: Vec::new(),
        imports: Vec::new(),
        mappings: Vec::new(),
        limits: AccountLimits::default(),
        trace: None,
    }
}

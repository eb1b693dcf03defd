//! Owns the settings of operator mode but `resolver`: operators, trusted keys, preloaded and pinned accounts, the
//! default sentinel. Never decodes a JWT: that is for whoever knows claims.

use std::path::Path;

use super::{Field, Schema, nkey};
use crate::config::value::{Kind, Map};
use crate::config::{OperatorJwt, Position, Preload, ResolverKind};

/// What JWTs begin with: `{"` in base64.
const JWT_START: &str = "eyJ";

/// `operator` and its other names: JWTs or files that hold one.
pub(super) fn operators(schema: &mut Schema<'_>, field: Field<'_>) {
    let mut operators = Vec::new();
    for (text, at) in schema.texts(field).unwrap_or_default() {
        operators.extend(operator(schema, field, text, at));
    }
    schema.config.operators.operators = operators;
}

/// `trusted_keys`.
pub(super) fn trusted_keys(schema: &mut Schema<'_>, field: Field<'_>) {
    let mut keys = Vec::new();
    for (key, at) in schema.texts(field).unwrap_or_default() {
        if nkey::is_operator(key) {
            keys.push((key.to_owned(), at.clone()));
        } else {
            let text = format!("{:?} must hold public keys of operators (O…)", field.name);
            schema.error(at, text);
        }
    }
    schema.config.operators.trusted_keys = keys;
}

/// `resolver_preload`: a map of public account keys and JWTs.
pub(super) fn preload(schema: &mut Schema<'_>, field: Field<'_>) {
    let Some(map) = schema.map(field) else {
        return;
    };
    let mut preload = Vec::new();
    for entry in map.iter().map(Field::of) {
        if let Some(jwt) = schema.text(entry) {
            if !nkey::is_account(entry.name) {
                let text = format!("{:?} must hold public keys of accounts (A…)", field.name);
                schema.hint(entry.at, text + ": nobody can ask for this one");
            }
            preload.push(Preload {
                account: entry.name.to_owned(),
                jwt: jwt.to_owned(),
                at: entry.at.clone(),
            });
        }
    }
    schema.config.operators.preload = preload;
}

/// `resolver_pinned_accounts`. Whether they are keys is checked at the start.
pub(super) fn pinned(schema: &mut Schema<'_>, field: Field<'_>) {
    let pinned = schema.texts(field).unwrap_or_default();
    let owned = |(key, at): (&str, &Position)| (key.to_owned(), at.clone());
    schema.config.operators.pinned = pinned.into_iter().map(owned).collect();
}

/// `default_sentinel`; empty is none.
pub(super) fn default_sentinel(schema: &mut Schema<'_>, field: Field<'_>) {
    if let Some(jwt) = schema.text(field) {
        let sentinel = Some((jwt.to_owned(), field.at.clone()));
        schema.config.operators.default_sentinel = sentinel.filter(|_| !jwt.is_empty());
    }
}

/// What contradicts operator mode in the rest of the file.
pub(super) fn check_together(schema: &mut Schema<'_>, map: &Map) {
    let written = |names: &[&str]| {
        let mut fields = map.iter().map(Field::of);
        fields
            .find(|field| names.contains(&&*field.key()) && !matches!(field.value.kind, Kind::Bad))
    };
    let Some(resolver) = written(&["resolver", "account_resolver", "accounts_resolver"]) else {
        return;
    };
    let operators = &schema.config.operators;
    if let (Some((ResolverKind::Url(url), _)), Some(tls)) =
        (&operators.resolver, &operators.resolver_tls)
        && !url.starts_with("https:")
    {
        let (at, text) = (
            tls.at.clone(),
            "nothing is encrypted on the way to a resolver at http://",
        );
        schema.hint(&at, text.to_owned());
    }
    let operators = &schema.config.operators;
    let meant = written(&["operator", "operators", "roots", "root", "root_operators"])
        .or_else(|| written(&["root_operator", "trusted", "trusted_keys"]));
    if !operators.is_operator_mode() && meant.is_none() && !schema.doubt_all {
        let text = format!(
            "{:?} has no effect without \"operator\" or \"trusted_keys\"",
            resolver.name
        );
        schema.hint(resolver.at, text);
    }
}

/// A file is tried first, as the oracle does.
fn operator(
    schema: &mut Schema<'_>,
    field: Field<'_>,
    text: &str,
    at: &Position,
) -> Option<OperatorJwt> {
    let (contents, file) = match (schema.read)(Path::new(text)) {
        Ok(bytes) => (
            String::from_utf8_lossy(&bytes).into_owned(),
            Some(text.into()),
        ),
        Err(_) if text.starts_with(JWT_START) => (text.to_owned(), None),
        Err(error) => {
            let text = format!("{:?}: cannot read the file {text:?}: {error}", field.name);
            schema.error(at, text);
            return None;
        }
    };
    Some(OperatorJwt {
        jwt: undecorated(&contents).to_owned(),
        file,
        at: at.clone(),
    })
}

/// The line between the first `-----BEGIN …-----` and its end, or the whole without its line end.
fn undecorated(text: &str) -> &str {
    let mut lines = text.lines().skip_while(|line| !is_dashes(line));
    lines.next();
    match (lines.next(), lines.next()) {
        (Some(jwt), Some(end)) if is_dashes(end) => jwt.trim_end_matches('\r'),
        _ => text.trim_end(),
    }
}

fn is_dashes(line: &str) -> bool {
    let line = line.trim();
    line.len() > 6 && line.starts_with("---") && line.ends_with("---")
}

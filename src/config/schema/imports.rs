//! Owns `imports` of an account: what it takes from others and what it calls that.
//! Never knows whether the other has it to give: that is `config::check`.

use std::collections::HashMap;

use super::{Field, Schema};
use crate::config::value::{Kind, Map, Value};
use crate::config::{Import, Position};
use crate::subject::{has_wildcard, is_pattern};

const FIELDS: &[&str] = &["allow_trace", "prefix", "service", "share", "stream", "to"];

/// What an import holds, before it is known what it is.
#[derive(Default)]
struct Draft<'v> {
    stream: Option<Field<'v>>,
    service: Option<Field<'v>>,
    prefix: Option<(&'v str, &'v Position)>,
    to: Option<(&'v str, &'v Position)>,
    share: bool,
    allow_trace: Option<(Field<'v>, bool)>,
}

/// Reads an array of imports.
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<Import> {
    let Kind::Array(array) = &field.value.kind else {
        schema.wrong(field, "an array of imports");
        return Vec::new();
    };
    let mut imports: Vec<Import> = Vec::with_capacity(array.items.len());
    let mut seen: HashMap<_, Position> = HashMap::with_capacity(array.items.len());
    for item in &array.items {
        let Some(import) = import(schema, item) else {
            continue;
        };
        let keys = identities(&import);
        if let Some(first) = keys.iter().find_map(|key| seen.get(key)) {
            said_twice(schema, &import, first);
            continue;
        }
        seen.extend(keys.into_iter().map(|key| (key, import.at.clone())));
        imports.push(import);
    }
    imports
}

fn import(schema: &mut Schema<'_>, item: &Value) -> Option<Import> {
    let Kind::Map(map) = &item.kind else {
        if !matches!(item.kind, Kind::Bad) {
            let text = format!("an import must be a map {{ … }}, not {}", item.kind.noun());
            schema.error(&item.at, text);
        }
        return None;
    };
    let before = schema.errors.len();
    let draft = fields(schema, map);
    match (draft.stream, draft.service) {
        (Some(_), Some(service)) => {
            let text = "an import is a \"stream\" or a \"service\", not both";
            schema.error(service.at, text.to_owned());
            None
        }
        (None, None) => {
            if schema.errors.len() == before && !schema.parsed.partial {
                let text = "this import has neither a \"stream\" nor a \"service\"";
                schema.error(&item.at, text.to_owned());
            }
            None
        }
        (Some(stream), None) => {
            if let (Some(_), Some((_, at))) = (draft.prefix, draft.to) {
                let text = "a stream import has a \"prefix\" or a \"to\", not both";
                schema.error(at, text.to_owned());
            }
            if let Some((prefix, at)) = draft.prefix
                && has_wildcard(prefix.as_bytes())
            {
                schema.error(at, format!("the prefix {prefix:?} must not have wildcards"));
                return None;
            }
            build(schema, draft, stream, &item.at)
        }
        (None, Some(service)) => {
            if let Some((field, _)) = draft.allow_trace {
                let text = format!("only a stream import can have {:?}", field.name);
                schema.error(field.at, text);
            }
            build(schema, draft, service, &item.at)
        }
    }
}

fn fields<'v>(schema: &mut Schema<'_>, map: &'v Map) -> Draft<'v> {
    let mut draft = Draft::default();
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "stream" => draft.stream = Some(field),
            "service" => draft.service = Some(field),
            "prefix" => draft.prefix = not_empty(schema, field),
            "to" => draft.to = not_empty(schema, field),
            "share" => draft.share = schema.boolean(field).unwrap_or_default(),
            "allow_trace" => {
                let allowed = schema.boolean(field).unwrap_or_default();
                draft.allow_trace = Some((field, allowed));
            }
            _ => schema.unknown(field, FIELDS),
        }
    }
    draft
}

/// An empty text is as if the field was not there.
fn not_empty<'v>(schema: &mut Schema<'_>, field: Field<'v>) -> Option<(&'v str, &'v Position)> {
    let text = schema.text(field).filter(|text| !text.is_empty())?;
    Some((text, field.at))
}

fn build(
    schema: &mut Schema<'_>,
    draft: Draft<'_>,
    source: Field<'_>,
    at: &Position,
) -> Option<Import> {
    let map = schema.map(source)?;
    let before = schema.errors.len();
    let (mut account, mut subject) = (None, None);
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "account" => account = not_empty(schema, field),
            "subject" => subject = not_empty(schema, field),
            _ => schema.unknown(field, &["account", "subject"]),
        }
    }
    let sound = schema.errors.len() == before && !schema.parsed.partial;
    if sound && (account.is_none() || subject.is_none()) {
        let text = format!("{:?} needs an \"account\" and a \"subject\"", source.name);
        schema.error(source.at, text);
    }
    let ((account, account_at), (subject, subject_at)) = (account?, subject?);
    if !is_pattern(subject.as_bytes()) {
        schema.not_a_subject(subject_at, subject);
        return None;
    }
    let import = Import {
        service: draft.service.is_some(),
        account: (account.to_owned(), account_at.clone()),
        subject: subject.to_owned(),
        prefix: draft.prefix.map(|(text, _)| text.to_owned()),
        to: draft.to.map(|(text, _)| text.to_owned()),
        share: draft.share,
        allow_trace: draft.allow_trace.is_some_and(|(_, allowed)| allowed),
        at: at.clone(),
    };
    if let Err(error) = import.transform() {
        let own = draft.to.or(draft.prefix);
        let at = own.map_or(subject_at, |(_, at)| at);
        schema.error(
            at,
            format!("{subject:?} cannot be imported like that: {error}"),
        );
        return None;
    }
    Some(import)
}

/// What there can be only once: a stream of an account; of its services a subject as it is written here, and a service
/// under a pattern, however the pattern is written.
fn identities(import: &Import) -> Vec<(bool, String, String)> {
    let key = |what: String| (import.service, import.account.0.clone(), what);
    if !import.service {
        return vec![key(import.subject.clone())];
    }
    let transform = import.transform().ok();
    let under = transform.map(|transform| {
        let pattern = String::from_utf8_lossy(transform.source());
        format!("{pattern} {}", import.subject)
    });
    let local = [import.local()].into_iter();
    local.chain(under).map(key).collect()
}

fn said_twice(schema: &mut Schema<'_>, import: &Import, first: &Position) {
    let (local, account) = (import.local(), &import.account.0);
    let text = match import.service {
        true => format!("a service of {account:?} is imported under {local:?} already at {first}"),
        false => format!(
            "the stream {:?} of {account:?} is imported already at {first}",
            import.subject
        ),
    };
    schema.error(&import.at, text);
}

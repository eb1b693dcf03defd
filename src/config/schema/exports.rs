//! Owns `exports` of an account: streams and services, and whom they are for.
//! Never knows whether there are such accounts: that is `config::check`.

use std::collections::HashSet;

use super::{Field, Schema};
use crate::config::value::{Kind, Map, Value};
use crate::config::{
    Export, ExportKind, Latency, Position, ResponseType, Sampling, Service, duration,
};
use crate::subject::{has_wildcard, is_pattern, is_subset, tokens};

const FIELDS: &[&str] = &[
    "account_token_position",
    "accounts",
    "allow_trace",
    "latency",
    "response",
    "response_max_time",
    "response_threshold",
    "response_time",
    "response_type",
    "service",
    "stream",
    "threshold",
];

/// What an export holds, before it is known what it is.
#[derive(Default)]
struct Draft<'v> {
    stream: Option<Field<'v>>,
    service: Option<Field<'v>>,
    accounts: Option<Vec<(String, Position)>>,
    /// The first field that only a service can have.
    only_services: Option<Field<'v>>,
    response: Option<(Field<'v>, ResponseType)>,
    threshold: Option<(Field<'v>, u64)>,
    latency: Option<Latency>,
    account_token_position: Option<(Field<'v>, u32)>,
    allow_trace: bool,
}

/// Reads an array of exports. Those of one subject are one in the end.
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<Export> {
    let Kind::Array(array) = &field.value.kind else {
        schema.wrong(field, "an array of exports");
        return Vec::new();
    };
    let mut exports = Vec::with_capacity(array.items.len());
    let mut seen = HashSet::with_capacity(array.items.len());
    for item in &array.items {
        if let Some(export) = export(schema, item) {
            match seen.insert((is_service(&export), export.subject.clone())) {
                true => exports.push(export),
                false => merge(&mut exports, export),
            }
            let (last, before) = exports.split_last().expect("one was added");
            check_latency(schema, last, before);
        }
    }
    exports
}

fn export(schema: &mut Schema<'_>, item: &Value) -> Option<Export> {
    let Kind::Map(map) = &item.kind else {
        if !matches!(item.kind, Kind::Bad) {
            let text = format!("an export must be a map {{ … }}, not {}", item.kind.noun());
            schema.error(&item.at, text);
        }
        return None;
    };
    let before = schema.errors.len();
    let draft = fields(schema, map);
    match (draft.stream, draft.service) {
        (Some(_), Some(service)) => {
            let text = "an export is a \"stream\" or a \"service\", not both";
            schema.error(service.at, text.to_owned());
            None
        }
        (None, None) => {
            if schema.errors.len() == before && !schema.parsed.partial {
                let text = "this export has neither a \"stream\" nor a \"service\"";
                schema.error(&item.at, text.to_owned());
            }
            None
        }
        (Some(stream), None) => {
            if let Some(field) = draft.only_services {
                schema.error(
                    field.at,
                    format!("only a service can have {:?}", field.name),
                );
            }
            build(schema, draft, stream, &item.at)
        }
        (None, Some(service)) => build(schema, draft, service, &item.at),
    }
}

fn fields<'v>(schema: &mut Schema<'_>, map: &'v Map) -> Draft<'v> {
    let mut draft = Draft::default();
    for field in map.iter().map(Field::of) {
        let key = field.key();
        match &*key {
            "stream" => draft.stream = schema.text(field).map(|_| field),
            "service" => draft.service = schema.text(field).map(|_| field),
            "accounts" => draft.accounts = accounts(schema, field),
            "response" | "response_type" => {
                if let Some((first, _)) = draft.response {
                    twice(schema, field, first);
                }
                draft.response = response(schema, field).map(|response| (field, response));
            }
            "threshold" | "response_threshold" | "response_max_time" | "response_time" => {
                if let Some((first, _)) = draft.threshold {
                    twice(schema, field, first);
                }
                draft.threshold = threshold_ms(schema, field).map(|ms| (field, ms));
            }
            "latency" => draft.latency = latency(schema, field),
            "account_token_position" => {
                let position = schema.integer_within(field, 0, u32::MAX.into());
                let position = position.and_then(|position| u32::try_from(position).ok());
                draft.account_token_position = position.map(|position| (field, position));
            }
            "allow_trace" => draft.allow_trace = schema.boolean(field).unwrap_or_default(),
            _ => schema.unknown(field, FIELDS),
        }
        let for_both = ["stream", "service", "accounts", "account_token_position"];
        if FIELDS.contains(&&*key) && !for_both.contains(&&*key) {
            draft.only_services.get_or_insert(field);
        }
    }
    draft
}

fn build(
    schema: &mut Schema<'_>,
    draft: Draft<'_>,
    subject: Field<'_>,
    at: &Position,
) -> Option<Export> {
    let text = schema.text(subject)?;
    if !is_pattern(text.as_bytes()) {
        schema.not_a_subject(subject.at, text);
        return None;
    }
    let kind = match draft.service {
        None => ExportKind::Stream,
        Some(_) => ExportKind::Service(Service {
            response: draft
                .response
                .map_or_else(ResponseType::default, |(_, response)| response),
            threshold_ms: draft.threshold.map(|(_, ms)| ms).filter(|ms| *ms != 0),
            latency: draft.latency,
        }),
    };
    let mut position = draft
        .account_token_position
        .filter(|(_, position)| *position != 0);
    if let Some((field, number)) = position
        && tokens(text.as_bytes()).nth(number as usize - 1) != Some(b"*")
    {
        let text =
            format!("token {number} of {text:?} must be \"*\", to stand for the importing account");
        schema.error(field.at, text);
        position = None;
    }
    Some(Export {
        subject: text.to_owned(),
        kind,
        accounts: draft.accounts,
        account_token_position: position.map(|(_, position)| position),
        allow_trace: draft.allow_trace,
        at: at.clone(),
    })
}

fn twice(schema: &mut Schema<'_>, field: Field<'_>, first: Field<'_>) {
    let text = format!("{:?} has been said already at {}", field.name, first.at);
    schema.error(field.at, text);
}

/// An array of names; an empty one is no restriction, as in the oracle.
fn accounts(schema: &mut Schema<'_>, field: Field<'_>) -> Option<Vec<(String, Position)>> {
    if let Kind::Text(_) = field.value.kind {
        schema.wrong(field, "an array of accounts");
        return None;
    }
    let names = schema.texts(field)?.into_iter();
    let names: Vec<_> = names
        .map(|(name, at)| (name.to_owned(), at.clone()))
        .collect();
    if names.is_empty() {
        let text = format!(
            "{:?} is empty, so that every account may import this",
            field.name
        );
        schema.hint(field.at, text);
    }
    Some(names).filter(|names| !names.is_empty())
}

fn response(schema: &mut Schema<'_>, field: Field<'_>) -> Option<ResponseType> {
    match schema.text(field)?.to_lowercase().as_str() {
        "single" | "singleton" => Some(ResponseType::Singleton),
        "stream" => Some(ResponseType::Stream),
        "chunk" | "chunked" => Some(ResponseType::Chunked),
        _ => {
            let text = format!("{:?} must be single, stream or chunked", field.name);
            schema.error(field.at, text);
            None
        }
    }
}

/// A duration with its unit; a plain number is refused here.
fn threshold_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    let Kind::Text(text) = &field.value.kind else {
        schema.wrong(field, "a duration such as \"10s\"");
        return None;
    };
    let Some(nanoseconds) = duration::parse(text) else {
        schema.not_a_duration(field);
        return None;
    };
    let ms = u64::try_from(duration::to_ms(nanoseconds)).ok();
    if ms.is_none() {
        schema.error(field.at, format!("{:?} must not be negative", field.name));
    }
    ms
}

/// A subject, or a map of it and the sampling. Its names are compared as they are written, as in the oracle.
fn latency(schema: &mut Schema<'_>, field: Field<'_>) -> Option<Latency> {
    let mut subject = None;
    let mut sampling = Sampling::Percent(100);
    match &field.value.kind {
        Kind::Text(text) => subject = Some((&**text, &field.value.at)),
        Kind::Map(map) => {
            let before = schema.errors.len();
            for field in map.iter().map(Field::of) {
                match field.name {
                    "subject" => subject = schema.text(field).map(|text| (text, field.at)),
                    "sampling" => sampling = self::sampling(schema, field).unwrap_or(sampling),
                    _ => schema.unknown(field, &["sampling", "subject"]),
                }
            }
            if subject.is_none() && schema.errors.len() == before && !schema.parsed.partial {
                schema.error(field.at, format!("{:?} needs a \"subject\"", field.name));
            }
        }
        _ => schema.wrong(field, "a subject or a map { … }"),
    }
    let (subject, at) = subject?;
    if !is_pattern(subject.as_bytes()) || has_wildcard(subject.as_bytes()) {
        schema.error(
            at,
            format!("{subject:?} is not a subject that can be published to"),
        );
        return None;
    }
    let at = at.clone();
    let subject = subject.to_owned();
    Some(Latency {
        sampling,
        subject,
        at,
    })
}

/// A percentage from 1, with or without its sign, or `headers`.
fn sampling(schema: &mut Schema<'_>, field: Field<'_>) -> Option<Sampling> {
    let percent = match &field.value.kind {
        Kind::Text(text) if text.trim().to_lowercase() == "headers" => {
            return Some(Sampling::Headers);
        }
        Kind::Text(text) => text.strip_suffix('%').unwrap_or(text).parse().ok(),
        Kind::Integer(number) => Some(*number),
        _ => None,
    };
    let percent = percent.filter(|percent| (1..=100).contains(percent));
    let percent = percent.and_then(|percent| u8::try_from(percent).ok());
    if percent.is_none() {
        schema.wrong(field, "a percentage from 1 to 100, or \"headers\"");
    }
    percent.map(Sampling::Percent)
}

/// Measurements must not be taken for requests to this service or one above it, nor of answers that have no end.
fn check_latency(schema: &mut Schema<'_>, export: &Export, before: &[Export]) {
    let ExportKind::Service(Service {
        latency: Some(latency),
        response,
        ..
    }) = &export.kind
    else {
        return;
    };
    if *response != ResponseType::Singleton {
        let text = "only a service with a single response can have \"latency\"";
        schema.error(&latency.at, text.to_owned());
    }
    let subject = latency.subject.as_bytes();
    let takes_it =
        |export: &Export| is_service(export) && is_subset(subject, export.subject.as_bytes());
    if before.iter().chain([export]).any(takes_it) {
        let text = format!(
            "{:?} is itself a subject of an exported service",
            latency.subject
        );
        schema.error(&latency.at, text);
    }
}

/// Exports of one subject are one: open to the accounts of all of them, if one of them is private. It stands where
/// the last one stood.
fn merge(exports: &mut Vec<Export>, new: Export) {
    let same = |old: &Export| old.subject == new.subject && is_service(old) == is_service(&new);
    let at = exports.iter().position(same).expect("seen before");
    let mut old = exports.remove(at);
    if new.accounts.is_some() || new.account_token_position.is_some() {
        old.accounts = match (old.accounts, new.accounts) {
            (Some(old), Some(new)) => Some(old.into_iter().chain(new).collect()),
            (old, new) => old.or(new),
        };
        old.account_token_position = new.account_token_position;
    }
    if let (ExportKind::Service(old), ExportKind::Service(new)) = (&mut old.kind, new.kind) {
        if new.response != ResponseType::Singleton {
            old.response = new.response;
        }
        old.threshold_ms = new.threshold_ms;
        old.latency = new.latency.or(old.latency.take());
    }
    old.allow_trace |= new.allow_trace;
    exports.push(old);
}

fn is_service(export: &Export) -> bool {
    matches!(export.kind, ExportKind::Service(_))
}

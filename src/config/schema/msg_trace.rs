//! Owns `msg_trace` of an account: where traces go that no message names a place for, and how many of them.

use super::{Field, Schema};
use crate::config::TraceDestination;
use crate::config::value::Kind;
use crate::subject::{has_wildcard, is_pattern};

const PERCENT_ALL: u8 = 100;

/// A subject, or a map of it and the sampling. Sampling alone is for nothing.
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) -> Option<TraceDestination> {
    let (mut subject, mut percent) = (None, None);
    match &field.value.kind {
        Kind::Text(_) => subject = destination(schema, field),
        Kind::Map(map) => {
            for field in map.iter().map(Field::of) {
                match &*field.key() {
                    "dest" => subject = destination(schema, field),
                    "sampling" => percent = sampling(schema, field),
                    _ => schema.unknown(field, &["dest", "sampling"]),
                }
            }
        }
        _ => schema.wrong(field, "a subject or a map { … }"),
    }
    if subject.is_none() && percent.is_some() && !schema.parsed.partial {
        let text = format!(
            "{:?} has no \"dest\", so that nothing is sampled",
            field.name
        );
        schema.warning(field.at, text);
    }
    Some(TraceDestination {
        subject: subject?,
        percent: percent.unwrap_or(PERCENT_ALL),
    })
}

fn destination(schema: &mut Schema<'_>, field: Field<'_>) -> Option<String> {
    let subject = schema.text(field)?;
    if !is_pattern(subject.as_bytes()) || has_wildcard(subject.as_bytes()) {
        let text = format!("{subject:?} is not a subject that can be published to");
        schema.error(&field.value.at, text);
        return None;
    }
    Some(subject.to_owned())
}

fn sampling(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u8> {
    let number = match &field.value.kind {
        Kind::Integer(number) => Some(*number),
        Kind::Text(text) => text.strip_suffix('%').unwrap_or(text).parse().ok(),
        Kind::Bad => return None,
        _ => None,
    };
    let percent = number.filter(|number| (1..=i64::from(PERCENT_ALL)).contains(number));
    if percent.is_none() {
        schema.wrong(field, "a percentage from 1 to 100");
    }
    percent.map(|percent| percent as u8)
}

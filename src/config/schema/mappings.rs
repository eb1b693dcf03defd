//! Owns `mappings`, of accounts and of the outermost level: sources, destinations and their weights.
//! Never chooses a destination.

use std::collections::HashMap;

use super::{Field, Schema};
use crate::config::value::{Kind, Map, Value};
use crate::config::{Destination, Mapping};
use crate::subject::{Transform, is_pattern};

const FIELDS: &[&str] = &["cluster", "dest", "destination", "weight"];

/// Mappings of the global account.
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) {
    let mut mappings = std::mem::take(&mut schema.config.mappings);
    read_into(schema, field, &mut mappings);
    schema.config.mappings = mappings;
}

/// Adds to `mappings`; one with the same source is replaced where it stands.
pub(super) fn read_into(schema: &mut Schema<'_>, field: Field<'_>, mappings: &mut Vec<Mapping>) {
    let known = mappings.iter().enumerate();
    let mut places: HashMap<_, _> = known
        .map(|(at, known)| (known.source.clone(), at))
        .collect();
    for field in schema
        .map(field)
        .into_iter()
        .flat_map(Map::iter)
        .map(Field::of)
    {
        if !is_pattern(field.name.as_bytes()) {
            schema.not_a_subject(field.at, field.name);
            continue;
        }
        let mapping = Mapping {
            source: field.name.to_owned(),
            destinations: destinations(schema, field),
            at: field.at.clone(),
        };
        check(schema, &mapping);
        match places.insert(mapping.source.clone(), mappings.len()) {
            Some(at) => mappings[at] = mapping,
            None => mappings.push(mapping),
        }
    }
}

/// A subject that takes all, one destination with its weight, or several.
fn destinations(schema: &mut Schema<'_>, field: Field<'_>) -> Vec<Destination> {
    match &field.value.kind {
        Kind::Text(subject) => vec![Destination {
            subject: subject.to_string(),
            weight: 100,
            cluster: None,
            at: field.value.at.clone(),
        }],
        Kind::Array(array) => {
            let items = array.items.iter();
            items.filter_map(|item| destination(schema, item)).collect()
        }
        Kind::Map(_) => destination(schema, field.value).into_iter().collect(),
        _ => {
            schema.wrong(field, "a subject, a destination { … } or an array of them");
            Vec::new()
        }
    }
}

fn destination(schema: &mut Schema<'_>, item: &Value) -> Option<Destination> {
    let Kind::Map(map) = &item.kind else {
        if !matches!(item.kind, Kind::Bad) {
            let text = format!(
                "a destination must be a map {{ … }}, not {}",
                item.kind.noun()
            );
            schema.error(&item.at, text);
        }
        return None;
    };
    let (mut subject, mut weight, mut cluster) = (None, None, None);
    let before = schema.errors.len();
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "dest" | "destination" => subject = schema.text(field).map(|text| (text, field)),
            "weight" => weight = self::weight(schema, field),
            "cluster" => cluster = schema.text(field).filter(|name| !name.is_empty()),
            _ => schema.unknown(field, FIELDS),
        }
    }
    let sound = schema.errors.len() == before && !schema.parsed.partial;
    for (name, missing) in [("dest", subject.is_none()), ("weight", weight.is_none())] {
        if missing && sound {
            schema.error(&item.at, format!("this destination has no {name:?}"));
        }
    }
    let (subject, field) = subject?;
    Some(Destination {
        subject: subject.to_owned(),
        weight: weight?,
        cluster: cluster.map(str::to_owned),
        at: field.at.clone(),
    })
}

/// A percentage, with or without its sign.
fn weight(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u8> {
    let number = match &field.value.kind {
        Kind::Integer(number) => Some(*number),
        Kind::Text(text) => text.strip_suffix('%').unwrap_or(text).parse().ok(),
        Kind::Bad => return None,
        _ => None,
    };
    let weight = number.and_then(|number| u8::try_from(number).ok());
    let weight = weight.filter(|weight| *weight <= 100);
    if weight.is_none() {
        schema.wrong(field, "a percentage from 0 to 100");
    }
    weight
}

/// Destinations that cannot be, that are there twice, and weights of one cluster that are more than all.
fn check(schema: &mut Schema<'_>, mapping: &Mapping) {
    let mut sums: Vec<(Option<&str>, u32)> = Vec::new();
    for (at, destination) in mapping.destinations.iter().enumerate() {
        if let Err(error) = Transform::new(&mapping.source, &destination.subject) {
            schema.error(
                &destination.at,
                format!("{:?} cannot be mapped: {error}", mapping.source),
            );
        }
        let before = &mapping.destinations[..at];
        if let Some(first) = before
            .iter()
            .find(|other| other.subject == destination.subject)
        {
            let subject = &destination.subject;
            let text = format!(
                "the destination {subject:?} is there twice, first at {}",
                first.at
            );
            schema.error(&destination.at, text);
        }
        let cluster = destination.cluster.as_deref();
        let known = sums.iter().position(|(of, _)| *of == cluster);
        let sum = known.unwrap_or_else(|| {
            sums.push((cluster, 0));
            sums.len() - 1
        });
        let was = sums[sum].1;
        sums[sum].1 += u32::from(destination.weight);
        if was <= 100 && sums[sum].1 > 100 {
            let text = format!(
                "the weights of {:?} are more than 100 together",
                mapping.source
            );
            schema.error(&destination.at, text);
        }
    }
}

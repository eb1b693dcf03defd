//! Owns the setting `resolver`: memory, a URL, or a directory. Never opens any of them.

use super::{Field, Schema};
use crate::config::value::{Kind, Map};
use crate::config::{Delete, DirectoryKind, DirectoryResolver, ResolverKind, duration};

const FIELDS: &[&str] = &[
    "allow_delete",
    "dir",
    "hard_delete",
    "interval",
    "limit",
    "timeout",
    "ttl",
    "type",
];

const EXPECTED: &str =
    "MEMORY, URL(\"https://…\") or a map with \"type\" (full, cache) and \"dir\"";

/// JWTs in a cache, unless `limit` says otherwise.
const CACHE_JWTS_MAX: u64 = 1000;
const INTERVAL_MS: u64 = 60_000;
const TIMEOUT_MS: u64 = 1_900;

/// Reads the setting.
pub(super) fn read(schema: &mut Schema<'_>, field: Field<'_>) {
    let kind = match &field.value.kind {
        Kind::Text(text) => short(schema, field, text),
        Kind::Map(map) => directory(schema, field, map),
        _ => {
            schema.wrong(field, EXPECTED);
            None
        }
    };
    schema.config.operators.resolver = kind.map(|kind| (kind, field.at.clone()));
}

/// Whether `url` is one that accounts can be asked for at.
pub(super) fn is_url(url: &str) -> bool {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']))
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
        && escapes_are_whole(url)
}

fn escapes_are_whole(url: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let mut parts = url.as_bytes().split(|byte| *byte == b'%').skip(1);
    parts.all(|part| is_hex(part.first()) && is_hex(part.get(1)))
}

/// `MEMORY`, `MEM`, `URL(…)`.
fn short(schema: &mut Schema<'_>, field: Field<'_>, text: &str) -> Option<ResolverKind> {
    let upper = text.trim().to_ascii_uppercase();
    if matches!(&*upper, "MEM" | "MEMORY") {
        return Some(ResolverKind::Memory);
    }
    let inner = upper
        .starts_with("URL")
        .then(|| text.trim()[3..].trim())
        .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
    let Some(inner) = inner else {
        schema.error(field.at, format!("{:?} must be {EXPECTED}", field.name));
        return None;
    };
    let url = inner.trim().trim_matches('"');
    if !is_url(url) {
        let text = format!(
            "{:?} must hold a URL that begins with http:// or https://",
            field.name
        );
        schema.error(field.at, text);
        return None;
    }
    Some(ResolverKind::Url(url.to_owned()))
}

/// The settings of a directory as they are read; what was written is not `None`.
#[derive(Default)]
struct Written<'v> {
    kind: Option<&'v str>,
    dir: Option<String>,
    allow_delete: bool,
    hard_delete: Option<bool>,
    limit: Option<i64>,
    interval_ms: Option<u64>,
    timeout_ms: Option<u64>,
    ttl_ms: Option<u64>,
}

fn directory(schema: &mut Schema<'_>, section: Field<'_>, map: &Map) -> Option<ResolverKind> {
    let before = schema.errors.len();
    let mut written = Written::default();
    for field in map.iter().map(Field::of) {
        match &*field.key() {
            "type" => written.kind = schema.text(field),
            "dir" => written.dir = schema.text(field).map(str::to_owned),
            "allow_delete" => written.allow_delete = schema.boolean(field).unwrap_or_default(),
            "hard_delete" => written.hard_delete = schema.boolean(field),
            "limit" => written.limit = schema.integer(field),
            "interval" => written.interval_ms = time_ms(schema, field),
            "timeout" => written.timeout_ms = positive_ms(schema, field),
            "ttl" => written.ttl_ms = time_ms(schema, field),
            _ => schema.unknown(field, FIELDS),
        }
    }
    let kind = match written.kind.map(str::to_ascii_uppercase).as_deref() {
        Some("FULL") => DirectoryKind::Full,
        Some("CACHE") => DirectoryKind::Cache,
        Some("MEM" | "MEMORY") => {
            memory_needs_nothing(schema, map);
            return Some(ResolverKind::Memory);
        }
        _ => {
            if schema.errors.len() == before {
                let text = "a resolver's \"type\" must be \"full\", \"cache\" or \"memory\"";
                schema.error(section.at, text.to_owned());
            }
            return None;
        }
    };
    check_together(schema, section, map, kind, &written);
    (schema.errors.len() == before).then(|| ResolverKind::Directory(settings(kind, written)))
}

fn settings(kind: DirectoryKind, written: Written<'_>) -> DirectoryResolver {
    let limit = written.limit.filter(|limit| *limit > 0);
    let default = (kind == DirectoryKind::Cache).then_some(CACHE_JWTS_MAX);
    let of_full = match (written.allow_delete, written.hard_delete) {
        (false, _) => Delete::Refused,
        (true, Some(true)) => Delete::Removes,
        (true, _) => Delete::Renames,
    };
    let or = |ms: Option<u64>, default| ms.filter(|ms| *ms != 0).unwrap_or(default);
    DirectoryResolver {
        kind,
        dir: written.dir.unwrap_or_default().into(),
        jwts_max: limit.map(i64::unsigned_abs).or(default),
        delete: match kind {
            DirectoryKind::Full => of_full,
            DirectoryKind::Cache => Delete::Removes,
        },
        interval_ms: or(written.interval_ms, INTERVAL_MS),
        timeout_ms: or(written.timeout_ms, TIMEOUT_MS),
        ttl_ms: written.ttl_ms.filter(|ms| *ms != 0),
    }
}

/// What one kind of directory takes and the other does not.
fn check_together(
    schema: &mut Schema<'_>,
    section: Field<'_>,
    map: &Map,
    kind: DirectoryKind,
    written: &Written<'_>,
) {
    let dir_at = at(map, "dir");
    if written.dir.as_deref().is_some_and(str::is_empty) || dir_at.is_none() {
        let at = dir_at.unwrap_or(section.at);
        let text = "a resolver of this type needs \"dir\", its directory";
        schema.error(at, text.to_owned());
    }
    let not_of =
        |name: &str, kind: &str| format!("{name:?} is not for a resolver of type {kind:?}");
    let mut refuse = |name: &str, text: String| {
        let at = at(map, name).unwrap_or(section.at);
        schema.error(at, text);
    };
    match kind {
        DirectoryKind::Cache => {
            if written.interval_ms.is_some_and(|ms| ms != 0) {
                refuse("interval", not_of("interval", "cache"));
            }
            if written.allow_delete {
                refuse("allow_delete", not_of("allow_delete", "cache"));
            }
            if written.hard_delete.is_some() {
                refuse("hard_delete", not_of("hard_delete", "cache"));
            }
        }
        DirectoryKind::Full => {
            if written.ttl_ms.is_some_and(|ms| ms != 0) {
                refuse("ttl", not_of("ttl", "full"));
            }
            if written.hard_delete.is_some() && !written.allow_delete {
                let text = "\"hard_delete\" has no effect without \"allow_delete: true\"";
                refuse("hard_delete", text.to_owned());
            }
        }
    }
}

/// The oracle takes any field beside `type: memory`.
fn memory_needs_nothing(schema: &mut Schema<'_>, map: &Map) {
    for field in map.iter().map(Field::of).filter(|field| !field.used) {
        if field.key() != "type" {
            let text = format!("{:?} has no effect on a resolver in memory", field.name);
            schema.hint(field.at, text);
        }
    }
}

fn at<'v>(map: &'v Map, name: &str) -> Option<&'v crate::config::Position> {
    let mut fields = map.iter().map(Field::of);
    fields
        .find(|field| field.key() == name)
        .map(|field| field.at)
}

fn positive_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    let ms = time_ms(schema, field)?;
    if ms == 0 {
        schema.error(field.at, format!("{:?} must be more than 0", field.name));
    }
    Some(ms)
}

/// A duration with its unit: here a plain number is not taken.
fn time_ms(schema: &mut Schema<'_>, field: Field<'_>) -> Option<u64> {
    let Kind::Text(text) = &field.value.kind else {
        schema.wrong(field, "a duration such as \"10s\"");
        return None;
    };
    let Some(nanoseconds) = duration::parse(text) else {
        schema.not_a_duration(field);
        return None;
    };
    let ms = duration::to_ms(nanoseconds);
    if ms < 0 {
        schema.error(field.at, format!("{:?} must not be negative", field.name));
    }
    u64::try_from(ms).ok()
}

//! Times of day at which a user may be connected, and instants for log lines. Owns no clock: now is an argument. Time
//! zones are those of the program itself, not of the machine.

use std::sync::LazyLock;

use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::user::TimeRange;

/// The name of the machine's own zone.
const LOCAL: &str = "Local";

/// Whether one of the ranges holds now: until when, `None` where it does not. No range at all holds for ever. Of
/// several that hold, the one that ends last counts.
pub(super) enum Allowed {
    Always,
    Until(Timestamp),
    Never,
}

/// Looks at the ranges in the zone `locale`, or `local` where that is empty or says so. A range or zone that cannot be
/// read allows nothing.
pub(super) fn allowed(
    ranges: &[TimeRange],
    locale: &str,
    local: &TimeZone,
    now: Timestamp,
) -> Allowed {
    if ranges.is_empty() {
        return Allowed::Always;
    }
    let zone = match locale {
        "" | LOCAL => Some(local.clone()),
        name => zone(name),
    };
    let Some(zone) = zone else {
        return Allowed::Never;
    };
    let mut last = None;
    for range in ranges {
        let (Some(start), Some(end)) = (time_of_day(&range.start), time_of_day(&range.end)) else {
            return Allowed::Never;
        };
        last = last.max(range_until(start, end, &zone, now));
    }
    last.map_or(Allowed::Never, Allowed::Until)
}

/// `hh:mm:ss`; the hour may have one digit. Fractions of a second are read and count for nothing.
pub(super) fn time_of_day(text: &str) -> Option<Time> {
    let (whole, fraction) = match text.find(['.', ',']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    if fraction.is_some_and(|digits| digits.is_empty() || !is_digits(digits)) {
        return None;
    }
    let parts: Vec<&str> = whole.split(':').collect();
    let [hour, minute, second] = parts[..] else {
        return None;
    };
    if hour.is_empty() || hour.len() > 2 || minute.len() != 2 || second.len() != 2 {
        return None;
    }
    let number =
        |part: &str| -> Option<i8> { is_digits(part).then(|| part.parse().ok()).flatten() };
    Time::new(number(hour)?, number(minute)?, number(second)?, 0).ok()
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether there is such a zone.
pub(super) fn is_zone(name: &str) -> bool {
    matches!(name, "" | LOCAL) || zone(name).is_some()
}

/// A zone by its IANA name, as it is written there.
fn zone(name: &str) -> Option<TimeZone> {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let zone = ZONES.get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// An instant in seconds since 1970 for log lines.
pub fn instant(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{seconds} seconds since 1970"),
    }
}

/// When the range that holds now ends.
fn range_until(start: Time, end: Time, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let today = now.to_zoned(zone.clone()).date();
    let at = |date: jiff::civil::Date, time: Time| -> Option<Timestamp> {
        let zoned = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
        Some(zoned.timestamp())
    };
    let (from, until) = (at(today, start)?, at(today, end)?);
    if from < now && now < until {
        return Some(until);
    }
    if from <= until {
        return None;
    }
    if now < until {
        return Some(until);
    }
    let until = at(today.checked_add(1.day()).ok()?, end)?;
    (from < now && now < until).then_some(until)
}

/// So many seconds since 1970, as far as times go. The oracle counts from the year 1: what its count cannot hold lies before
/// all times.
pub(super) fn from_seconds(seconds: i64) -> Timestamp {
    const FROM_YEAR_1_TO_1970: i64 = 62_135_596_800;
    if seconds > i64::MAX - FROM_YEAR_1_TO_1970 {
        return Timestamp::MIN;
    }
    Timestamp::from_second(seconds).unwrap_or(match seconds {
        0.. => Timestamp::MAX,
        _ => Timestamp::MIN,
    })
}

/// What is left until then, milliseconds; 0 when it is past.
pub fn milliseconds_until(then: Timestamp, now: Timestamp) -> u64 {
    let left: SignedDuration = then.duration_since(now);
    u64::try_from(left.as_millis()).unwrap_or(0)
}

//! Owns durations as text: `1h30m`, `2.5s`, `-5ms`. Never knows what they are for.

/// Nanoseconds of a duration in the oracle's notation: a sign, then numbers with a unit each (`ns`, `us`,
/// `µs`, `ms`, `s`, `m`, `h`), or a plain `0`. `None` if it is none, or beyond 292 years.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    loop {
        total += part(&mut rest)?;
        if total > i64::MAX as i128 + 1 {
            return None;
        }
        if rest.is_empty() {
            break;
        }
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Milliseconds of a duration, rounded away from zero, so that a short time is not none at all.
pub(super) fn to_ms(nanoseconds: i64) -> i64 {
    const MS: i64 = 1_000_000;
    let whole = nanoseconds / MS;
    if nanoseconds % MS == 0 {
        whole
    } else {
        whole + nanoseconds.signum()
    }
}

/// Milliseconds in the same notation, as the oracle writes them: `100ms`, `1.5s`, `1m30s`, `1h0m0s`.
pub fn shown(ms: u64) -> String {
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    if ms == 0 {
        return "0s".into();
    }
    if ms < SECOND {
        return format!("{ms}ms");
    }
    let (seconds, rest) = (ms % MINUTE / SECOND, ms % SECOND);
    let fraction = match rest {
        0 => String::new(),
        rest => format!(".{rest:03}").trim_end_matches('0').to_owned(),
    };
    let minutes = ms % HOUR / MINUTE;
    match ms {
        HOUR.. => format!("{}h{minutes}m{seconds}{fraction}s", ms / HOUR),
        MINUTE.. => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{seconds}{fraction}s"),
    }
}

/// One number with its unit, taken off the front.
fn part(rest: &mut &str) -> Option<i128> {
    let (whole, after) = digits(rest);
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = after
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(after.len());
    let unit = unit(&after[..end])?;
    *rest = &after[end..];
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    Some(whole as i128 * unit + share(fraction, unit))
}

/// `0.fraction` of a unit; digits past the 18th cannot matter.
fn share(fraction: &str, unit: i128) -> i128 {
    let fraction = &fraction[..fraction.len().min(18)];
    let number: i128 = fraction.parse().unwrap_or(0);
    number * unit / 10_i128.pow(fraction.len() as u32)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

fn unit(name: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_oracle_writes_them() {
        for (ms, expected) in [
            (0, "0s"),
            (100, "100ms"),
            (1_000, "1s"),
            (1_050, "1.05s"),
            (10_000, "10s"),
            (90_500, "1m30.5s"),
            (120_000, "2m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
        ] {
            assert_eq!(shown(ms), expected, "{ms}");
        }
    }

    #[test]
    fn as_the_oracle_reads_them() {
        let ms = 1_000_000;
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1h30m", Some(5_400_000 * ms)),
            ("2.5s", Some(2500 * ms)),
            (".5s", Some(500 * ms)),
            ("1.s", Some(1000 * ms)),
            ("-5ms", Some(-5 * ms)),
            ("+5ms", Some(5 * ms)),
            ("3us", Some(3000)),
            ("3µs", Some(3000)),
            ("3μs", Some(3000)),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("-9223372036854775808ns", None),
            ("9223372036854775808ns", None),
            ("2562047h", Some(2_562_047 * 3600 * 1000 * ms)),
            ("2562048h", None),
            ("", None),
            ("5", None),
            (".s", None),
            ("5 s", None),
            ("5d", None),
            ("1h-5m", None),
            ("--5s", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn short_times_are_not_none() {
        assert_eq!(
            [to_ms(1), to_ms(-1), to_ms(0), to_ms(1_000_001)],
            [1, -1, 0, 2]
        );
    }
}

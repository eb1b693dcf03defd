//! The operators that the node trusts, in the log's first lines. Decides nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::operators::OperatorMode;
use crate::auth::violation::quoted;
use crate::config::Config;

/// Says whom the node trusts, in the oracle's words; nothing where keys alone are trusted.
pub fn announce(config: &Config) {
    let Ok(Some(mode)) = OperatorMode::compile(config) else {
        return;
    };
    if mode.operators.is_empty() {
        return;
    }
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    log::info!("Trusted Operators");
    for operator in &mode.operators {
        let claims = &operator.common;
        let expires = match claims.expires {
            0 => "Never".to_owned(),
            at => date(at, &zone),
        };
        log::info!("  System  : {}", quoted(claims.audience.as_bytes()));
        log::info!("  Operator: {}", quoted(claims.name.as_bytes()));
        log::info!("  Issued  : {}", date(claims.issued_at, &zone));
        log::info!("  Expires : {expires}");
    }
    if mode.system_account.is_none() {
        log::warn!("Trusted Operators should utilize a System Account");
    }
}

/// Seconds since 1970 as Go writes a time.
fn date(seconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(seconds) {
        Ok(at) => {
            let at = at.to_zoned(zone.clone());
            at.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
        }
        Err(_) => seconds.to_string(),
    }
}

//! When a client must have said CONNECT, when it is asked for a PONG, when it counts as gone. Owns the times;
//! the loop calls when they have come.

use jiff::Timestamp;

use crate::auth::jwt;
use crate::broker::Broker;
use crate::broker::effect::CloseReason;
use crate::config::duration;

use super::client::{Client, Phase};
use super::{Context, Flow};

/// The first PING comes early, to measure the round trip: after this long at most, as the oracle.
const FIRST_PING_MS: u64 = 2_000;

/// The round trip is measured anew after this long.
const ROUND_TRIP_AGE_MAX_MS: u64 = 60 * 60 * 1000;

/// Times of one client, in the loop's milliseconds, where not said otherwise.
#[derive(Debug)]
pub struct Heartbeat {
    started_ms: u64,
    auth_due_ms: Option<u64>,
    /// The credentials count until then.
    expires_ms: Option<u64>,
    ping_due_ms: u64,
    heard_ms: u64,
    pings_out: u32,
    asked_ns: Option<u64>,
    started_ns: u64,
    round_trip_ns: u64,
}

impl Heartbeat {
    /// A client that comes now; a stranger must authenticate in time.
    pub fn new(context: &Context, stranger: bool) -> Self {
        Heartbeat {
            started_ms: context.now_ms,
            auth_due_ms: stranger.then_some(context.now_ms + context.auth_timeout_ms),
            expires_ms: None,
            ping_due_ms: context.now_ms + context.limits.ping_interval_ms,
            heard_ms: context.now_ms,
            pings_out: 0,
            asked_ns: None,
            started_ns: context.now_ns,
            round_trip_ns: 0,
        }
    }

    /// Of a connection that is never asked whether it is there.
    pub fn never(context: &Context) -> Self {
        Heartbeat {
            ping_due_ms: u64::MAX,
            ..Heartbeat::new(context, false)
        }
    }

    /// A message, SUB, UNSUB or PING came: then nobody need ask whether the client is there. Its PONG does not count, or
    /// an idle client would be asked at every other interval only.
    #[inline]
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// It must authenticate in time, from now on.
    pub fn hurry(&mut self, context: &Context) {
        self.auth_due_ms = Some(context.now_ms + context.auth_timeout_ms);
    }

    /// CONNECT came: no hurry any more, and the round trip is measured soon. `jitter` is below 1,000 (thousandths).
    pub fn connected(&mut self, context: &Context, jitter: u64) {
        self.round_trip_ns = (context.now_ns - self.started_ns).max(1);
        self.goes_on(context, jitter);
    }

    /// Something else than CONNECT came: no hurry either.
    pub fn goes_on(&mut self, context: &Context, jitter: u64) {
        self.auth_due_ms = None;
        let wait_ms = context.limits.ping_interval_ms.min(FIRST_PING_MS);
        self.ping_due_ms = context.now_ms + wait_ms + wait_ms / 5 * jitter / 1_000;
    }

    /// The credentials count until this time.
    pub fn expires(&mut self, context: &Context, at: Option<Timestamp>) {
        let since_start = |at: Timestamp| at.as_millisecond() - context.start_unix_ms;
        self.expires_ms = at.map(|at| since_start(at).max(0) as u64);
    }

    /// PONG came.
    pub fn pong(&mut self, now_ns: u64) {
        self.pings_out = 0;
        if let Some(asked_ns) = self.asked_ns {
            self.round_trip_ns = (now_ns - asked_ns).max(1);
        }
    }

    /// When the client came.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// The round trip as far as it is known, ns: from turn to turn of the loop. 0 before CONNECT.
    pub fn round_trip_ns(&self) -> u64 {
        self.round_trip_ns
    }

    /// When to call [`Client::on_time`] next.
    pub fn due_ms(&self) -> u64 {
        let least = |due: u64, other: Option<u64>| other.map_or(due, |other| due.min(other));
        least(least(self.ping_due_ms, self.auth_due_ms), self.expires_ms)
    }

    fn needs_round_trip(&self, now_ms: u64) -> bool {
        let is_old = |asked: u64| now_ms - asked / 1_000_000 > ROUND_TRIP_AGE_MAX_MS;
        self.round_trip_ns == 0 || self.asked_ns.is_none_or(is_old)
    }
}

impl Client {
    /// When something is due at the latest known time.
    pub fn due_ms(&self) -> u64 {
        self.heartbeat.due_ms()
    }

    /// Its time has come.
    pub fn on_time(&mut self, context: &Context, broker: &mut Broker) -> Flow {
        let now_ms = context.now_ms;
        if self.heartbeat.auth_due_ms.is_some_and(|due| due <= now_ms)
            && self.phase != Phase::Member
        {
            log::debug!("{} - Authentication Timeout", self.label());
            self.say_error(broker, "Authentication Timeout");
            return Flow::Close(CloseReason::AuthenticationTimeout);
        }
        if self.heartbeat.expires_ms.is_some_and(|due| due <= now_ms) {
            self.say_error(broker, jwt::EXPIRED_TEXT);
            return Flow::Close(CloseReason::AuthenticationExpired);
        }
        if self.heartbeat.ping_due_ms > now_ms {
            return Flow::Continue;
        }
        if matches!(self.phase, Phase::Verifying | Phase::Asking) {
            // The verdict is the first thing said after CONNECT: clients take anything else for a welcome.
            let wait_ms = context.limits.ping_interval_ms.clamp(1, FIRST_PING_MS);
            self.heartbeat.ping_due_ms = now_ms + wait_ms;
            return Flow::Continue;
        }
        self.heartbeat.ping_due_ms = now_ms + context.limits.ping_interval_ms.max(1);
        log::debug!("{} - Client Ping Timer", self.label());
        let heard_ago_ms = now_ms - self.heartbeat.heard_ms;
        let quiet = heard_ago_ms >= context.limits.ping_interval_ms;
        if !quiet && !self.heartbeat.needs_round_trip(now_ms) {
            log::debug!(
                "{} - Delaying PING due to remote client data or ping {} ago",
                self.label(),
                duration::shown(heard_ago_ms.saturating_add(500) / 1_000 * 1_000)
            );
            return Flow::Continue;
        }
        if self.heartbeat.pings_out + 1 > context.limits.pings_out_max {
            log::debug!("{} - Stale Client Connection - Closing", self.label());
            self.say_error(broker, "Stale Connection");
            return Flow::Close(CloseReason::StaleConnection);
        }
        self.heartbeat.pings_out += 1;
        self.heartbeat.asked_ns = Some(context.now_ns);
        broker.push(self.conn, b"PING\r\n");
        if context.trace {
            self.trace_said("PING");
        }
        Flow::Continue
    }
}

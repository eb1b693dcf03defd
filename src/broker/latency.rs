//! Measurements of exported services: which requests are measured, and what is told of each. Owns the rules of sampling
//! and the JSON; never delays a request.

use std::sync::Arc;

use serde::Serialize;

use crate::account::AccountId;
use crate::account::table::Latency;
use crate::config::Sampling;
use crate::proto::encode;

use super::Broker;
use super::answers::End;
use super::headers::{self, Headers};
use super::services::Responder;
use super::who::{Detail, Told, Who};

const KIND: &str = "io.nats.server.metric.v1.service_latency";

/// A request whose answer is measured.
#[derive(Debug)]
pub(super) struct Measured {
    latency: Arc<Latency>,
    /// Whose service.
    service: AccountId,
    /// Who asks.
    requestor: AccountId,
    who: Option<Arc<Who>>,
    detail: Detail,
    /// The headers that asked for it, if headers did.
    header: Option<Headers>,
    asked_ns: u64,
}

/// An event, with the oracle's keys in its order.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    id: String,
    timestamp: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    requestor: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responder: Option<Told<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'a Headers>,
    start: String,
    service: u64,
    system: u64,
    total: u64,
}

/// What became of a measured request.
struct Result<'a> {
    status: u16,
    description: Option<&'static str>,
    responder: Option<Told<'a>>,
    service_ns: u64,
    total_ns: u64,
}

impl<'a> Result<'a> {
    fn failed(status: u16, description: &'static str) -> Self {
        Result {
            status,
            description: Some(description),
            responder: None,
            service_ns: 0,
            total_ns: 0,
        }
    }
}

impl Broker {
    /// Begins to measure a request, if it is to be measured, and there is a system account, as in the oracle. `header` is
    /// its block of headers.
    pub(super) fn measure(
        &mut self,
        latency: &Arc<Latency>,
        service: AccountId,
        (requestor, who): (AccountId, Option<Arc<Who>>),
        share: bool,
        header: &[u8],
    ) -> Option<Box<Measured>> {
        self.table.system?;
        let by_chance = match latency.sampling {
            Sampling::Percent(percent) => self.random_below(100) < u32::from(percent),
            Sampling::Headers => false,
        };
        let header = match by_chance {
            true => None,
            false => Some(asking(&headers::canonical(header))?),
        };
        Some(Box::new(Measured {
            latency: latency.clone(),
            service,
            requestor,
            who,
            detail: if share { Detail::Full } else { Detail::Little },
            header,
            asked_ns: self.now_ns(),
        }))
    }

    /// The first answer has come.
    pub(super) fn tell_answered(&mut self, measured: &Measured, responder: &Responder) {
        let who = responder.who.as_deref();
        let took_ns = self.now_ns().saturating_sub(measured.asked_ns);
        let table = self.table.clone();
        let rtt_ns = who.map_or(0, |who| who.rtt_ns);
        let name = &table.account(responder.account).name;
        let result = Result {
            status: 200,
            description: None,
            responder: Some(Told::new(who, name, None, Detail::Full)),
            service_ns: took_ns.saturating_sub(rtt_ns),
            total_ns: took_ns + measured.rtt_ns(),
        };
        self.tell(measured, result);
    }

    /// A request without a reply cannot be answered.
    pub(super) fn tell_bad_request(&mut self, measured: &Measured) {
        self.tell(measured, Result::failed(400, "Bad Request"));
    }

    /// Tells of the requests that ended without an answer.
    pub(super) fn tell_failures(&mut self) {
        for (measured, end) in std::mem::take(&mut self.answers.failed) {
            let result = match end {
                End::Nobody => Result::failed(503, "Service Unavailable"),
                End::Unheard => Result::failed(408, "Request Timeout"),
                End::Late => Result::failed(504, "Service Timeout"),
                End::Done => continue,
            };
            self.tell(&measured, result);
        }
    }

    fn tell(&mut self, measured: &Measured, result: Result<'_>) {
        let table = self.table.clone();
        let requestor = &table.account(measured.requestor).name;
        let start_ns = i128::from(measured.asked_ns) - i128::from(measured.rtt_ns());
        let event = Event {
            r#type: KIND,
            id: self.event_id(),
            timestamp: self.rfc3339_now(),
            status: result.status,
            description: result.description,
            requestor: Told::new(measured.who.as_deref(), requestor, None, measured.detail),
            responder: result.responder,
            header: measured.header.as_ref(),
            start: self.rfc3339(start_ns),
            service: result.service_ns,
            // What the broker itself takes is not told apart.
            system: 0,
            total: result.total_ns,
        };
        let mut payload = Vec::new();
        encode::json(&event, &mut payload);
        let subject = &measured.latency.subject;
        self.events.add(measured.service, subject, payload);
    }
}

impl Measured {
    fn rtt_ns(&self) -> u64 {
        self.who.as_ref().map_or(0, |who| who.rtt_ns)
    }
}

/// The headers that ask for a measurement, with their company; names are in canonical form.
fn asking(all: &Headers) -> Option<Headers> {
    let first = |name: &str| all.get(name).and_then(|values| values.first());
    let only = |names: &[&str]| -> Headers {
        let named = names.iter().filter_map(|name| all.get_key_value(*name));
        named
            .map(|(name, values)| (name.clone(), values.clone()))
            .collect()
    };
    if let Some(id) = first("Uber-Trace-Id") {
        return uber_samples(id).then(|| {
            let company = |name: &str| name == "Uber-Trace-Id" || name.starts_with("Uberctx-");
            let found = all.iter().filter(|(name, _)| company(name));
            found
                .map(|(name, values)| (name.clone(), values.clone()))
                .collect()
        });
    }
    let sampled = first("X-B3-Sampled").map(String::as_str);
    if sampled == Some("0") {
        return None;
    }
    if sampled == Some("1") || all.contains_key("X-B3-Traceid") {
        let company = [
            "X-B3-Sampled",
            "X-B3-Traceid",
            "X-B3-Parentspanid",
            "X-B3-Spanid",
        ];
        return Some(only(&company));
    }
    if let Some(b3) = first("B3") {
        let parts: Vec<&str> = b3.split('-').collect();
        let denied = parts.get(2) == Some(&"0") || parts == ["0"];
        return (!denied).then(|| only(&["B3"]));
    }
    let sampled = first("Traceparent").is_some_and(|value| traceparent_samples(value));
    sampled.then(|| only(&["Traceparent", "Tracestate"]))
}

/// Four parts, the last one or two hexadecimal digits with the lowest bit set.
fn uber_samples(id: &str) -> bool {
    let parts: Vec<&str> = id.split(':').collect();
    let flags = match parts[..] {
        [_, _, _, flags] if matches!(flags.len(), 1 | 2) => flags,
        _ => return false,
    };
    is_odd_hex(flags)
}

/// Four parts, the last two hexadecimal digits with the lowest bit set; more than 127 is not taken, as in the oracle.
pub(super) fn traceparent_samples(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    match parts[..] {
        [_, _, _, flags] => flags.len() == 2 && flags.as_bytes()[0] < b'8' && is_odd_hex(flags),
        _ => false,
    }
}

fn is_odd_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && u8::from_str_radix(digits, 16).is_ok_and(|flags| flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(lines: &str, expected: Expect) {
        let block = format!("NATS/1.0\r\n{lines}\r\n\r\n");
        let asking = asking(&headers::canonical(block.as_bytes()));
        let shown = asking.map_or("no".into(), |headers| format!("{headers:?}"));
        expected.assert_eq(&shown);
    }

    #[test]
    fn headers_ask() {
        check("A: b", expect!["no"]);
        check(
            "x-b3-sampled: 1\r\nA: b",
            expect![[r#"{"X-B3-Sampled": ["1"]}"#]],
        );
        check("X-B3-Sampled: 0\r\nB3: 1", expect!["no"]);
        check(
            "X-B3-TraceId: 80\r\nX-B3-SpanId: e4",
            expect![[r#"{"X-B3-Spanid": ["e4"], "X-B3-Traceid": ["80"]}"#]],
        );
        check("b3: 80-e4-0", expect!["no"]);
        check("b3: 0", expect!["no"]);
        check("b3: 80-e4", expect![[r#"{"B3": ["80-e4"]}"#]]);
        check(
            "uber-trace-id: 1:2:3:1\r\nuberctx-a: b\r\nC: d",
            expect![[r#"{"Uber-Trace-Id": ["1:2:3:1"], "Uberctx-A": ["b"]}"#]],
        );
        check("Uber-Trace-Id: 1:2:3:2\r\nB3: 1", expect!["no"]);
        check(
            "traceparent: 00-1-2-01\r\ntracestate: x=y",
            expect![[r#"{"Traceparent": ["00-1-2-01"], "Tracestate": ["x=y"]}"#]],
        );
        check("traceparent: 00-1-2-00", expect!["no"]);
        check("traceparent: 00-1-2-81", expect!["no"]);
    }
}

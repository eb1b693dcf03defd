//! Publishes as a session takes them: checks the line, gathers consecutive messages on one subject into a
//! run, and hands it to the broker.

use crate::auth::permission::reply_is_reserved;
use crate::auth::violation;
use crate::broker::Broker;
use crate::broker::effect::CloseReason;
use crate::broker::publish::Refusal;
use crate::broker::run::{Message, Run};
use crate::proto::parser::{self, Fault, PublishLine};

use crate::subject;

use super::client::{Client, Progress};
use super::{Context, Flow, Port};

impl Client {
    /// Takes the publish at the start of `input` and those behind it on the same subject. Where the next
    /// publish's line was read on the way, `next` has it.
    #[inline]
    pub(super) fn publish(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        input: &[u8],
        line: PublishLine,
        next: &mut Option<PublishLine>,
    ) -> Progress {
        if let Some(flow) = self.check_line(context, broker, &line) {
            return Progress {
                used: 0,
                flow,
                missing: 0,
            };
        }
        let first = match message_at(input, 0, &line) {
            Ok(message) => message,
            Err(Cut::Missing(missing)) => {
                return Progress {
                    used: 0,
                    flow: Flow::Continue,
                    missing,
                };
            }
            Err(Cut::BadEnd) => {
                return Progress {
                    used: 0,
                    flow: self.fault(broker, Fault::UnknownOperation),
                    missing: 0,
                };
            }
        };
        let mut messages = std::mem::take(&mut context.messages);
        messages.clear();
        messages.push(first);
        let subject = &input[line.subject as usize..(line.subject + line.subject_len) as usize];
        let plain_spelling = line.canonical && !(line.headers && line.header_len == 0);
        let flow = if !plain_spelling {
            self.publish_respelled(context, broker, port, input, &line, &first)
        } else {
            if !self.one_by_one(context, broker) {
                *next = gather(context, input, &line, &mut messages);
            }
            let run = Run {
                bytes: input,
                subject,
                headers: line.headers,
                messages: &messages,
            };
            self.publish_run(context, broker, port, &run)
        };
        let used = messages[messages.len() - 1].end as usize;
        context.messages = messages;
        Progress {
            used,
            flow,
            missing: 0,
        }
    }

    /// What the oracle checks before the payload has come.
    #[inline]
    fn check_line(
        &self,
        context: &Context,
        broker: &mut Broker,
        line: &PublishLine,
    ) -> Option<Flow> {
        if line.total_len > context.limits.payload_bytes_max {
            log::error!(
                "{} - maximum payload exceeded: {} vs {}",
                self.label(),
                line.total_len,
                context.limits.payload_bytes_max
            );
            self.say_error(broker, "Maximum Payload Violation");
            return Some(Flow::Close(CloseReason::MaxPayloadExceeded));
        }
        if line.headers && !broker.peer(self.conn).headers {
            log::error!("{} - message headers not supported", self.label());
            return Some(Flow::Close(CloseReason::ParseError));
        }
        None
    }

    /// Whether messages must be taken one at a time, so that what is said of each comes in its place.
    #[inline]
    fn one_by_one(&self, context: &Context, broker: &mut Broker) -> bool {
        self.options.verbose
            || self.options.pedantic
            || context.trace
            || broker.peer(self.conn).responses.is_some()
    }

    fn publish_run(
        &self,
        context: &Context,
        broker: &mut Broker,
        port: &mut impl Port,
        run: &Run<'_>,
    ) -> Flow {
        if self.options.pedantic && !subject::is_literal(run.subject) {
            self.say_error(broker, "Invalid Publish Subject");
        }
        if context.trace {
            self.trace_publish(context, run);
        }
        match broker.publish(self.conn, run, port) {
            Ok(()) => {}
            Err(refusal) => self.refused(broker, run, refusal),
        }
        Flow::Continue
    }

    /// Spells a message as deliveries are spelled, then publishes it. Sizes keep their leading zeros, as in the
    /// oracle.
    #[cold]
    fn publish_respelled(
        &self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        input: &[u8],
        line: &PublishLine,
        message: &Message,
    ) -> Flow {
        let subject = &input[line.subject as usize..(line.subject + line.subject_len) as usize];
        let headers = line.headers && line.header_len > 0;
        let mut bytes = std::mem::take(&mut context.scratch);
        bytes.clear();
        for (at, word) in words(input, line).skip(2).enumerate() {
            // An HPUB without a byte of headers goes out as MSG, without their size.
            let header_size =
                line.headers && !headers && at + usize::from(line.reply_len == 0) == 1;
            if !header_size {
                bytes.extend_from_slice(word);
                bytes.push(b' ');
            }
        }
        bytes.pop();
        bytes.extend_from_slice(b"\r\n");
        let body = bytes.len() as u32;
        bytes.extend_from_slice(&input[message.body as usize..message.end as usize]);
        let spelled = [Message {
            tail: 0,
            reply_len: line.reply_len,
            body,
            header_len: line.header_len,
            end: bytes.len() as u32,
        }];
        let run = Run {
            bytes: &bytes,
            subject,
            headers,
            messages: &spelled,
        };
        let flow = self.publish_run(context, broker, port, &run);
        const KEEP_BYTES: usize = 64 * 1024;
        if bytes.capacity() <= KEEP_BYTES {
            context.scratch = bytes;
        }
        flow
    }

    #[cold]
    fn refused(&self, broker: &mut Broker, run: &Run<'_>, refusal: Refusal) {
        for message in run.messages {
            match refusal {
                Refusal::Subject => {
                    log::error!(
                        "{} - {}",
                        self.label(),
                        violation::publish_refused_log(run.subject)
                    );
                    self.say_error(broker, &violation::publish_refused(run.subject));
                }
                Refusal::Reply => {
                    let reply = run.reply(message);
                    log::error!("{} - {}", self.label(), violation::reply_refused_log(reply));
                    self.say_error(broker, &violation::reply_refused(reply));
                }
            }
        }
    }
}

/// The words of a control line.
fn words<'a>(input: &'a [u8], line: &PublishLine) -> impl Iterator<Item = &'a [u8]> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    input[..line.body as usize]
        .split(is_space)
        .filter(|word| !word.is_empty())
}

/// Why there is no whole message.
enum Cut {
    /// So many bytes are missing.
    Missing(usize),
    /// The payload does not end where it should.
    BadEnd,
}

/// The message whose line begins at `at`, if it is whole.
#[inline(always)]
fn message_at(input: &[u8], at: usize, line: &PublishLine) -> Result<Message, Cut> {
    let body = at + line.body as usize;
    let payload_end = body + line.total_len as usize;
    match input.get(payload_end..payload_end + 2) {
        Some(b"\r\n") => {}
        Some(_) => return Err(Cut::BadEnd),
        None if input.get(payload_end).is_some_and(|byte| *byte != b'\r') => {
            return Err(Cut::BadEnd);
        }
        None => return Err(Cut::Missing(payload_end + 2 - input.len())),
    }
    Ok(Message {
        tail: (at as u32) + line.subject + line.subject_len + 1,
        reply_len: line.reply_len,
        body: body as u32,
        header_len: line.header_len,
        end: payload_end as u32 + 2,
    })
}

/// Adds the messages that follow on the same subject. Returns the line of the publish behind them, if it was read.
#[inline]
fn gather(
    context: &Context,
    input: &[u8],
    first: &PublishLine,
    messages: &mut Vec<Message>,
) -> Option<PublishLine> {
    let subject = &input[first.subject as usize..(first.subject + first.subject_len) as usize];
    let text = &input[..first.body as usize];
    if first.reply_len > 0
        && reply_is_reserved(&input[first.reply as usize..][..first.reply_len as usize])
    {
        return None;
    }
    loop {
        let at = messages[messages.len() - 1].end as usize;
        let rest = &input[at..];
        let line = if rest.starts_with(text) {
            *first
        } else {
            let line = parser::publish_fast(rest)?;
            let same =
                rest[line.subject as usize..(line.subject + line.subject_len) as usize] == *subject;
            let reply = &rest[line.reply as usize..(line.reply + line.reply_len) as usize];
            if !same || line.headers != first.headers || reply_is_reserved(reply) {
                return (line.body as usize <= context.limits.control_line_bytes_max as usize)
                    .then_some(line);
            }
            line
        };
        if line.total_len > context.limits.payload_bytes_max {
            return None;
        }
        messages.push(message_at(input, at, &line).ok()?);
    }
}

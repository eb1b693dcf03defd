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

use super::client::{Client, Taken};
use super::{Context, Flow, Port};

impl Client {
    /// Takes the publish at the start of `input`, whose line is known, and those behind it as long as they are spelled
    /// in the usual way and whole.
    #[inline]
    pub(super) fn publishes(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        input: &[u8],
        mut line: PublishLine,
    ) -> Taken {
        self.heartbeat.heard(context.now_ms);
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let first = match message_at(rest, &line) {
                Ok(first) if self.is_usual(context, &line) => first,
                _ if used > 0 => return Taken::Bytes(used),
                first => return self.publish_unusual(context, broker, port, rest, &line, first),
            };
            let run = Run {
                bytes: rest,
                subject: line.subject_of(rest),
                headers: line.headers,
                messages: std::slice::from_ref(&first),
            };
            let following = match self.one_by_one {
                true => Following::Other(parser::publish_usual(&rest[first.end as usize..])),
                false => following(rest, &line, &first),
            };
            let next = match following {
                Following::Other(next) => {
                    let foreseen = next.and_then(|next| {
                        let subject = next.subject_of(&rest[first.end as usize..]);
                        broker.foresee(self.conn, subject, port)
                    });
                    self.publish_run(context, broker, port, &run);
                    if let Some(foreseen) = &foreseen {
                        broker.fetch(foreseen, port);
                    }
                    used += first.end as usize;
                    next
                }
                Following::Same => {
                    used += self.publish_gathered(context, broker, port, run, &line);
                    parser::publish_usual(&input[used..])
                }
            };
            match next {
                Some(next) => line = next,
                None => return Taken::Bytes(used),
            }
        }
    }

    /// Publishes a message and those behind it on the same subject. Returns how many bytes they were.
    fn publish_gathered(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        run: Run<'_>,
        line: &PublishLine,
    ) -> usize {
        let mut messages = std::mem::take(&mut context.messages);
        messages.clear();
        messages.extend_from_slice(run.messages);
        self.gather(context, run.bytes, line, &mut messages);
        let end = messages[messages.len() - 1].end as usize;
        let run = Run {
            messages: &messages,
            ..run
        };
        self.publish_run(context, broker, port, &run);
        context.messages = messages;
        end
    }

    /// Adds the messages that follow on the same subject.
    fn gather(
        &self,
        context: &Context,
        input: &[u8],
        first: &PublishLine,
        messages: &mut Vec<Message>,
    ) {
        let subject = first.subject_of(input);
        let text = &input[..first.body as usize];
        if first.reply_len > 0
            && reply_is_reserved(&input[first.reply as usize..][..first.reply_len as usize])
        {
            return;
        }
        loop {
            let at = messages[messages.len() - 1].end as usize;
            let rest = &input[at..];
            let line = if rest
                .get(..text.len())
                .is_some_and(|line| subject::is_same(line, text))
            {
                *first
            } else {
                let Some(line) = parser::publish_fast(rest) else {
                    return;
                };
                let reply = &rest[line.reply as usize..(line.reply + line.reply_len) as usize];
                if line.subject_of(rest) != subject
                    || line.headers != first.headers
                    || reply_is_reserved(reply)
                {
                    return;
                }
                line
            };
            if line.total_len > self.limits.payload_bytes_max
                || line.argument_len() > context.limits.control_line_bytes_max
            {
                return;
            }
            let Ok(message) = message_at(rest, &line) else {
                return;
            };
            messages.push(message.moved(at as u32));
        }
    }

    /// Within the limits, and spelled as deliveries are.
    #[inline(always)]
    fn is_usual(&self, context: &Context, line: &PublishLine) -> bool {
        line.canonical
            && line.total_len <= self.limits.payload_bytes_max
            && line.argument_len() <= context.limits.control_line_bytes_max
            && (!line.headers || (self.headers && line.header_len > 0))
    }

    /// A publish that breaks a limit, is not whole, or must be spelled anew.
    #[cold]
    fn publish_unusual(
        &mut self,
        context: &mut Context,
        broker: &mut Broker,
        port: &mut impl Port,
        input: &[u8],
        line: &PublishLine,
        first: Result<Message, Cut>,
    ) -> Taken {
        if line.total_len > self.limits.payload_bytes_max
            || (line.headers && !self.headers)
            || (line.canonical && line.argument_len() > context.limits.control_line_bytes_max)
        {
            return self.refuse_line(context, broker, input, line);
        }
        match first {
            Err(Cut::Missing(missing)) => Taken::Missing(missing),
            Err(Cut::BadEnd) => {
                if context.trace {
                    self.trace_line(input);
                }
                self.check_subject(broker, line.subject_of(input));
                Taken::Last(0, self.fault(broker, Fault::UnknownOperation))
            }
            Ok(first) => {
                self.publish_respelled(context, broker, port, input, line, &first);
                Taken::Bytes(first.end as usize)
            }
        }
    }

    /// What the oracle checks before the payload has come.
    #[cold]
    fn refuse_line(
        &self,
        context: &Context,
        broker: &mut Broker,
        input: &[u8],
        line: &PublishLine,
    ) -> Taken {
        if context.trace && line.argument_len() <= context.limits.control_line_bytes_max {
            self.trace_line(input);
        }
        if line.headers && !self.headers {
            log::error!("{} - message headers not supported", self.label());
            return Taken::Last(0, Flow::Close(CloseReason::ProtocolViolation));
        }
        let payload_bytes_max = self.limits.payload_bytes_max;
        if line.total_len > payload_bytes_max {
            log::error!(
                "{} - maximum payload exceeded: {} vs {}",
                self.label(),
                line.total_len,
                payload_bytes_max
            );
            let (body, size) = (line.body as usize, line.total_len as usize);
            let end = input.len().min(body + line.header_len as usize);
            let (subject, error) = (line.subject_of(input), "maximum payload exceeded");
            broker.trace_refused(self.conn, subject, &input[body..end], size, error);
            self.say_error(broker, "Maximum Payload Violation");
            return Taken::Last(0, Flow::Close(CloseReason::MaxPayloadExceeded));
        }
        Taken::Last(0, self.fault(broker, Fault::ControlLineTooLong))
    }

    fn publish_run(
        &self,
        context: &Context,
        broker: &mut Broker,
        port: &mut impl Port,
        run: &Run<'_>,
    ) {
        self.check_subject(broker, run.subject);
        if context.trace {
            self.trace_publish(context, run);
        }
        match broker.publish(self.conn, run, port) {
            Ok(()) => {}
            Err(Refusal::OneByOne) => self.publish_one_by_one(broker, port, run),
            Err(refusal) => self.refused(broker, run, refusal),
        }
    }

    /// Tells a client that wants to hear it that one does not publish there.
    #[inline(always)]
    fn check_subject(&self, broker: &mut Broker, subject: &[u8]) {
        if self.options.pedantic && !subject::is_literal(subject) {
            self.say_error(broker, "Invalid Publish Subject");
        }
    }

    #[cold]
    fn publish_one_by_one(&self, broker: &mut Broker, port: &mut impl Port, run: &Run<'_>) {
        for at in 0..run.messages.len() {
            let one = run.only(at..at + 1);
            if let Err(refusal) = broker.publish(self.conn, &one, port) {
                self.refused(broker, &one, refusal);
            }
        }
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
    ) {
        let subject = line.subject_of(input);
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
        self.publish_run(context, broker, port, &run);
        const KEEP_BYTES: usize = 64 * 1024;
        if bytes.capacity() <= KEEP_BYTES {
            context.scratch = bytes;
        }
    }

    #[cold]
    fn refused(&self, broker: &mut Broker, run: &Run<'_>, refusal: Refusal) {
        for message in run.messages {
            match &refusal {
                Refusal::Subject => self.refused_subject(broker, run.subject),
                Refusal::Mapped(subject) => self.refused_subject(broker, subject),
                Refusal::OneByOne => {}
                Refusal::Reply => {
                    let reply = run.reply(message);
                    let text = violation::reply_refused_log(reply);
                    self.log_violation(&text, violation::RESERVED);
                    self.say_error(broker, &violation::reply_refused(reply));
                }
            }
        }
    }

    fn refused_subject(&self, broker: &mut Broker, subject: &[u8]) {
        let permissions = broker.peer(self.conn).permissions.as_deref();
        let why = violation::publish_refused_why(permissions, subject);
        self.log_violation(&violation::publish_refused_log(subject), &why);
        self.say_error(broker, &violation::publish_refused(subject));
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

/// The message at the start of `input`, if it is whole.
#[inline(always)]
fn message_at(input: &[u8], line: &PublishLine) -> Result<Message, Cut> {
    let body = line.body as usize;
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
        tail: line.subject + line.subject_len + 1,
        reply_len: line.reply_len,
        body: body as u32,
        header_len: line.header_len,
        end: payload_end as u32 + 2,
    })
}

/// What stands behind a message.
enum Following {
    /// Perhaps a message that belongs to its run.
    Same,
    /// None, or one on another subject, whose line was read on the way.
    Other(Option<PublishLine>),
}

/// Looks at what stands behind the first message of a run.
#[inline(always)]
fn following(input: &[u8], first: &PublishLine, message: &Message) -> Following {
    let rest = &input[message.end as usize..];
    let text = &input[..first.body as usize];
    if rest
        .get(..text.len())
        .is_some_and(|line| line_ending(line) == line_ending(text))
    {
        return Following::Same;
    }
    match parser::publish_usual(rest) {
        Some(line) if line.subject_of(rest) == first.subject_of(input) => Following::Same,
        None if is_same_subject(rest, first.subject_of(input)) => Following::Same,
        line => Following::Other(line),
    }
}

/// Whether a publish follows on the same subject, with a reply or headers.
#[inline(never)]
fn is_same_subject(rest: &[u8], subject: &[u8]) -> bool {
    parser::publish_fast(rest).is_some_and(|line| line.subject_of(rest) == subject)
}

/// The last eight bytes of a control line: they tell most different ones apart at the cost of one comparison.
#[inline(always)]
fn line_ending(line: &[u8]) -> Option<&[u8; 8]> {
    line.last_chunk()
}

//! The 503 of a request that nobody took. Owns its text and which subscription of the requestor gets it.

use crate::account::AccountId;
use crate::subject::tokens;

use super::Broker;
use super::effect::{ConnId, Origin};
use super::interest::NONE;
use super::run::Run;

impl Broker {
    /// Nobody got it: a client that asked to know gets a 503 on its own subscription to the reply.
    #[cold]
    pub(super) fn tell_no_responders(&mut self, conn: ConnId, account: AccountId, run: &Run<'_>) {
        for message in run.messages.iter().filter(|message| message.reply_len > 0) {
            let reply = run.reply(message);
            if let Some(protocol) = self.no_responders(conn, account, run.subject, reply) {
                self.push(conn, &protocol);
            }
        }
    }

    /// As [`Self::tell_no_responders`], where what is published looks like an answer: in the account of the service
    /// somebody is always there, in another one it is a message like any other.
    #[cold]
    pub(super) fn tell_no_responders_to_answer(
        &mut self,
        conn: ConnId,
        account: AccountId,
        run: &Run<'_>,
        delivered: bool,
    ) {
        let told = !delivered && self.peer(conn).no_responders;
        if told && !self.answers.are_taken_at(account, run.subject) {
            self.tell_no_responders(conn, account, run);
        }
    }

    /// Likewise, if the client is still there, in this account, and wants to hear of it.
    pub(super) fn tell_no_responder(
        &mut self,
        origin: Origin,
        account: AccountId,
        subject: &[u8],
        reply: &[u8],
    ) {
        let wants = |peer: &super::peer::Peer| {
            peer.origin == origin && peer.no_responders && peer.account == account
        };
        if self.find_peer(origin.conn).is_some_and(wants)
            && let Some(protocol) = self.no_responders(origin.conn, account, subject, reply)
        {
            self.push(origin.conn, &protocol);
        }
    }

    fn no_responders(
        &self,
        conn: ConnId,
        account: AccountId,
        subject: &[u8],
        reply: &[u8],
    ) -> Option<Vec<u8>> {
        let interest = &self.accounts[account.0 as usize];
        let mut first: Option<(&[u8], &[u8])> = None;
        interest.matches(reply, |id| {
            let own = interest
                .local(id, &self.subs)
                .find(|(_, sub)| sub.conn == conn && sub.queue == NONE);
            let pattern = interest.pattern(id);
            if let Some((_, sub)) = own
                && first.is_none_or(|(known, _)| is_wider(pattern, known))
            {
                first = Some((pattern, sub.sid.bytes()));
            }
        });
        let (_, sid) = first?;
        let header = [b"NATS/1.0 503\r\nNats-Subject: ", subject, b"\r\n\r\n"].concat();
        let len = header.len().to_string();
        let len = len.as_bytes();
        let line = [b"HMSG ", reply, b" ", sid, b" ", len, b" ", len, b"\r\n"].concat();
        Some([&line, header.as_slice(), b"\r\n"].concat())
    }
}

/// Whether the oracle finds this pattern before that one, of two that match the same subject: at the first token where
/// they differ `>` comes before `*`, and `*` before a literal; but at the subject's last token the literal comes before `*`.
fn is_wider(pattern: &[u8], other: &[u8]) -> bool {
    let mut others = tokens(other);
    let mut mine = tokens(pattern).peekable();
    while let (Some(token), Some(other)) = (mine.next(), others.next()) {
        if token != other {
            let is_last = mine.peek().is_none();
            let rank = |token: &[u8]| match token {
                b">" => 0,
                b"*" if is_last => 3,
                b"*" => 1,
                _ => 2,
            };
            return rank(token) < rank(other);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_wider;

    #[test]
    fn the_widest_comes_first() {
        let mut patterns = ["in.1", "in.*", "*.1", "in.>", ">", "*.*", "*.>"];
        patterns.sort_by(|a, b| match is_wider(a.as_bytes(), b.as_bytes()) {
            true => std::cmp::Ordering::Less,
            false => std::cmp::Ordering::Greater,
        });
        assert_eq!(patterns, [">", "*.>", "*.1", "*.*", "in.>", "in.1", "in.*"]);
    }
}

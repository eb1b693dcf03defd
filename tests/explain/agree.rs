//! Random configurations: what is explained is what the broker does, delivery by delivery, and what is explained of a
//! subscription is what is explained of the messages that reach it.

use gannet::config::Config;
use gannet::explain::report::{Report, Source};
use gannet::explain::{Question, Who, World, explain};
use gannet::subject::pattern_matches;

use super::broker::{Line, Node};
use super::config;
use super::outcome::{Delivery, Outcome, Sub, outcomes};
use super::random::{self, Plan, pattern, subject};
use super::rng::Rng;

/// Configurations that are tried; set `GANNET_EXPLAIN_SEEDS` for more.
const SEEDS: u64 = 300;

/// What clients' inboxes have between their prefix and the last token.
const INBOX: &str = "X";

#[test]
fn explanations_and_the_broker_agree() {
    let seeds =
        std::env::var("GANNET_EXPLAIN_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number"));
    let first: u64 =
        std::env::var("GANNET_EXPLAIN_SEED").map_or(0, |text| text.parse().expect("a number"));
    let mut seen = Seen::default();
    for seed in first..first + seeds {
        let mut rng = Rng::new(seed);
        let plan = random::plan(&mut rng);
        let Ok(loaded) = config(&plan.text) else {
            continue;
        };
        seen.configurations += 1;
        let mut trial = Trial::new(seed, &plan, &loaded);
        trial.subscribe(&mut rng, &mut seen);
        for _ in 0..60 {
            trial.publish(&mut rng, &mut seen);
        }
    }
    // All that is compared has been there to compare.
    let all = [
        seen.configurations,
        seen.deliveries,
        seen.across,
        seen.refused,
        seen.nobody,
        seen.answers,
        seen.answers_refused,
        seen.subscriptions_refused,
        seen.withheld,
        seen.feeds,
    ];
    assert!(
        seeds < SEEDS || all.iter().all(|count| *count >= 5),
        "{seen:?}"
    );
}

#[derive(Debug, Default)]
struct Seen {
    configurations: usize,
    deliveries: usize,
    across: usize,
    refused: usize,
    nobody: usize,
    answers: usize,
    answers_refused: usize,
    subscriptions_refused: usize,
    withheld: usize,
    feeds: usize,
}

struct Trial<'c> {
    seed: u64,
    text: &'c str,
    world: World<'c>,
    node: Node,
    users: Vec<String>,
    whos: Vec<Who>,
    subs: Vec<Sub>,
    feeds: Vec<(Sub, Vec<Source>)>,
    replies: usize,
}

impl<'c> Trial<'c> {
    fn new(seed: u64, plan: &'c Plan, config: &'c Config) -> Trial<'c> {
        let world = World::new(config).expect("it could be started with");
        let mut node = Node::new(config, seed | 1);
        let whos = plan
            .users
            .iter()
            .map(|user| Who::find(&world, Some(user), None).expect("a user"));
        let whos: Vec<Who> = whos.collect();
        for user in &plan.users {
            node.connect(Some(user));
        }
        Trial {
            seed,
            text: &plan.text,
            node,
            users: plan.users.clone(),
            whos,
            subs: Vec::new(),
            feeds: Vec::new(),
            replies: 0,
            world,
        }
    }

    fn inbox(&self, client: usize) -> String {
        format!("_INBOX.{}", self.users[client])
    }

    fn subscribe(&mut self, rng: &mut Rng, seen: &mut Seen) {
        for client in 0..self.users.len() {
            let inbox = format!("{}.{INBOX}.*", self.inbox(client));
            self.subscribe_one(client, "inbox".to_owned(), inbox, None, seen);
            for number in 0..rng.range(1, 4) {
                let pattern = match rng.chance(200) {
                    true => format!("{}.>", rng.pick(&["p", "x", "y", "m", "b.c"])),
                    false => pattern(rng, 600),
                };
                let queue = rng.chance(350).then(|| rng.pick(&["q", "r"]));
                self.subscribe_one(client, format!("s{number}"), pattern, queue, seen);
            }
        }
    }

    fn subscribe_one(
        &mut self,
        client: usize,
        sid: String,
        pattern: String,
        queue: Option<&str>,
        seen: &mut Seen,
    ) {
        let question = Question::Subscribe {
            pattern: pattern.clone().into_bytes(),
            queue: queue.map(|queue| queue.as_bytes().to_vec()),
        };
        let report = explain(&self.world, &self.whos[client], &question);
        let feeds = report.feeds.expect("a subscription has them");
        let group = queue.map(|queue| format!("{queue} ")).unwrap_or_default();
        self.node
            .say(client, &format!("SUB {pattern} {group}{sid}\r\n"));
        let refused = self.node.hear(client);
        let (seed, text) = (self.seed, self.text);
        assert_eq!(
            refused.is_empty(),
            feeds.permission.allowed,
            "seed {seed}: SUB {pattern} {group}{refused:?} {:?}\n{text}",
            feeds.permission
        );
        if !feeds.permission.allowed {
            seen.subscriptions_refused += 1;
            return;
        }
        let rules = feeds.withheld.iter().map(|rule| {
            rule.subject
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        let sub = Sub {
            client,
            account: report.who.account,
            user: self.users[client].clone(),
            sid,
            pattern,
            queue: queue.map(str::to_owned),
            withheld: rules.collect(),
        };
        seen.withheld += sub.withheld.len();
        self.check_feeds(&sub, &feeds.sources, seen);
        self.subs.push(sub.clone());
        self.feeds.push((sub, feeds.sources));
    }

    /// Every source that is named is one: somebody can publish what reaches the subscription by it.
    fn check_feeds(&self, sub: &Sub, sources: &[Source], seen: &mut Seen) {
        for source in sources {
            let Some(from) = &source.subject else {
                continue;
            };
            let account = self.world.table.find(&source.account).expect("an account");
            let who = Who {
                account,
                user: None,
                permissions: None,
                provenance: Vec::new(),
                limits: Vec::new(),
                jwt: None,
                shut_out: None,
            };
            let mut rng = Rng::new(self.seed);
            let arrives =
                (0..12).any(|_| self.arrives(&who, &subject(&mut rng, from), sub, source));
            // Where there are mappings, one of them may stand before all of it.
            let mapped = [&source.account, &sub.account].into_iter().any(|name| {
                let account = self.world.table.find(name).expect("an account");
                self.world.table.account(account).has_mappings()
            });
            assert!(
                arrives || mapped,
                "seed {}: for {sub:?} by {source:?}\n{}",
                self.seed,
                self.text
            );
            seen.feeds += usize::from(arrives);
        }
    }

    /// Whether what somebody publishes reaches a subscription, on a subject of a source.
    fn arrives(&self, who: &Who, published: &str, sub: &Sub, source: &Source) -> bool {
        let report = explain(
            &self.world,
            who,
            &Question::Publish(published.as_bytes().to_vec()),
        );
        let all = outcomes(report.route.as_ref().expect("a message has one"), 0);
        let matches =
            |pattern: &str, subject: &str| pattern_matches(pattern.as_bytes(), subject.as_bytes());
        all.iter()
            .flat_map(|outcome| outcome.arrivals.iter().flatten())
            .any(|arrival| {
                arrival.account == sub.account
                    && matches(&source.seen, &arrival.subject)
                    && matches(&sub.pattern, &arrival.subject)
            })
    }

    fn publish(&mut self, rng: &mut Rng, seen: &mut Seen) {
        let client = rng.below(self.users.len());
        let open = pattern(rng, 200);
        let open = match rng.chance(250) {
            true => format!("{}.{open}", rng.pick(&["x", "y", "p", "m"])),
            false => open,
        };
        let subject = subject(rng, &open);
        self.replies += 1;
        let reply = rng
            .chance(500)
            .then(|| format!("{}.{INBOX}.{}", self.inbox(client), self.replies));
        let question = Question::Request {
            subject: subject.clone().into_bytes(),
            inbox: self.inbox(client),
        };
        let report = explain(&self.world, &self.whos[client], &question);
        let named = reply
            .as_ref()
            .map(|reply| format!("{reply} "))
            .unwrap_or_default();
        self.node
            .say(client, &format!("PUB {subject} {named}2\r\nhi\r\n"));
        let heard: Vec<Vec<Line>> = (0..self.users.len()).map(|at| self.node.hear(at)).collect();
        let outcome = self.judge(client, &subject, &report, &heard, reply.as_deref(), seen);
        if let Some(reply) = reply {
            self.answer(client, &reply, &report, &outcome, &heard, seen);
        }
    }

    /// Finds the way that leads to just what was heard.
    fn judge(
        &self,
        client: usize,
        subject: &str,
        report: &Report,
        heard: &[Vec<Line>],
        reply: Option<&str>,
        seen: &mut Seen,
    ) -> Outcome {
        let context = || {
            let (seed, user) = (self.seed, &self.users[client]);
            format!(
                "seed {seed}: {user} PUB {subject}\nheard {heard:?}\nexplained {}\nsubs {:#?}\n{}",
                gannet::explain::page(report),
                self.subs,
                self.text
            )
        };
        let all = outcomes(report.route.as_ref().expect("a message has one"), 0);
        let mut deliveries: Vec<Delivery> = Vec::new();
        let (mut refused, mut nobody) = (None, 0);
        for (at, lines) in heard.iter().enumerate() {
            for line in lines {
                match line {
                    Line::Message { nobody: true, .. } => nobody += 1,
                    Line::Message { subject, sid, .. } => {
                        deliveries.push((at, sid.clone(), subject.clone()))
                    }
                    Line::Error(text) => refused = Some(text.clone()),
                }
            }
        }
        let explains = |outcome: &&Outcome| {
            let text = outcome
                .refused
                .as_ref()
                .map(|subject| format!("Permissions Violation for Publish to {subject:?}"));
            text == refused && outcome.explains(&self.subs, &deliveries)
        };
        let Some(outcome) = all.iter().find(explains) else {
            panic!("{}", context());
        };
        let listens = reply.is_some_and(|reply| {
            self.subs.iter().any(|sub| {
                sub.client == client
                    && sub.queue.is_none()
                    && pattern_matches(sub.pattern.as_bytes(), reply.as_bytes())
            })
        });
        let expected = usize::from(listens && deliveries.is_empty() && outcome.refused.is_none());
        assert_eq!(nobody, expected, "{}", context());
        for delivery in &deliveries {
            self.check_delivery(&report.who.account, subject, outcome, delivery, &context);
        }
        seen.deliveries += deliveries.len();
        seen.refused += usize::from(refused.is_some());
        seen.nobody += nobody;
        let arrivals = outcome
            .arrivals
            .iter()
            .flatten()
            .filter(|arrival| arrival.hops > 0);
        seen.across += arrivals
            .filter(|arrival| self.subs.iter().any(|sub| sub.gets(arrival)))
            .count();
        outcome.clone()
    }

    /// Who gets a message is said to be able to, and its subscription is said to be fed by that publisher.
    fn check_delivery(
        &self,
        from: &str,
        published: &str,
        outcome: &Outcome,
        (client, sid, subject): &Delivery,
        context: &dyn Fn() -> String,
    ) {
        let (sub, sources) = (self.feeds.iter())
            .find(|(sub, _)| sub.client == *client && sub.sid == *sid)
            .expect("a subscription that was made");
        let readers = outcome
            .arrivals
            .iter()
            .flatten()
            .filter(|arrival| sub.gets(arrival) && arrival.subject == *subject);
        for arrival in readers {
            let reader = arrival
                .readers
                .iter()
                .find(|reader| reader.user.as_ref() == Some(&sub.user));
            assert!(
                reader.is_some_and(|reader| reader.sees.allowed),
                "{reader:?} {}",
                context()
            );
        }
        let fed = sources.iter().any(|source| {
            pattern_matches(source.seen.as_bytes(), subject.as_bytes())
                && comes_from(source, from, published, &outcome.mapped)
        });
        assert!(
            fed,
            "nothing feeds {sub:?} with {subject}: {sources:#?}\n{}",
            context()
        );
    }

    /// The first one who got a request from another account answers.
    fn answer(
        &mut self,
        client: usize,
        reply: &str,
        report: &Report,
        outcome: &Outcome,
        heard: &[Vec<Line>],
        seen: &mut Seen,
    ) {
        let mut lines = heard
            .iter()
            .enumerate()
            .flat_map(|(at, lines)| lines.iter().map(move |line| (at, line)));
        let request = lines.find_map(|(at, line)| match line {
            Line::Message {
                subject,
                reply: Some(reply),
                nobody: false,
                ..
            } if reply.starts_with("_R_.") => Some((at, subject, reply)),
            _ => None,
        });
        let Some((responder, subject, answer_to)) = request else {
            return;
        };
        // With several subscriptions each further copy counts as an answer (allow_responses), as in the oracle.
        if heard[responder].len() > 1 {
            return;
        }
        let mapped = |account: &str, subject: &str| {
            let account = self.world.table.find(account).expect("an account");
            self.world
                .table
                .account(account)
                .mapping(subject.as_bytes())
                .is_some()
        };
        if random::ACCOUNTS.iter().any(|name| mapped(name, answer_to)) {
            return;
        }
        let user = &self.users[responder];
        let arrivals = outcome
            .arrivals
            .iter()
            .flatten()
            .filter(|arrival| arrival.subject == *subject && arrival.hops > 0);
        let reader = arrivals
            .flat_map(|arrival| &arrival.readers)
            .find(|reader| reader.user.as_ref() == Some(user));
        let answers = reader
            .and_then(|reader| reader.answers.clone())
            .expect("it got a request");
        self.node
            .say(responder, &format!("PUB {answer_to} 2\r\nok\r\n"));
        let refused = self
            .node
            .hear(responder)
            .iter()
            .any(|line| matches!(line, Line::Error(_)));
        let context = format!(
            "seed {}: {user} answers {subject} of {}: {answers:?}",
            self.seed, report.who.account
        );
        assert_eq!(refused, !answers.allowed, "{context}\n{}", self.text);
        let got = self.node.hear(client).into_iter().any(|line| {
            matches!(line, Line::Message { subject, sid, nobody: false, .. } if subject == reply && sid == "inbox")
        });
        for other in 0..self.users.len() {
            self.node.hear(other);
        }
        let inbox = report.inbox.as_ref().expect("a request has one");
        let comes = inbox.permission.allowed && inbox.withheld.is_none() && inbox.mapping.is_none();
        if client != responder {
            assert_eq!(got, comes && !refused, "{context} {inbox:?}\n{}", self.text);
        }
        seen.answers += usize::from(got);
        seen.answers_refused += usize::from(refused);
    }
}

/// Whether a source, or what is behind it, is what an account publishes on a subject.
fn comes_from(source: &Source, account: &str, published: &str, mapped: &str) -> bool {
    let matches = |subject: &str| match &source.subject {
        Some(pattern) => pattern_matches(pattern.as_bytes(), subject.as_bytes()),
        None => true,
    };
    let here = source.account == account && (matches(published) || matches(mapped));
    here || source
        .behind
        .iter()
        .any(|behind| comes_from(behind, account, published, mapped))
}

//! Checks of accounts: the example of "Multi Tenancy using Accounts", several clients of each account, so that they sit
//! on different shards.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures_util::StreamExt;
use futures_util::stream::select_all;
use tokio::time::timeout;

use crate::support::{Failure, Verdict, WAIT, fresh, next, options, respond, reversed, setting};

/// When a request is given up for the next one.
const AGAIN: Duration = Duration::from_secs(1);

/// What an account calls the streams of A that are for it.
const TO_B: (&str, &str) = ("b", "b");
const TO_C: (&str, &str) = ("puba", "from_a.puba");

pub async fn accounts_streams() -> Verdict {
    let (a, b, c) = (of("a", 2).await?, of("b", 2).await?, of("c", 2).await?);
    let mut subs = Vec::new();
    for (client, way, subject) in [
        (&b[0], TO_B, "b.x"),
        (&b[1], TO_B, "b.x"),
        (&c[0], TO_C, "from_a.puba.x"),
        (&c[1], TO_C, "from_a.puba.x"),
    ] {
        subs.push((client.subscribe(">").await?, subject));
        seen(client, way, &a).await?;
    }
    for client in b.iter().chain(&c) {
        // Nobody else's: the others only import.
        client.publish("puba.y", "not of a".into()).await?;
    }
    let mut headers = HeaderMap::new();
    headers.insert("K", "v");
    for client in &a {
        for subject in ["puba.x", "b.x", "other.x", "puba.end", "b.end"] {
            let headers = headers.clone();
            client
                .publish_with_reply_and_headers(subject, "answer.here", headers, "of a".into())
                .await?;
        }
    }
    for (sub, subject) in &mut subs {
        let got = until_both_ended(sub).await?;
        for message in &got {
            assert_eq!(message.subject.as_str(), *subject);
            assert_eq!(message.payload, "of a");
            assert_eq!(message.reply.as_deref(), Some("answer.here"));
            let value = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("K"));
            assert_eq!(value.map(|value| value.as_str()), Some("v"));
        }
        assert_eq!(got.len(), 2);
    }
    Ok(())
}

/// What came of A's, besides the probes of [`seen`] and the account's own, up to both of A's last.
async fn until_both_ended(sub: &mut Subscriber) -> Result<Vec<Message>, Failure> {
    let (mut got, mut ended) = (Vec::new(), 0);
    while ended < 2 {
        let message = next(sub).await?;
        match message.subject.as_str() {
            subject if subject.ends_with(".end") => ended += 1,
            subject if subject.contains("probe") => {}
            "puba.y" => assert_eq!(message.payload, "not of a"),
            _ => got.push(message),
        }
    }
    Ok(got)
}

pub async fn accounts_services() -> Verdict {
    let (a, b, c) = (of("a", 2).await?, of("b", 2).await?, of("c", 2).await?);
    for client in &b {
        nobody_answers(client, "q.b").await?;
    }
    let asked = a[0].subscribe("q.b").await?;
    respond(&a[0], asked).await;
    respond(&a[1], a[1].subscribe("pubq.>").await?).await;
    let mut local = c[0].subscribe("Q").await?;
    for (client, subject) in [(&b[0], "q.b"), (&b[1], "q.b"), (&c[0], "Q"), (&c[1], "Q")] {
        until_answered(client, subject).await?;
        for n in 0..20 {
            let data = format!("request {n}");
            let answer = client.request(subject, data.clone().into()).await?;
            assert_eq!(answer.payload, reversed(data.as_bytes()));
        }
    }
    // The account that asks sees its own requests.
    let mut seen = 0;
    while seen < 40 {
        seen += usize::from(next(&mut local).await?.payload.starts_with(b"request "));
    }
    // What is not imported is not there.
    for (client, subject) in [
        (&b[0], "pubq.C"),
        (&b[1], "Q"),
        (&c[0], "q.b"),
        (&c[1], "pubq.C"),
    ] {
        nobody_answers(client, subject).await?;
    }
    a[0].drain().await?;
    // A request that comes to the client while it goes may never be answered: the next one tells.
    let gone = async {
        while !matches!(
            timeout(AGAIN, b[0].request("q.b", "x".into())).await,
            Ok(Err(_))
        ) {}
    };
    timeout(WAIT, gone).await.map_err(|_| "it is still there")?;
    nobody_answers(&b[0], "q.b").await
}

pub async fn accounts_queue_groups() -> Verdict {
    let (a, b) = (of("a", 3).await?, of("b", 3).await?);
    let mut members = Vec::new();
    for client in a[..2].iter().chain(&b[..2]) {
        members.push(client.queue_subscribe("b.q", "workers".into()).await?);
    }
    let mut others = Vec::new();
    for client in &b {
        others.push(client.queue_subscribe("b.q.>", "others".into()).await?);
        others.push(client.queue_subscribe("b.q", "others".into()).await?);
    }
    let plain = vec![b[2].subscribe("b.q").await?];
    for client in &a[..2] {
        seen(client, ("b", "b"), &a).await?;
    }
    for client in &b {
        seen(client, TO_B, &a).await?;
    }
    for n in 0..600 {
        a[n % 3].publish("b.q", n.to_string().into()).await?;
    }
    let mut expected: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    expected.sort();
    for group in [members, others, plain] {
        let mut group = select_all(group);
        let mut got = Vec::new();
        while got.len() < 600 {
            let message = timeout(WAIT, group.next()).await;
            let message = message.map_err(|_| format!("{} of 600", got.len()))?;
            let message = message.ok_or("the subscriptions have ended")?;
            got.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
        got.sort();
        assert_eq!(got, expected);
    }
    Ok(())
}

pub async fn accounts_no_auth_user() -> Verdict {
    let nobody = [options().connect(setting("ACCOUNTS")).await?];
    let (a, c) = (of("a", 1).await?, of("c", 1).await?);
    let mut heard = a[0].subscribe("puba.n").await?;
    let mut renamed = c[0].subscribe("from_a.puba.n").await?;
    seen(&a[0], ("puba", "puba"), &nobody).await?;
    seen(&c[0], TO_C, &nobody).await?;
    nobody[0].publish("puba.n", "hello".into()).await?;
    assert_eq!(next(&mut heard).await?.payload, "hello");
    assert_eq!(next(&mut renamed).await?.subject.as_str(), "from_a.puba.n");
    Ok(())
}

/// Clients of an account.
async fn of(name: &str, count: usize) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let options = options().user_and_password(name.into(), name.into());
        clients.push(options.connect(setting("ACCOUNTS")).await?);
    }
    Ok(clients)
}

/// Returns when the subscriptions of a client are known where the publishes of the others arrive, which are of another
/// account: what these publish below the first of `way`, the subscriber sees below the second.
async fn seen(subscriber: &Client, way: (&str, &str), publishers: &[Client]) -> Verdict {
    for publisher in publishers {
        let probe = fresh("probe");
        let mut sub = subscriber.subscribe(format!("{}.{probe}", way.1)).await?;
        let arrived = async {
            loop {
                let subject = format!("{}.{probe}", way.0);
                publisher.publish(subject, "".into()).await?;
                if let Ok(Some(_)) = timeout(Duration::from_millis(20), sub.next()).await {
                    return Ok::<(), Failure>(());
                }
            }
        };
        timeout(WAIT, arrived)
            .await
            .map_err(|_| "no subscription")??;
    }
    Ok(())
}

/// Returns when somebody answers.
async fn until_answered(client: &Client, subject: &'static str) -> Verdict {
    let answered = async { while client.request(subject, "x".into()).await.is_err() {} };
    timeout(WAIT, answered)
        .await
        .map_err(|_| "nobody answers")?;
    Ok(())
}

async fn nobody_answers(client: &Client, subject: &'static str) -> Verdict {
    match client.request(subject, "x".into()).await {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        Err(error) => Err(format!("{subject}: {error}").into()),
        Ok(_) => Err(format!("{subject}: somebody answers").into()),
    }
}

//! Checks of messages: who gets which, how many, in which order, how large.

use std::collections::BTreeSet;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::{HeaderMap, Message};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::support::{
    Failure, MIB, Verdict, WAIT, connect, connections, fresh, known, many, next, options, respond,
    reversed, setting, until_end,
};

pub async fn info() -> Verdict {
    let client = connect().await?;
    let info = client.server_info();
    assert_eq!(info.max_payload, MIB);
    assert_eq!(client.max_payload(), MIB);
    assert!(
        info.server_id.starts_with('N') && info.server_id.len() == 56,
        "{info:?}"
    );
    assert_eq!(info.server_name, "clients");
    assert!(client.is_server_compatible(2, 10, 0), "{info:?}");
    assert!(
        info.headers && info.proto == 1 && info.client_id > 0,
        "{info:?}"
    );
    assert_eq!(info.client_ip, "127.0.0.1");
    Ok(())
}

pub async fn publish_subscribe() -> Verdict {
    let clients = connections(4).await?;
    for subscriber in &clients {
        let subject = fresh("ps");
        let mut sub = subscriber.subscribe(subject.clone()).await?;
        known(subscriber, &clients).await?;
        for publisher in &clients {
            publisher
                .publish_with_reply(subject.clone(), "ps.reply", "hello".into())
                .await?;
            let message = next(&mut sub).await?;
            assert_eq!(message.subject.as_str(), subject);
            assert_eq!(message.reply.as_deref(), Some("ps.reply"));
            assert_eq!(message.payload, "hello");
            publisher.publish(subject.clone(), "".into()).await?;
            assert!(next(&mut sub).await?.payload.is_empty());
        }
        sub.unsubscribe().await?;
        assert!(timeout(WAIT, sub.next()).await?.is_none());
    }
    Ok(())
}

pub async fn wildcards() -> Verdict {
    let clients = connections(3).await?;
    let expected: [(usize, &str, &[&str]); 6] = [
        (0, "w.*", &["w.x"]),
        (1, "w.>", &["w.x", "w.x.y", "w.y.z", "w.x.z"]),
        (0, "w.*.z", &["w.y.z", "w.x.z"]),
        (1, "*.x.>", &["w.x.y", "v.x.z", "w.x.z"]),
        (0, "*.*.*", &["w.x.y", "w.y.z", "v.x.z", "w.x.z"]),
        (1, "w.x", &["w.x"]),
    ];
    let mut subs = Vec::new();
    for (client, pattern, _) in expected {
        subs.push(clients[client].subscribe(pattern).await?);
    }
    known(&clients[0], &clients[2..]).await?;
    known(&clients[1], &clients[2..]).await?;
    for subject in ["w", "w.x", "w.x.y", "w.y.z", "v.x.z", "w.x.z"] {
        clients[2].publish(subject, "".into()).await?;
    }
    // Each pattern takes one of these, which ends what is compared.
    for subject in ["w.x", "w.x.z"] {
        clients[2].publish(subject, "end".into()).await?;
    }
    for ((_, pattern, subjects), sub) in expected.iter().zip(&mut subs) {
        let got = until_end(sub).await?;
        let got: Vec<_> = got.iter().map(|message| message.subject.as_str()).collect();
        assert_eq!(got, *subjects, "{pattern}");
    }
    Ok(())
}

pub async fn queue_groups() -> Verdict {
    const MESSAGES: usize = 800;
    let clients = connections(5).await?;
    let mut members = Vec::new();
    for client in clients[..4].iter().chain(&clients[..4]) {
        members.push(client.queue_subscribe("q.a", "workers".into()).await?);
    }
    let mut others = Vec::new();
    for client in &clients[..2] {
        others.push(client.queue_subscribe("q.*", "others".into()).await?);
    }
    let plain = clients[4].subscribe("q.a").await?;
    for client in &clients {
        known(client, &clients).await?;
    }
    for n in 0..MESSAGES {
        clients[n % 5].publish("q.a", n.to_string().into()).await?;
    }
    for group in [members, others, vec![plain]] {
        let size = group.len();
        let mut messages = futures_util::stream::select_all(
            group
                .into_iter()
                .enumerate()
                .map(|(at, sub)| sub.map(move |message| (at, message))),
        );
        let (mut seen, mut busy) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..MESSAGES {
            let next = timeout(WAIT, messages.next()).await;
            let next = next.map_err(|_| format!("{} of {MESSAGES}", seen.len()))?;
            let (at, message) = next.ok_or("no more messages")?;
            busy.insert(at);
            assert!(seen.insert(text(&message)), "{} twice", text(&message));
        }
        assert_eq!(busy.len(), size, "some members get nothing");
    }
    Ok(())
}

pub async fn request_reply() -> Verdict {
    let clients = connections(4).await?;
    respond(&clients[0], clients[0].subscribe("rr.a").await?).await;
    known(&clients[0], &clients).await?;
    for client in &clients {
        for n in 0..20 {
            let data = format!("request {n}");
            let answer = client.request("rr.a", data.clone().into()).await?;
            assert_eq!(answer.payload, reversed(data.as_bytes()));
        }
        let own_inbox = async_nats::Request::new()
            .inbox(client.new_inbox())
            .payload("own".into());
        assert_eq!(client.send_request("rr.a", own_inbox).await?.payload, "nwo");
    }
    Ok(())
}

pub async fn concurrent_requests() -> Verdict {
    let clients = connections(4).await?;
    for client in &clients[..3] {
        let sub = client.queue_subscribe("cr.a", "workers".into()).await?;
        respond(client, sub).await;
        known(client, &clients).await?;
    }
    let asked = (0..1000).map(|n| {
        let client = clients[n % 4].clone();
        async move {
            let data = format!("{n:04}");
            let answer = client.request("cr.a", data.clone().into()).await?;
            assert_eq!(answer.payload, reversed(data.as_bytes()));
            Ok::<(), Failure>(())
        }
    });
    try_join_all(asked).await?;
    Ok(())
}

pub async fn headers() -> Verdict {
    let clients = connections(2).await?;
    let mut sub = clients[0].subscribe("h.a").await?;
    known(&clients[0], &clients).await?;
    let mut headers = HeaderMap::new();
    headers.insert("Some-Key", "a value: with colon");
    headers.append("Twice", "one");
    headers.append("Twice", "two");
    headers.insert("Long", "v".repeat(4000));
    clients[1]
        .publish_with_headers("h.a", headers.clone(), "payload".into())
        .await?;
    clients[1]
        .publish_with_headers("h.a", headers.clone(), "".into())
        .await?;
    clients[1].publish("h.a", "none".into()).await?;
    let message = next(&mut sub).await?;
    assert_eq!(
        (message.headers.as_ref(), text(&message).as_str()),
        (Some(&headers), "payload")
    );
    let message = next(&mut sub).await?;
    assert_eq!(
        (message.headers.as_ref(), text(&message).as_str()),
        (Some(&headers), "")
    );
    let message = next(&mut sub).await?;
    assert_eq!(
        (message.headers.as_ref(), text(&message).as_str()),
        (None, "none")
    );
    Ok(())
}

pub async fn no_responders() -> Verdict {
    let clients = connections(2).await?;
    for client in &clients {
        let error = client
            .request("nobody.there", "x".into())
            .await
            .expect_err("nobody answers");
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);
    }
    Ok(())
}

pub async fn unsubscribe_max() -> Verdict {
    let clients = connections(4).await?;
    for subscriber in &clients {
        let subject = fresh("um");
        let mut limited = subscriber.subscribe(subject.clone()).await?;
        limited.unsubscribe_after(5).await?;
        let mut control = subscriber.subscribe(subject.clone()).await?;
        known(subscriber, &clients).await?;
        for n in 0..40 {
            clients[n % 4].publish(subject.clone(), "x".into()).await?;
        }
        for _ in 0..40 {
            next(&mut control).await?;
        }
        for _ in 0..5 {
            next(&mut limited).await?;
        }
        assert!(timeout(WAIT, limited.next()).await?.is_none());
    }
    Ok(())
}

pub async fn drain() -> Verdict {
    let clients = connections(2).await?;
    let mut kept = clients[0].subscribe("d.kept").await?;
    let mut gone = clients[0].subscribe("d.gone").await?;
    known(&clients[0], &clients).await?;
    for _ in 0..500 {
        clients[1].publish("d.gone", "before".into()).await?;
    }
    clients[1].publish("d.kept", "sent".into()).await?;
    // All before it has arrived too.
    assert_eq!(next(&mut kept).await?.payload, "sent");
    gone.drain().await?;
    let mut got = 0;
    while let Some(message) = timeout(WAIT, gone.next()).await? {
        assert_eq!(message.payload, "before");
        got += 1;
    }
    assert_eq!(got, 500);
    clients[1].publish("d.kept", "kept".into()).await?;
    assert_eq!(next(&mut kept).await?.payload, "kept");
    // The whole connection.
    clients[0].drain().await?;
    assert!(timeout(WAIT, kept.next()).await?.is_none());
    Ok(())
}

pub async fn flush() -> Verdict {
    let client = connect().await?;
    for _ in 0..50 {
        client.publish("f.a", "x".into()).await?;
        timeout(WAIT, client.flush()).await??;
    }
    Ok(())
}

pub async fn echo_off() -> Verdict {
    let deaf = options().no_echo().connect(setting("OPEN")).await?;
    let other = [connect().await?];
    let mut own = deaf.subscribe("e.a").await?;
    let mut in_queue = deaf.queue_subscribe("e.a", "q".into()).await?;
    let mut heard = other[0].subscribe("e.a").await?;
    known(&deaf, &other).await?;
    known(&other[0], std::slice::from_ref(&deaf)).await?;
    deaf.publish("e.a", "own".into()).await?;
    assert_eq!(next(&mut heard).await?.payload, "own");
    other[0].publish("e.a", "foreign".into()).await?;
    for sub in [&mut own, &mut in_queue, &mut heard] {
        assert_eq!(next(sub).await?.payload, "foreign");
    }
    Ok(())
}

pub async fn many_subscriptions() -> Verdict {
    const SUBSCRIPTIONS: usize = 2000;
    let clients = connections(3).await?;
    let mut subs = Vec::new();
    for n in 0..SUBSCRIPTIONS {
        subs.push(clients[n % 2].subscribe(format!("ms.{n}")).await?);
    }
    for client in &clients[..2] {
        known(client, &clients).await?;
    }
    for payload in ["first", "second"] {
        for n in 0..SUBSCRIPTIONS {
            clients[2]
                .publish(format!("ms.{n}"), payload.into())
                .await?;
        }
    }
    for (n, sub) in subs.iter_mut().enumerate() {
        for payload in ["first", "second"] {
            let message = next(sub).await?;
            assert_eq!(message.subject.as_str(), format!("ms.{n}"));
            assert_eq!(message.payload, payload);
        }
    }
    Ok(())
}

pub async fn many_messages() -> Verdict {
    let clients = connections(4).await?;
    let each = many() / 2;
    let mut subs = Vec::new();
    for client in &clients[..2] {
        subs.push(client.subscribe("mm.>").await?);
        known(client, &clients).await?;
    }
    let publishers = clients[2..]
        .iter()
        .cloned()
        .enumerate()
        .map(|(who, client)| {
            tokio::spawn(async move {
                for n in 0..each {
                    let text = format!("{who} {n} {}", "x".repeat(n % 200));
                    client
                        .publish(format!("mm.{}", n % 100), text.into())
                        .await?;
                }
                client.flush().await?;
                Ok::<(), Failure>(())
            })
        });
    let publishers: Vec<_> = publishers.collect();
    for mut sub in subs {
        let mut expected = [0, 0];
        for _ in 0..2 * each {
            let message = next(&mut sub)
                .await
                .map_err(|e| format!("{e}: {expected:?}"))?;
            let text = text(&message);
            let mut words = text.split(' ').map(|word| word.parse::<usize>());
            let who = words.next().ok_or("no publisher")??;
            let number = words.next().ok_or("no number")??;
            assert_eq!(number, expected[who], "from {who}");
            expected[who] += 1;
        }
    }
    for publisher in publishers {
        publisher.await??;
    }
    Ok(())
}

pub async fn max_payload() -> Verdict {
    let client = connect().await?;
    let mut sub = client.subscribe("mp.a").await?;
    let error = client
        .publish("mp.a", vec![0; MIB + 1].into())
        .await
        .expect_err("too large");
    assert_eq!(error.kind(), PublishErrorKind::MaxPayloadExceeded);
    client.publish("mp.a", "fits".into()).await?;
    assert_eq!(next(&mut sub).await?.payload, "fits");
    Ok(())
}

pub async fn payload_1_mib() -> Verdict {
    payload("OPEN", MIB).await
}

pub async fn payload_8_mib() -> Verdict {
    payload("LARGE", 8 * MIB).await
}

async fn payload(server: &str, size: usize) -> Verdict {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(options().connect(setting(server)).await?);
    }
    let data: Vec<u8> = (0..251u32)
        .map(|n| (n * 7 % 251) as u8)
        .cycle()
        .take(size)
        .collect();
    respond(&clients[0], clients[0].subscribe("p.echo").await?).await;
    let mut subs = Vec::new();
    for client in &clients[..2] {
        subs.push(client.subscribe("p.a").await?);
        known(client, &clients).await?;
    }
    for client in &clients {
        client.publish("p.a", data.clone().into()).await?;
        for sub in &mut subs {
            assert!(next(sub).await?.payload == data, "another payload");
        }
    }
    let answer = clients[3].request("p.echo", data.clone().into()).await?;
    assert!(answer.payload == reversed(&data), "another answer");
    Ok(())
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

//! Checks of a connection's life: what it may, how it comes back. Who comes in is checked in `logins`.

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::support::{
    Failure, Verdict, WAIT, harness, known, next, options, respond, setting, user,
};

pub async fn permissions() -> Verdict {
    let (options, mut events) = watched(user("carol", "sekret-c"));
    let carol = [options.connect(setting("USERS")).await?];
    let alice = [user("alice", "sekret-a").connect(setting("USERS")).await?];
    let mut everything = alice[0].subscribe("allowed.>").await?;
    let mut secret = alice[0].subscribe("secret.>").await?;
    respond(&alice[0], alice[0].subscribe("ask").await?).await;
    known(&alice[0], &alice).await?;
    let mut allowed = carol[0].subscribe("allowed.>").await?;

    carol[0].publish("secret.a", "x".into()).await?;
    refusal(
        &mut events,
        "permissions violation for publish to \"secret.a\"",
    )
    .await?;
    carol[0].publish("allowed.not", "x".into()).await?;
    refusal(
        &mut events,
        "permissions violation for publish to \"allowed.not\"",
    )
    .await?;
    let _refused = carol[0].subscribe("secret.>").await?;
    refusal(
        &mut events,
        "permissions violation for subscription to \"secret.>\"",
    )
    .await?;
    // Still connected, and nothing refused got through.
    carol[0].publish("allowed.yes", "x".into()).await?;
    assert_eq!(next(&mut allowed).await?.subject.as_str(), "allowed.yes");
    assert_eq!(next(&mut everything).await?.subject.as_str(), "allowed.yes");
    alice[0].publish("secret.end", "x".into()).await?;
    assert_eq!(next(&mut secret).await?.subject.as_str(), "secret.end");
    Ok(())
}

pub async fn reconnect() -> Verdict {
    let mut clients = Vec::new();
    let mut events = Vec::new();
    for _ in 0..4 {
        let (options, of_it) = watched(options());
        let options = options.reconnect_delay_callback(|_| std::time::Duration::from_millis(20));
        clients.push(options.connect(setting("OPEN")).await?);
        events.push(of_it);
    }
    let mut plain = clients[0].subscribe("rc.*").await?;
    let mut members = [
        clients[0].queue_subscribe("rc.q", "workers".into()).await?,
        clients[1].queue_subscribe("rc.q", "workers".into()).await?,
    ];
    let mut limited = clients[1].subscribe("rc.limited").await?;
    limited.unsubscribe_after(3).await?;
    respond(&clients[1], clients[1].subscribe("ask.a").await?).await;
    known_to_all(&clients).await?;
    clients[2].publish("rc.limited", "first".into()).await?;
    assert_eq!(next(&mut plain).await?.payload, "first");
    assert_eq!(next(&mut limited).await?.payload, "first");
    assert_eq!(
        clients[3].request("ask.a", "ab".into()).await?.payload,
        "ba"
    );
    let before = clients[0].server_info().server_id;

    harness("@kill open").await?;
    for events in &mut events {
        until(events, |event| matches!(event, Event::Disconnected)).await?;
    }
    harness("@start open").await?;
    for events in &mut events {
        until(events, |event| matches!(event, Event::Connected)).await?;
    }
    assert_ne!(clients[0].server_info().server_id, before);

    known_to_all(&clients).await?;
    for n in 0..5 {
        clients[2]
            .publish("rc.limited", n.to_string().into())
            .await?;
        clients[2].publish("rc.q", n.to_string().into()).await?;
    }
    assert_eq!(
        clients[3].request("ask.a", "cd".into()).await?.payload,
        "dc"
    );
    for n in 0..10 {
        assert_eq!(next(&mut plain).await?.payload, (n / 2).to_string());
    }
    for n in 0..2 {
        assert_eq!(next(&mut limited).await?.payload, n.to_string());
    }
    let [a, b] = &mut members;
    let mut got = Vec::new();
    for _ in 0..5 {
        let message =
            tokio::select! { message = next(a) => message?, message = next(b) => message? };
        got.push(message.payload);
    }
    got.sort();
    assert_eq!(got, ["0", "1", "2", "3", "4"]);
    Ok(())
}

async fn known_to_all(clients: &[Client]) -> Verdict {
    for client in clients {
        known(client, clients).await?;
    }
    Ok(())
}

/// Options that tell what happens to the connection.
fn watched(options: ConnectOptions) -> (ConnectOptions, UnboundedReceiver<Event>) {
    let (sender, events) = unbounded_channel();
    let options = options.event_callback(move |event| {
        let sender = sender.clone();
        async move {
            // Nobody listens any more when the check is over.
            let _ = sender.send(event);
        }
    });
    (options, events)
}

async fn until(
    events: &mut UnboundedReceiver<Event>,
    wanted: impl Fn(&Event) -> bool,
) -> Result<Event, Failure> {
    loop {
        let event = timeout(WAIT, events.recv()).await;
        let event = event.map_err(|_| "waited in vain for an event")?;
        let event = event.ok_or("no more events")?;
        if wanted(&event) {
            return Ok(event);
        }
    }
}

async fn refusal(events: &mut UnboundedReceiver<Event>, text: &str) -> Verdict {
    let event = until(events, |event| matches!(event, Event::ServerError(_))).await?;
    let said = event.to_string().to_lowercase();
    if said.contains(text) {
        Ok(())
    } else {
        Err(said.into())
    }
}

//! What the checks share: connections, waiting, the talk with the harness. Owns no check.

use std::env;
use std::error::Error;
use std::future::Future;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures_util::StreamExt;
use tokio::time::timeout;

/// Upper bound of every wait, only there to turn a hang into a failure.
pub const WAIT: Duration = Duration::from_secs(60);
pub const MIB: usize = 1024 * 1024;

pub type Failure = Box<dyn Error + Send + Sync>;
pub type Verdict = Result<(), Failure>;

/// Runs a check; a panic in it is its failure.
pub async fn caught(check: impl Future<Output = Verdict> + Send + 'static) -> Verdict {
    tokio::spawn(check).await.unwrap_or_else(|e| Err(e.into()))
}

/// The value of `CLIENTS_<name>`.
pub fn setting(name: &str) -> String {
    let name = format!("CLIENTS_{name}");
    env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// How many messages make many.
pub fn many() -> usize {
    setting("MESSAGES").parse().expect("a number")
}

/// Options under which the client itself loses nothing.
pub fn options() -> ConnectOptions {
    ConnectOptions::new()
        .connection_timeout(WAIT)
        .request_timeout(Some(WAIT))
        .subscription_capacity(1 << 20)
}

/// The same with a user and a password.
pub fn user(name: &str, password: &str) -> ConnectOptions {
    options().user_and_password(name.into(), password.into())
}

/// Connects to the open server.
pub async fn connect() -> Result<Client, Failure> {
    Ok(options().connect(setting("OPEN")).await?)
}

/// Several connections, so that some sit on different shards.
pub async fn connections(count: usize) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(connect().await?);
    }
    Ok(clients)
}

/// Returns when the subscriptions of one are known where the publishes of the others arrive. This client's flush awaits
/// no PONG; but a later subscription is not known before an earlier one, so a message that reaches a later one shows it.
pub async fn known(subscriber: &Client, publishers: &[Client]) -> Verdict {
    for publisher in publishers {
        let probe = subscriber.new_inbox();
        let mut sub = subscriber.subscribe(probe.clone()).await?;
        let arrived = async {
            loop {
                publisher.publish(probe.clone(), "".into()).await?;
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

/// The next message.
pub async fn next(sub: &mut Subscriber) -> Result<Message, Failure> {
    let message = timeout(WAIT, sub.next()).await;
    let message = message.map_err(|_| "waited in vain for a message")?;
    Ok(message.ok_or("the subscription has ended")?)
}

/// The subjects of what comes until the message with the payload `end`, that one excluded.
pub async fn until_end(sub: &mut Subscriber) -> Result<Vec<Message>, Failure> {
    let mut got = Vec::new();
    loop {
        let message = next(sub).await?;
        if message.payload == "end" {
            return Ok(got);
        }
        got.push(message);
    }
}

/// Answers each request with its own payload, reversed.
pub async fn respond(client: &Client, mut sub: Subscriber) {
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = sub.next().await {
            let reply = request.reply.expect("a request");
            // Fails when the check is over.
            let _ = client
                .publish(reply, reversed(&request.payload).into())
                .await;
        }
    });
}

pub fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

/// Says a line to the harness and waits until it has done it.
pub async fn harness(line: &str) -> Verdict {
    println!("{line}");
    std::io::stdout().flush()?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map(|_| answer)
    });
    match answer.await??.as_str() {
        "done\n" => Ok(()),
        other => Err(format!("the harness says {other:?}").into()),
    }
}

/// A subject nobody else uses.
pub fn fresh(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}.{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

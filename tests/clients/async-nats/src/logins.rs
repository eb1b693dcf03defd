//! Checks of who comes in and who does not, by every method there is.

use std::path::PathBuf;

use async_nats::{Client, ConnectErrorKind, ConnectOptions};

use crate::support::{Failure, Verdict, known, next, options, respond, setting, user};

pub async fn authentication() -> Verdict {
    for (server, login) in [
        (
            "USERS",
            (|| user("alice", "sekret-a")) as fn() -> ConnectOptions,
        ),
        ("USERS", || user("bob", "sekret-b")),
        ("USERS", || user("carol", "sekret-c")),
        ("TOKEN", || options().token("sekret-t".into())),
    ] {
        usable(server, login).await?;
    }
    Ok(())
}

pub async fn authentication_errors() -> Verdict {
    for (server, login) in [
        ("USERS", options()),
        ("USERS", user("alice", "wrong")),
        ("USERS", user("alice", "")),
        ("USERS", user("nobody", "sekret-a")),
        ("USERS", user("bob", "wrong")),
        ("USERS", options().token("sekret-t".into())),
        ("TOKEN", options()),
        ("TOKEN", options().token("wrong".into())),
        ("TOKEN", user("alice", "sekret-t")),
    ] {
        violation(server, login).await?;
    }
    Ok(())
}

pub async fn nkeys() -> Verdict {
    let seed = |name: &str| std::fs::read_to_string(material(&format!("{name}.seed")));
    let (alice, stranger) = (seed("alice")?, seed("stranger")?);
    usable("NKEYS", || options().nkey(alice.clone())).await?;
    violation("NKEYS", options().nkey(stranger)).await?;
    violation("NKEYS", options()).await
}

pub async fn credentials() -> Verdict {
    let creds = |name: &str| std::fs::read_to_string(material(&format!("{name}.creds")));
    let app = creds("app")?;
    usable("OPERATOR", || options().credentials(&app).expect("a file")).await?;
    for name in ["expired", "foreign", "mismatch"] {
        violation("OPERATOR", options().credentials(&creds(name)?)?).await?;
    }
    violation("OPERATOR", options()).await
}

pub async fn tls() -> Verdict {
    let login = |authority, token: &str| trusting(authority).token(token.into());
    usable("TLS", || login("ca", "sekret-t")).await?;
    violation("TLS", login("ca", "wrong")).await?;
    refused("TLS", login("other-ca", "sekret-t"))
        .await
        .map(drop)
}

pub async fn tls_verify() -> Verdict {
    usable("TLS_VERIFY", || showing("mail")).await?;
    refused("TLS_VERIFY", trusting("ca")).await?;
    refused("TLS_VERIFY", showing("client-stray"))
        .await
        .map(drop)
}

pub async fn tls_map() -> Verdict {
    usable("TLS_MAP", || showing("joe")).await?;
    usable("TLS_MAP", || showing("names")).await?;
    violation("TLS_MAP", showing("mail")).await?;
    refused("TLS_MAP", trusting("ca")).await.map(drop)
}

/// Options that trust one authority.
fn trusting(authority: &str) -> ConnectOptions {
    options().add_root_certificates(material(&format!("{authority}.pem")))
}

/// Options that show a certificate as well.
fn showing(identity: &str) -> ConnectOptions {
    let of_it = |kind: &str| material(&format!("{identity}.{kind}"));
    trusting("ca").add_client_certificate(of_it("pem"), of_it("key"))
}

fn material(name: &str) -> PathBuf {
    PathBuf::from(setting("MATERIAL")).join(name)
}

/// Those who log in so can publish, subscribe, ask and answer. Several, so that some sit on different shards.
async fn usable(server: &str, login: impl Fn() -> ConnectOptions) -> Verdict {
    let log_in = || async { Ok::<Client, Failure>(login().connect(setting(server)).await?) };
    let (a, b) = (log_in().await?, log_in().await?);
    let mut sub = a.subscribe("allowed.a").await?;
    respond(&a, a.subscribe("allowed.ask").await?).await;
    known(&a, std::slice::from_ref(&b)).await?;
    b.publish("allowed.a", "x".into()).await?;
    assert_eq!(next(&mut sub).await?.payload, "x");
    let answer = b.request("allowed.ask", "ab".into()).await?;
    assert_eq!(answer.payload, "ba");
    Ok(())
}

async fn violation(server: &str, login: ConnectOptions) -> Verdict {
    let kind = refused(server, login).await?;
    assert_eq!(kind, ConnectErrorKind::AuthorizationViolation, "{server}");
    Ok(())
}

/// Why a client is not let in.
async fn refused(server: &str, login: ConnectOptions) -> Result<ConnectErrorKind, Failure> {
    match login.connect(setting(server)).await {
        Ok(_) => Err(format!("let in by {server}").into()),
        Err(error) => Ok(error.kind()),
    }
}

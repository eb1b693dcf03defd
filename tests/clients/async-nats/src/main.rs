//! The checks of tests/clients with async-nats. Prints one line a check; ends with failure when one fails. Owns the list;
//! what the checks share is in `support`.

mod access;
mod accounts;
mod logins;
mod messages;
mod support;

use std::process::ExitCode;

use tokio::runtime::Builder;

use support::Verdict;

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let failed = runtime.block_on(run());
    // What reads the standard input would be waited for.
    runtime.shutdown_background();
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

async fn run() -> bool {
    let mut failed = false;
    let mut say = |name: &str, verdict: Verdict| match verdict {
        Ok(()) => println!("ok {name}"),
        Err(error) => {
            println!("FAILED {name}: {error}");
            failed = true;
        }
    };
    macro_rules! check {
        ($($module:ident :: $name:ident)*) => {
            $(say(stringify!($name), support::caught($module::$name()).await);)*
        };
    }
    check! {
        messages::info
        messages::publish_subscribe
        messages::wildcards
        messages::queue_groups
        messages::request_reply
        messages::concurrent_requests
        messages::headers
        messages::no_responders
        messages::unsubscribe_max
        messages::drain
        messages::flush
        messages::echo_off
        messages::many_subscriptions
        messages::many_messages
        messages::max_payload
        messages::payload_1_mib
        messages::payload_8_mib
        logins::authentication
        logins::authentication_errors
        logins::nkeys
        logins::credentials
        logins::tls
        logins::tls_verify
        logins::tls_map
        access::permissions
        access::reconnect
        accounts::accounts_streams
        accounts::accounts_services
        accounts::accounts_queue_groups
        accounts::accounts_no_auth_user
    }
    failed
}

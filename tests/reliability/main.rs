//! Clients that come and go, vanish, stall and read slowly, against real sockets and two shards, on io_uring and on epoll:
//! nothing leaks, nothing is lost, nobody else pays. Owns the list of these facts; how fast it goes is `perf/`'s matter.
//!
//! Environment: `GANNET_BIN` (another gannet), `GANNET_CHURN` (so many short connections on either), `GANNET_SHOW` (print
//! times and memory).

mod accounts;
mod churn;
mod client;
mod counters;
mod delivery;
mod denials;
mod fallback;
mod idle;
mod io;
mod reload;
mod requests;
mod resident;
mod restart;
mod server;
mod stalls;

use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

use io::Io;

/// A test with its name, on a kind of input and output.
type OfServer = (&'static str, fn(Io));

/// One that is done once.
type OfNeither = (&'static str, fn());

/// Functions with their names.
macro_rules! named {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*]
    };
}

/// What holds of a server on either, those that take long first.
const OF_SERVERS: &[OfServer] = named![
    churn::short_connections_leave_nothing,
    churn::removed_subscriptions_leave_nothing,
    reload::reloads_under_traffic_lose_nothing_and_leave_nothing,
    requests::unanswered_requests_leave_no_memory,
    idle::idle_connections_leave_nothing,
    churn::vanished_publishers_leave_nothing,
    churn::silent_sockets_are_closed,
    churn::vanished_members_swallow_nothing,
    delivery::a_confirmed_subscription_is_found_by_every_publisher,
    delivery::one_member_gets_each_message,
    accounts::a_reload_that_fails_leaves_the_accounts,
    accounts::a_full_disk_keeps_the_old_token,
    accounts::a_resolver_that_is_down_is_needed_for_strangers_only,
    accounts::an_import_that_fails_is_an_error_in_the_log,
    denials::a_denial_says_why_to_the_system_only,
    restart::a_killed_server_leaves_its_port,
    stalls::who_stops_reading_is_cut_and_the_others_get_everything,
    stalls::a_slow_reader_on_another_shard_gets_everything,
    stalls::slow_readers_on_both_shards_get_everything,
    stalls::a_pausing_reader_beside_a_busy_shard_gets_everything,
];

/// What holds of a shard's core, or finds out itself what there is.
const OF_NEITHER: &[OfNeither] = named![
    requests::a_million_requests_leave_no_counter_up,
    counters::who_has_gone_leaves_no_counter_up,
    fallback::a_server_runs_on_epoll_and_says_why,
    fallback::with_io_uring_asked_for_it_does_not_start,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for io in [Io::Uring, Io::Epoll] {
        let is_here = io.is_here();
        for &(name, test) in OF_SERVERS {
            let full_name = format!("{name} [{}]", io.name());
            let trial = trial(full_name, move || test(io));
            trials.push(trial.with_ignored_flag(!is_here));
        }
    }
    for &(name, test) in OF_NEITHER {
        trials.push(trial(name.to_owned(), test));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One that says how long it took, where figures are asked for.
fn trial(name: String, test: impl Fn() + Send + 'static) -> Trial {
    Trial::test(name.clone(), move || {
        let start = Instant::now();
        test();
        if resident::shown() {
            println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

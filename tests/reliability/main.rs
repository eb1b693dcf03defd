//! Clients that come and go, vanish, stall and read slowly, against real sockets and two shards: nothing leaks, nothing is
//! lost, nobody else pays. Owns these facts; how fast it goes is `perf/`'s matter.

mod churn;
mod client;
mod delivery;
mod denials;
mod fallback;
mod reload;
mod requests;
mod resident;
mod restart;
mod server;
mod stalls;

//! gannet: a NATS-compatible broker. The architecture page is written here.
pub mod account;
pub mod auth;
pub mod bench;
pub mod broker;
pub mod cli;
pub mod config;
pub mod control;
pub mod monitor;
pub mod proto;
pub mod session;
pub mod shard;
pub mod subject;
pub mod system;
pub mod transport;

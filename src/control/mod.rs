//! The control thread: boot, workers, shutdown. Does everything slow; never touches a message.

pub mod accounts;
pub mod boot;
pub mod bus;
pub mod callout;
mod fair;
mod fetchers;
pub mod log;
mod pool;
pub mod process;
pub mod read;
pub mod reload;
pub mod resolver;
pub mod shards;
pub mod signals;
pub mod snapshots;
pub mod tls;
mod trusted;
mod waiting;
pub mod workers;

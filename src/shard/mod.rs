//! shard.
pub mod ring;

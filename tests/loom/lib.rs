//! The lock-free parts of the shards, for loom: the same files as in the broker, whose tests under
//! `cfg(loom)` run every interleaving. Owns no code.

#[path = "../../src/shard/mesh_queue.rs"]
pub mod mesh_queue;
#[path = "../../src/shard/sleep.rs"]
pub mod sleep;

//! shard.
pub mod mesh_queue;
pub mod ring;
pub mod sleep;

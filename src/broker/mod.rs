//! broker.
pub mod outbox;

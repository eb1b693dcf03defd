//! The client protocol as bytes: parsing borrowed operations, encoding what goes out. Pure.

pub mod encode;
pub mod handshake;
mod json;
pub mod parser;
pub mod scan;

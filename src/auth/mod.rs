//! Who a connection is and what it may do. Pure: takes bytes and compiled tables, does no I/O.
pub mod permission;

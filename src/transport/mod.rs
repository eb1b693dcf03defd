//! Byte codecs between a socket and a session: what comes from the socket becomes plain text for the session, what the
//! session says becomes bytes for the socket. Pure: no sockets, no clock; imports no sibling.
//!
//! Plain connections have no codec: their bytes are the session's. [`tls`] is the one there is.

pub mod tls;

pub use tls::certificate::PeerCertificate;

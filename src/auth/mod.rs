//! Who a connection is and what it may do. Pure: takes bytes and compiled tables, does no I/O.
pub mod permission;
use crate::proto::handshake::ConnectOptions;
use std::sync::Arc;
#[derive(Clone, Debug)]
pub struct Identity {
    pub user: Arc<str>,
    pub account: Arc<str>,
    pub permissions: Option<Arc<permission::Permissions>>,
}
#[derive(Debug)]
pub struct Denial;
impl Denial {
    pub fn log_text(&self) -> &str {
        ""
    }
}
#[derive(Debug)]
pub enum Outcome {
    Accepted(Identity),
    Denied(Denial),
    Work(BcryptWork),
}
#[derive(Debug)]
pub struct BcryptWork;
impl BcryptWork {
    pub fn run(self) -> Outcome {
        todo!()
    }
}
#[derive(Debug)]
pub struct Authenticator;
impl Authenticator {
    pub fn new(_c: &crate::config::Config) -> Result<Self, Vec<String>> {
        Ok(Authenticator)
    }
    pub fn required(&self) -> bool {
        false
    }
    pub fn has_no_auth_user(&self) -> bool {
        false
    }
    pub fn begin(&self, _c: &ConnectOptions) -> Outcome {
        Outcome::Accepted(Identity {
            user: "".into(),
            account: "$G".into(),
            permissions: None,
        })
    }
}

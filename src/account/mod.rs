//! Accounts: isolated subject spaces. Owns their names and numbers, and the tables compiled from what they export,
//! import and map; never holds a connection.

pub mod compiler;
pub mod seats;
pub mod table;

pub use crate::config::AccountLimits;

/// Number of an account on this node, the same on every shard. The global account `$G` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// Where a subject is looked up: an account, seen from inside or from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// Whose subjects.
    pub account: AccountId,
    /// A request or an answer that came from another account: it is not part of the account's streams.
    pub across: bool,
}

impl Space {
    /// What clients of an account publish.
    pub fn of(account: AccountId) -> Self {
        Space {
            account,
            across: false,
        }
    }

    /// What comes to an account from another one.
    pub fn across(account: AccountId) -> Self {
        Space {
            account,
            across: true,
        }
    }

    /// A number of its own for each.
    #[inline]
    pub fn key(self) -> u32 {
        self.account.0 << 1 | u32::from(self.across)
    }
}

/// The account of everybody who is in no other.
pub const GLOBAL: AccountId = AccountId(0);

/// Its name.
pub const GLOBAL_NAME: &str = "$G";

/// The name of the system account where none is configured.
pub const SYSTEM_NAME: &str = "$SYS";

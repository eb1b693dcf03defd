//! Accounts: isolated subject spaces. Owns their names and numbers; never holds a connection.

/// Number of an account on this node, the same on every shard. The global account `$G` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// The account of everybody who is in no other.
pub const GLOBAL: AccountId = AccountId(0);

/// Its name.
pub const GLOBAL_NAME: &str = "$G";

//! What another snapshot means to a client that is there. Owns the order of the questions; who may come in is for
//! [`auth`](crate::auth) to say.

use crate::broker::Broker;

use super::client::Client;
use super::{Context, Flow};

impl Client {
    /// Whether it has been judged by the snapshot in force.
    #[inline]
    pub fn is_judged(&self, context: &Context) -> bool {
        self.judged == context.snapshot
    }

    /// Judges it by the snapshot in force.
    pub fn judge(&mut self, context: &Context, broker: &mut Broker) -> Flow {
        self.judged = context.snapshot;
        broker.account_again(self.conn);
        Flow::Continue
    }
}

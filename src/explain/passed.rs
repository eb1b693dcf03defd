//! The exports that a request has passed: none is passed twice, and not too many are, as in the broker.

use crate::account::table::{ExportId, HOPS_MAX};

/// What a request has passed, forwards or backwards.
#[derive(Clone, Copy)]
pub(super) struct Passed<'a> {
    last: Option<(ExportId, &'a Passed<'a>)>,
    hops: u32,
}

impl<'a> Passed<'a> {
    /// None yet.
    pub(super) const NONE: Passed<'static> = Passed {
        last: None,
        hops: 0,
    };

    /// As many as may be.
    pub(super) const ALL: Passed<'static> = Passed {
        last: None,
        hops: HOPS_MAX,
    };

    /// And this one, if it may be passed.
    pub(super) fn and(&'a self, export: ExportId) -> Option<Passed<'a>> {
        let mut passed = self;
        while let Some((last, before)) = passed.last {
            if last == export {
                return None;
            }
            passed = before;
        }
        (self.hops < HOPS_MAX).then_some(Passed {
            last: Some((export, self)),
            hops: self.hops + 1,
        })
    }
}

//! `gannet bench`: the load generator.

//! The command line: one registry of flags.

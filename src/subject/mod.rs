//! Subjects and patterns: pure, imports no sibling.

//! Owns the tests of accounts in the configuration: the recorded verdicts of the oracle (accounts_cases.txt), what
//! becomes of each setting, cycles, and properties of any input. Never runs the oracle.

use expect_test::{expect, expect_file};

use super::tests::verdicts;

/// Every case has the oracle's verdict, on the oracle's line, unless the file says why not.
#[test]
fn verdicts_of_the_oracle() {
    let surprises = verdicts(
        include_str!("accounts_cases.txt"),
        &expect_file!["accounts_cases.txt"],
    );
    expect![""].assert_eq(&surprises);
}

#!/usr/bin/env bash
# Runs all checks and tests; installs what they need under target/. The one command of README.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "what the tests need, under target/"
scripts/install-oracle.sh
if [ -x scripts/install-clients.sh ]; then scripts/install-clients.sh; fi

step "formatting"
cargo fmt --check

step "clippy"
cargo clippy --all-targets --quiet -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet --lib

step "lock-free parts under loom"
scripts/loom.sh

step "mutants of the simulation: whether they would still break something"
tests/sim/mutants.sh --check

step "tests"
log=target/tests.log
if ! cargo test --no-fail-fast 2>&1 | tee "$log"; then
    step "what failed, once more"
    awk '/^failures:$/ { show = 1 } show; /^test result:/ { show = 0 }' "$log"
    exit 1
fi

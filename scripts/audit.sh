#!/bin/sh
# Known holes, licences and origins of the crates (deny.toml), with cargo-deny, which is built under target/ if it is not
# there. Fetches the RustSec database: needs more of the network than the tests, so that these do not run it.
set -eu
cd "$(dirname "$0")/.."
if ! command -v cargo-deny >/dev/null; then
    cargo install cargo-deny --locked --quiet --root target/tools
    PATH="$PWD/target/tools/bin:$PATH"
fi
exec cargo deny "$@" check

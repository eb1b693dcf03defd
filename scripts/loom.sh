#!/bin/sh
# Checks the lock-free parts (the mesh queue and the sleepers' protocol) under the interleavings and
# reorderings that loom can make.
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom -D warnings"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/loom"
cargo test --manifest-path tests/loom/Cargo.toml "$@"

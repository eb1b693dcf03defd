#!/bin/sh
# Checks the lock-free parts (the mesh queue and the sleepers' protocol) under every interleaving that
# loom can make. Builds into a directory of its own, as the flag changes every crate.
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
cargo test --lib -- mesh_queue sleep "$@"

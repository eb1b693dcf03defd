#!/bin/sh
# Measures this gannet against nats-server; every argument goes to `gannet bench compare` (see perf/README.md).
set -eu
cd "$(dirname "$0")/.."
cargo build --release --quiet
target="${CARGO_TARGET_DIR:-target}"
oracle=$(command -v nats-server || find target -name nats-server -type f -perm -u+x 2>/dev/null | head -n 1)
exec "$target/release/gannet" bench compare --b "${oracle:-nats-server}" "$@"

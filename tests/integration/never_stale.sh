#!/usr/bin/env bash
# Random edits between builds, each build compared with a cold one, each miss explained.
# usage: never_stale.sh SHALE ROUNDS [SEED]
. "$(dirname "$0")/../support/harness.sh"
needs_containers
rounds=$2
seed=${SHALE_SEED:-${3:-$RANDOM}}
mkdir -p "$T/random"
check "$rounds rounds with seed $seed" \
    python3 "$(dirname "$0")/../support/random_builds.py" "$SHALE" "$busybox" "$T/random" \
    "$rounds" "$seed"
finish

#!/usr/bin/env bash
# Disk space: du, prune and the ceiling of a build, with a mount that serves meanwhile.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for mounts"
[ -e /dev/fuse ] || skip "needs /dev/fuse"

ctx=$T/ctx
mkdir "$ctx"
head -c 3000000 /dev/urandom > "$ctx/first"
head -c 2000000 /dev/urandom > "$ctx/second"
printf 'FROM scratch AS one\nCOPY first /first\nFROM one\nCOPY second /second\n' > "$ctx/Dockerfile"
json() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }
blobs() { ls "$SHALE_ROOT/blobs/sha256" | wc -l; }

check "build" "$SHALE" build -q -t app:1 "$ctx"
check "du lists both steps" equal "$("$SHALE" du --json | json '["records"].__len__()')" 2
shared=$("$SHALE" du --json | json '["shared"]')
check "an image shares their layers" test "$shared" -gt 5000000
check_fails "prune asks, and nobody answers" 1 "give --force" "$SHALE" prune < /dev/null
check "an answer may come through a pipe" sh -c "echo n | '$SHALE' prune --all"
check "no is no" equal "$("$SHALE" du --json | json '["records"].__len__()')" 2
check "yes is yes" sh -c "echo y | '$SHALE' prune 2> /dev/null | grep -q left"
check "prune leaves what images share" "$SHALE" prune -f
check "a rebuild is still cached" sh -c "'$SHALE' build -t app:1 '$ctx' 2>&1 | grep -q '2 of 2'"

m=$T/mnt
mkdir "$m"
check "mount" "$SHALE" mount app:1 "$m"
check "rm takes the name away" "$SHALE" rm app:1
before=$(blobs)
check "a dry run removes nothing" sh -c "'$SHALE' prune --all --dry-run | grep -q 'Would free'"
check "nothing" equal "$(blobs)" "$before"
check "prune while the image is mounted" "$SHALE" prune -f --all
check "its layers and documents stay" equal "$(blobs)" 4
check "and can be read" cmp "$m/second" "$ctx/second"
check "umount" "$SHALE" umount "$m"
for _ in $(seq 100); do [ -z "$(ls -A "$SHALE_ROOT/tmp")" ] && break; sleep 0.1; done
check "prune again" "$SHALE" prune -f --all
check "now they are gone" equal "$(blobs)" 0

# What a build leaves that was killed a moment ago.
mkdir "$SHALE_ROOT/tmp/session-killed"
head -c 3000000 /dev/urandom > "$SHALE_ROOT/tmp/session-killed/blob"
check "prune frees what a killed build left" contains "$("$SHALE" prune -f)" "Freed: 3.0"
check "at once" absent "$SHALE_ROOT/tmp/session-killed"

check "build a nameless image" "$SHALE" build -q "$ctx"
check "prune takes it" equal "$("$SHALE" prune -f --json | json '["images"].__len__()')" 1
check "no image is left" equal "$("$SHALE" images -q)" ""

check "build under a ceiling" "$SHALE" build -q -t app:2 --target one "$ctx"
sed -i 's/second$/third/' "$ctx/Dockerfile"
check "a second target" "$SHALE" build -q -t app:3 "$ctx"
check "rm" "$SHALE" rm app:3
check "the ceiling holds" sh -c "'$SHALE' build -t app:2 --target one --max-disk 4MB '$ctx' 2>&1 |
    grep -q 'the store was above'"
check "the store is below it" test "$("$SHALE" du --json | json '["total"]')" -lt 4194304
check "the image is whole" sh -c "'$SHALE' cat app:2:/first | cmp - '$ctx/first'"
check_fails "a ceiling that is no size" 1 "--max-disk" "$SHALE" build --max-disk plenty "$ctx"
check_fails "an unknown filter" 1 'unknown key "colour"' "$SHALE" du --filter colour=red

# A file that cannot be removed stays, and is no reason to keep the others.
sed -i 's/third$/fourth/' "$ctx/Dockerfile"
check "one more image" "$SHALE" build -q "$ctx"
stuck=$(find "$SHALE_ROOT/blobs" -type f -size +100k | head -1)
cat > "$T/stuck.sh" <<'S'
mount --bind "$1" "$1" && exec "$SHALE" prune -af
S
check "prune with a file that cannot be removed" contains \
    "$("$SHALE" rm app:2 > /dev/null; SHALE=$SHALE unshare -m sh "$T/stuck.sh" "$stuck" 2>&1)" \
    "$stuck cannot be removed and stays: "
check "removes all but that" equal "$(find "$SHALE_ROOT/blobs" -type f)" "$stuck"
check "which the next one takes" "$SHALE" prune -af
check "entirely" equal "$(find "$SHALE_ROOT/blobs" -type f)" ""

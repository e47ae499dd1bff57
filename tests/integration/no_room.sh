#!/usr/bin/env bash
# Stores that cannot be written to: on a full disk, what makes room still works; on a read-only file
# system, or somebody else's, everything that reads does, and what would write says so.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for mounts"
[ -e /dev/fuse ] || skip "needs /dev/fuse"

ctx=$T/ctx
mkdir -p "$ctx/many" "$T/disk" "$T/mnt"
seq 5000 | sed "s/^/line /" > "$ctx/text"
head -c 6000000 /dev/urandom > "$ctx/large"
for i in $(seq 300); do echo "$i" > "$ctx/many/$i"; done
printf 'FROM scratch\nCOPY large many /\nCOPY text /text\n' > "$ctx/Dockerfile"

# --------------------------------------------------------------------------------- a full disk
mount -t tmpfs -o size=110M none "$T/disk" || exit 1
on_exit='mountpoint -q "$T/mnt" && umount "$T/mnt"; umount "$T/disk" "$T/ro" 2> /dev/null'
export SHALE_ROOT=$T/disk/store
for n in 1 2 3; do
    check "build $n" "$SHALE" build -q -t "app:$n" "$ctx"
    head -c 6000000 /dev/urandom > "$ctx/large"
done
check "an image without a name" "$SHALE" build -q "$ctx"
check "the store keeps a reserve" equal "$(stat -c '%s %b' "$SHALE_ROOT/reserve")" "524288 1024"
# In two steps, so that not a block is free.
fill() { dd if=/dev/zero of="$T/disk/fill$1" bs="$2" 2> /dev/null; [ -s "$T/disk/fill$1" ]; }
free() { stat -f -c %a "$T/disk"; }
check "the disk is full" sh -c "$(declare -f fill); T=$T; fill 1 1M; fill 2 4k; true"
check "to the last block" equal "$(free)" 0
check "images are listed, out of the reserve" contains "$("$SHALE" images 2>&1)" "app  "
check "the reserve is gone" absent "$SHALE_ROOT/reserve"
rm -f "$T"/disk/fill2
fill 2 4k
check "full again" equal "$(free)" 0
check_fails "without it nothing goes, and the reason is named" 1 "the disk is full" "$SHALE" images
rm "$T"/disk/fill*
check "a store with room" "$SHALE" images
check "has a reserve again" test -s "$SHALE_ROOT/reserve"
fill 1 1M
fill 2 4k
check "full" equal "$(free)" 0
check "rm works" "$SHALE" rm app:1 app:2
check "and prune" "$SHALE" prune -af
check "which made room" test "$(free)" -gt 2500
check "the rest is whole" equal "$("$SHALE" cat app:3:/text)" "$(cat "$ctx/text")"
rm -f "$T"/disk/fill*

# While somebody has the database open, opening it takes no space, so the reserve stays; but to
# forget records does.
check "one more image" "$SHALE" build -q -t app:4 "$ctx"
check "whose name goes" "$SHALE" rm app:4
python3 - "$SHALE_ROOT/shale.db" "$T/holds" <<'P' &
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.execute("SELECT count(*) FROM steps").fetchall()
open(sys.argv[2], "w").close()
time.sleep(120)
P
holder=$!
wait_for 10 test -e "$T/holds"
fill 1 1M
fill 2 4k
check "full, with the database open" equal "$(free)" 0
check "prune removes files first" contains "$("$SHALE" -D prune -af 2>&1)" "removed first"
check "then it forgets" equal "$("$SHALE" du --json | python3 -c 'import json, sys
print(len(json.load(sys.stdin)["records"]))')" 0
check "which made room, too" test "$(free)" -gt 1000
check "without the reserve" test -s "$SHALE_ROOT/reserve"
kill $holder
rm -f "$T"/disk/fill*

# --------------------------------------------------------------------------- a read-only store
check "another image, of gzip layers" "$SHALE" build -q --output \
    type=image,name=zip:1,compression=gzip,force-compression=true "$ctx"
check "mounted once" sh -c "'$SHALE' mount zip:1 '$T/mnt' && '$SHALE' umount '$T/mnt'"
mkdir "$T/ro"
mount --bind "$T/disk" "$T/ro" && mount -o remount,bind,ro "$T/ro"
export SHALE_ROOT=$T/ro/store
export TMPDIR=$T/tmp
mkdir "$TMPDIR"
check "images" contains "$("$SHALE" images)" "app"
check "inspect" sh -c "'$SHALE' inspect app:3 | grep -q rootfs"
check "history" sh -c "'$SHALE' history app:3 | grep -q 'COPY text'"
check "cat" equal "$("$SHALE" cat app:3:/text)" "$(cat "$ctx/text")"
check "diff" contains "$("$SHALE" diff app:3 zip:1)" "M large"
for image in app:3 zip:1; do
    check "mount $image" "$SHALE" mount "$image" "$T/mnt"
    check "reads of it" cmp "$T/mnt/text" "$ctx/text"
    check "umount $image" "$SHALE" umount "$T/mnt"
done
check "cat out of a twin" equal "$("$SHALE" cat zip:1:/7)" 7
truncate -s 100 "$T"/disk/store/frames/*
check "out of one in the place of a damaged one" equal "$("$SHALE" cat zip:1:/7)" 7
cp "$T/disk/store/shale.db" "$T/kept.db"
head -c 3000 /dev/urandom > "$T/disk/store/shale.db"
check "beside a database that cannot be read" equal "$("$SHALE" cat zip:1:/7)" 7
cp "$T/kept.db" "$T/disk/store/shale.db"
rm -r "$T/disk/store/frames"
check "out of one that is made for this once" equal "$("$SHALE" cat zip:1:/7)" 7
check_fails "tag" 1 "can only be read" "$SHALE" tag app:3 other:1
check_fails "rm" 1 "can only be read" "$SHALE" rm app:3
check_fails "prune" 1 "can only be read" "$SHALE" prune -f
check_fails "build" 1 "can only be read" "$SHALE" build -q "$ctx"
beside_is_empty() { [ -z "$(ls "$TMPDIR")" ]; }
check "nothing is left beside it" wait_for 5 beside_is_empty
unset TMPDIR
export SHALE_ROOT=$T/disk/store

# ------------------------------------------------------------------------------ somebody else's
if command -v setpriv > /dev/null; then
    chmod 755 "$T" "$T/disk"
    nobody() {
        (cd / && setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" HOME=/ \
            SHALE_ROOT="$SHALE_ROOT" "$SHALE" "$@")
    }
    check "another user reads images" contains "$(nobody images)" "app"
    check "and files of them" equal "$(nobody cat app:3:/text)" "$(cat "$ctx/text")"
    check_fails "but may not remove one" 1 "can only be read" nobody rm app:3
fi
umount "$T/ro"

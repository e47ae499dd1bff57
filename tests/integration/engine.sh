#!/usr/bin/env bash
# The engine by itself, through the program: snapshot, diff, layer, apply. Its law: applying the
# layer of A and B to a copy of A gives B, down to modes, owners, xattrs, links, devices and times.
. "$(dirname "$0")/../support/harness.sh"
export XDG_CACHE_HOME=$T/cache
[ "$(id -u)" -eq 0 ] || skip "needs root to make owners and devices"
command -v python3 > /dev/null || skip "needs python3"
generate="$(dirname "$0")/../support/random_tree.py"
seed=${SHALE_SEED:-20261124}
echo "SHALE_SEED=$seed"

for round in 1 2 3 4 5 6 7 8; do
    a=$T/a$round b=$T/b$round c=$T/c$round
    check "round $round: trees" python3 "$generate" $((seed + round)) "$a" "$b"
    compression=$(echo zstd gzip uncompressed zstd | cut -d' ' -f$((round % 4 + 1)))
    check "round $round: layer ($compression)" \
        "$SHALE" layer "$a" "$b" -o "$T/layer" --compression "$compression"
    cp -a "$a" "$c"
    check "round $round: apply" "$SHALE" apply "$T/layer" "$c"
    check "round $round: B came out" "$SHALE" diff "$c" "$b"
    check "round $round: another snapshot of B is equal" \
        sh -c "'$SHALE' snapshot '$b' -o '$T/snap' && '$SHALE' diff '$T/snap' '$c'"
    "$SHALE" diff "$a" "$b" > "$T/changes"
    check_fails "round $round: A and B differ" 1 "" "$SHALE" diff "$a" "$b"
    check "round $round: the layer is the same again" sh -c "'$SHALE' layer '$a' '$b' \
        -o '$T/again' --compression $compression && cmp '$T/layer' '$T/again'"
    check "round $round: GNU tar reads it" sh -c "case $compression in
        zstd) tar --zstd -tf '$T/layer';; gzip) tar -tzf '$T/layer';; *) tar -tf '$T/layer';; esac"
done

check "equal trees have no difference" equal "$("$SHALE" diff "$T/a1" "$T/a1")" ""
check "diff --json is JSON" sh -c "'$SHALE' diff --json '$T/a1' '$T/b1' | python3 -m json.tool"
check "scratch is the empty tree" sh -c "'$SHALE' layer scratch '$T/a1' -o '$T/full' &&
    mkdir '$T/fresh' && '$SHALE' apply '$T/full' '$T/fresh'"
check_fails "a missing directory is trouble, not a difference" 2 "no-such" \
    "$SHALE" diff "$T/a1" "$T/no-such"

# --- deeper than one system call can name -------------------------------------------------------
mkdir "$T/abyss" "$T/risen"
python3 - "$T/abyss" <<'P'
import os, sys
os.chdir(sys.argv[1])
for level in range(40):
    open(f"file{level}", "w").write(str(level))
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("bottom", "w").write("bottom")
P
check "a tree of 8 kB paths is a layer" "$SHALE" layer scratch "$T/abyss" -o "$T/abyss.layer"
check "which is applied" "$SHALE" apply "$T/abyss.layer" "$T/risen"
check "and gives the tree" "$SHALE" diff "$T/abyss" "$T/risen"
printf 'FROM scratch\nCOPY . /d/\n' > "$T/abyss.Dockerfile"
check "and is copied" "$SHALE" build -q -t abyss:1 -f "$T/abyss.Dockerfile" "$T/abyss"
bottom=$(python3 -c "print('/'.join(['d' * 200] * 40))")/bottom
check "to the bottom" equal "$("$SHALE" cat "abyss:1:/d/$bottom")" bottom
check_fails "a pipe whose other end failed" 1 "standard input: nothing came" \
    sh -c "false | '$SHALE' apply - '$T/risen'"
check_fails "a file is no tree" 1 "Not a directory" "$SHALE" snapshot "$T/abyss.layer" -o "$T/none"

# --- a snapshot that is up to date ---------------------------------------------------------------
"$SHALE" snapshot "$T/a1" -o "$T/kept.snap" > /dev/null
touch -d @1 "$T/kept.snap"
inode=$(stat -c %i "$T/kept.snap")
check "an unchanged tree is snapshot again" "$SHALE" snapshot "$T/a1" -o "$T/kept.snap"
check "the file is left as it is" equal "$(stat -c %i "$T/kept.snap")" "$inode"
check "and has the time of now" [ "$(stat -c %Y "$T/kept.snap")" -gt 1 ]
cp "$T/kept.snap" "$T/good.snap"
printf X | dd of="$T/kept.snap" bs=1 seek=5000 conv=notrunc status=none
check "a damaged one" "$SHALE" snapshot "$T/a1" -o "$T/kept.snap"
check "is written anew" cmp "$T/kept.snap" "$T/good.snap"
check "what is appended is appended" sh -c "'$SHALE' snapshot '$T/a1' -o /dev/stdout \
    >> '$T/kept.snap' && cmp -n $(stat -c %s "$T/good.snap") \
    -i 0:$(stat -c %s "$T/good.snap") '$T/good.snap' '$T/kept.snap'"

# --- holes ---------------------------------------------------------------------------------------
# Not read for a layer. (That they are not for a digest, a unit test asks.)
mkdir "$T/holes" "$T/unpacked"
truncate -s 3G "$T/holes/disk"
for at in 0 1000 3071; do
    printf 'block %s' $at | dd of="$T/holes/disk" bs=1M seek=$at conv=notrunc status=none
done
if [ "$(stat -c %b "$T/holes/disk")" -gt 1000 ] || ! command -v strace > /dev/null; then
    echo "note: without holes in $T, or without strace, what is read of them was not counted"
else
    "$SHALE" snapshot "$T/holes" -o "$T/holes.snap" > /dev/null
    strace -f -qq -e trace=pread64,read -o "$T/trace" "$SHALE" layer scratch "$T/holes.snap" \
        --content "$T/holes" -o "$T/holes.layer" > /dev/null
    read=$(awk -F'= ' 'NF > 1 {sum += $2} END {print sum + 0}' "$T/trace")
    check "a layer reads what is no hole" [ "$read" -gt 20 ]
    check "and not much else" [ "$read" -lt 2000000 ]
    check "it unpacks" "$SHALE" apply "$T/holes.layer" "$T/unpacked"
    check "to the same file" cmp "$T/holes/disk" "$T/unpacked/disk"
    check "with its holes" [ "$(stat -c %b "$T/unpacked/disk")" -lt 1000 ]
fi
rm -r "$T/holes" "$T/unpacked"

# --- damage and malice --------------------------------------------------------------------------
mkdir "$T/victim"
head -c 300 "$T/full" > "$T/cut"
check_fails "a truncated layer" 1 "" "$SHALE" apply "$T/cut" "$T/victim"
python3 - "$T" <<'P'
import io, sys, tarfile
top = sys.argv[1]
def archive(name, *members):
    with tarfile.open(f"{top}/{name}", "w") as tar:
        for path, kind, target in members:
            member = tarfile.TarInfo(path)
            member.type = kind
            member.linkname = target
            member.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"evil") if member.size else None)
archive("dotdot.tar", ("../escape", tarfile.REGTYPE, ""))
archive("hardlink.tar", ("l", tarfile.LNKTYPE, "../../etc/passwd"))
archive("symlink.tar", ("l", tarfile.SYMTYPE, "/"), ("l/escape", tarfile.REGTYPE, ""))
archive("up.tar", ("l", tarfile.SYMTYPE, "../.."), ("l/escape", tarfile.REGTYPE, ""))
P
check_fails "a member that climbs out" 1 "../escape" "$SHALE" apply "$T/dotdot.tar" "$T/victim"
check_fails "a hardlink that climbs out" 1 "etc/passwd" "$SHALE" apply "$T/hardlink.tar" "$T/victim"
"$SHALE" apply "$T/symlink.tar" "$T/victim" > /dev/null 2>&1
check "a member behind a link to / stays inside" absent /escape
rm -rf "$T/victim" && mkdir -p "$T/deep/victim"
"$SHALE" apply "$T/up.tar" "$T/deep/victim" > /dev/null 2>&1
check "a member behind a link upwards stays inside" absent "$T/escape"

# --- a disk that nobody has read from since it was mounted ----------------------------------------
# There the walk starts more threads, and some that only read far ahead.
disk=$T/disk
mount_disk() { mount -o loop "$T/disk.img" "$disk" 2> "$T/mount.log"; }
mkdir "$disk"
truncate -s 300M "$T/disk.img"
on_exit='umount "$disk" 2> /dev/null || true'
if mkfs.ext4 -q -F -N 40000 "$T/disk.img" && mount_disk; then
    python3 - "$disk" <<'P'
import os, sys
for top in range(30):
    for middle in range(20):
        for leaf in range(5):
            directory = f"{sys.argv[1]}/t{top}/m{middle}/l{leaf}"
            os.makedirs(directory)
            for name in range(3):
                with open(f"{directory}/f{name}", "w") as file:
                    file.write(f"{top} {middle} {leaf} {name}")
P
    warm=$("$SHALE" snapshot --no-cache "$disk" -o "$T/warm.snap")
    check "remount" umount "$disk"
    check "the disk again" mount_disk
    "$SHALE" bench walk -n 1 --json "$disk" > "$T/cold.json"
    found=$(python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["entries"])' \
        < "$T/cold.json")
    check "every entry is there" equal "$found" "$(find "$disk" | wc -l)"
    threads=$(grep -oE 'with [0-9]+ threads' "$T/cold.json" | grep -oE '[0-9]+')
    check "more threads came" test "$threads" -gt 4
    check "and it says why" grep -q '"note": "cold, ' "$T/cold.json"
    check "remount" umount "$disk"
    check "the disk again" mount_disk
    check "a cold snapshot is the warm one" equal \
        "$("$SHALE" snapshot --no-cache "$disk" -o "$T/cold.snap")" "$warm"
    check "umount" umount "$disk"
else
    echo "SKIPPED: a cold disk, for want of a loop device: $(cat "$T/mount.log" 2> /dev/null)"
fi

#!/usr/bin/env bash
# What can be mounted, and how a user handles mounts.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for mounts"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
busybox=$(command -v busybox) || skip "needs busybox (package busybox-static)"

m=$T/mnt
mkdir "$m"
# What the kernel can be handed as an image (Linux 6.16); elsewhere FUSE takes its place.
tiers=fuse
if [ "$(printf '6.16\n%s\n' "$(uname -r)" | sort -V | head -1)" = 6.16 ]; then
    tiers="fuse erofs"
else
    echo "note: Linux $(uname -r) cannot mount images behind an overlay; that tier is not tested"
fi
tier=auto
# Mounts a reference and runs a command while it is there.
with_mount() {  # ARGUMENT-OF-MOUNT... -- COMMAND...
    local arguments=(--tier "$tier") code=0
    while [ "$1" != -- ]; do arguments+=("$1"); shift; done
    shift
    "$SHALE" mount "${arguments[@]}" "$m" || return 1
    "$@" || code=$?
    "$SHALE" umount "$m" || return 1
    return $code
}

# ------------------------------------------------------------------------------------------------
# An image for two platforms. Nothing is run, so any machine may build both.

ctx=$T/ctx
mkdir "$ctx"
cp "$busybox" "$ctx/busybox"
cat > "$ctx/Dockerfile" <<'D'
FROM scratch
ARG TARGETARCH
COPY busybox /bin/sh
COPY <<T /arch
$TARGETARCH
T
D
both=linux/amd64,linux/arm64
case $(uname -m) in x86_64) here=amd64 other=arm64 ;; *) here=arm64 other=amd64 ;; esac
check "build for two platforms" "$SHALE" build -q --platform $both -t multi:1 "$ctx"
index=$("$SHALE" inspect multi:1 2> /dev/null | python3 -c '
import json, sys
print(json.load(sys.stdin)["index"]["descriptor"]["digest"])')
check "cat takes this machine's" equal "$("$SHALE" cat multi:1:/arch 2> /dev/null)" $here
check "and says so" contains "$("$SHALE" cat multi:1:/arch 2>&1 > /dev/null)" \
    "is for linux/amd64, linux/arm64; taking linux/$here"
check "cat with --platform" equal "$("$SHALE" cat --platform linux/$other multi:1:/arch)" $other
check "an index by its digest" equal "$("$SHALE" cat "$index:/arch" 2> /dev/null)" $here
part=$(cut -c 8-19 <<< "$index")
check "by a part of it" equal "$("$SHALE" cat "$part:/arch" 2> /dev/null)" $here
other_id=$("$SHALE" images --json | python3 -c '
import json, sys
print([i["id"] for i in json.load(sys.stdin) if i["platform"] == sys.argv[1]][0])' linux/$other)
check "images lists both" equal "$("$SHALE" images -q | wc -l)" 2
check "the other one by its ID" equal "$("$SHALE" cat "$other_id:/arch")" $other
check "mount with --platform" \
    with_mount --platform linux/$other multi:1 -- grep -qx $other "$m/arch"
check "history of a platform" "$SHALE" history --platform linux/$other multi:1
check_fails "a platform that is not there" 1 "has no image for linux/s390x; --platform chooses" \
    "$SHALE" mount --platform linux/s390x multi:1 "$m"
check "tag an index" "$SHALE" tag multi:1 multi:2
check "all of it" equal "$("$SHALE" cat --platform linux/$other multi:2:/arch)" $other
check "tag one of it by ID" "$SHALE" tag "$other_id" multi:one
check "only that" equal "$("$SHALE" cat multi:one:/arch)" $other
check_fails "which is not for this machine" 1 "is for linux/$other, not for linux/$here" \
    "$SHALE" cat --platform linux/$here multi:one:/arch
check "remove an index by digest needs one name" "$SHALE" rm multi:2 multi:one
check "remove it" "$SHALE" rm "$index"
check "nothing is left" equal "$("$SHALE" images -q)" ""
check "an unnamed index" "$SHALE" build -q --platform $both "$ctx"
check "is removed as one" equal "$("$SHALE" rm "$("$SHALE" images -q | head -1)")" \
    "removed: $index"

# ------------------------------------------------------------------------------------------------
# Images in files.

check "build" "$SHALE" build -q -t app:1 "$ctx"
build_to() { "$SHALE" build -q -t app:1 -o "$1" "$ctx"; }
check "an OCI layout" build_to "type=oci,tar=false,dest=$T/layout"
check "an OCI archive" build_to "type=oci,dest=$T/oci.tar"
check "a docker archive" build_to "type=docker,dest=$T/docker.tar"
gzip -k "$T/docker.tar"
check "a snapshot" "$SHALE" snapshot "$ctx" -o "$T/tree.snap"
export SHALE_ROOT=$T/store2
for reference in "oci:$T/layout" "oci:$T/layout:1" "oci-archive:$T/oci.tar" \
    "oci-archive:$T/oci.tar:1" "docker-archive:$T/docker.tar" "docker-archive:$T/docker.tar:app:1" \
    "docker-archive:$T/docker.tar.gz"; do
    check "mount ${reference/$T\//}" with_mount "$reference" -- grep -qx $here "$m/arch"
    check "cat from it" equal "$("$SHALE" cat "$reference:/arch")" $here
done
check "no image got a name" equal "$("$SHALE" images -q)" ""
check "diff of two forms" "$SHALE" diff "oci:$T/layout" "docker-archive:$T/docker.tar"
check_fails "a tag that is not there" 1 'no image "9"; there are 1' \
    "$SHALE" cat "oci:$T/layout:9:/arch"
check_fails "a name that is not there" 1 'no image "other:latest"; there are app:1' \
    "$SHALE" cat "docker-archive:$T/docker.tar:other:/arch"
check_fails "no file" 1 "there is no $T/none" "$SHALE" mount "oci-archive:$T/none" "$m"
if command -v skopeo > /dev/null; then
    check "gzip layers" build_to "type=oci,dest=$T/gzip.tar,compression=gzip"
    check "skopeo makes a docker archive of them" skopeo copy -q "oci-archive:$T/gzip.tar:1" \
        "docker-archive:$T/skopeo.tar:s:1"
    check "mount it" \
        with_mount "docker-archive:$T/skopeo.tar:s:1" -- grep -qx $here "$m/arch"
fi
tar -C "$ctx" -cf "$T/plain.tar" .
check "mount a tar" with_mount "$T/plain.tar" -- cmp "$m/busybox" "$ctx/busybox"
"$SHALE" cat "$T/plain.tar:/Dockerfile" > "$T/out"
check "cat from a tar" cmp "$T/out" "$ctx/Dockerfile"
check "mount a snapshot" with_mount "$T/tree.snap" -- \
    sh -c 'test "$(stat -c %s "$1/busybox")" = "$(stat -c %s "$2/busybox")"' - "$m" "$ctx"
no_contents() { ! cat "$m/busybox" > "$T/out" 2>&1 && grep -q "Input/output error" "$T/out"; }
check "which has no contents to read" with_mount "$T/tree.snap" -- no_contents
check_fails "a directory" 1 "is a directory already" "$SHALE" mount "$ctx" "$m"

# What is no regular file is refused, at once.
mkdir -p "$T/evil/blobs/sha256"
mkfifo "$T/evil/index.json"
check_fails "a FIFO for an index" 1 "is not a regular file" timeout 20 "$SHALE" cat "oci:$T/evil:/x"
rm "$T/evil/index.json"
cp "$T/layout/index.json" "$T/evil"
for blob in "$T"/layout/blobs/sha256/*; do mkfifo "$T/evil/blobs/sha256/${blob##*/}"; done
export SHALE_ROOT=$T/store3
check_fails "FIFOs for blobs" 1 "is not a regular file" timeout 20 "$SHALE" cat "oci:$T/evil:/x"
mkfifo "$T/fifo"
check_fails "a FIFO for a tar" 1 "is not a regular file" timeout 20 "$SHALE" mount "$T/fifo" "$m"
check_fails "a FIFO for an archive" 1 "is not a regular file" \
    timeout 20 "$SHALE" mount "docker-archive:$T/fifo" "$m"
export SHALE_ROOT=$T/store

# ------------------------------------------------------------------------------------------------
# Layers and steps.

lay=$T/lay
mkdir "$lay"
cp "$busybox" "$lay/busybox"
head -c 300000 /dev/urandom > "$lay/big"
head -c 300000 /dev/urandom > "$lay/big2"
cat > "$lay/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/sh
COPY big /data/big
COPY big /data/gone
ENV A=1
COPY big2 /data/big
RUN rm /data/gone && mkdir /data/new && echo text > /data/new/file && ln /data/big /data/link
D
check "build" "$SHALE" build -q -t lay:1 "$lay"
layer_3() { equal "$(cd "$m" && find . -type f | sort | tr '\n' ' ')" "./data/gone " &&
    cmp "$m/data/gone" "$lay/big"; }
layer_5() { equal "$(cd "$m" && find . ! -type d | sort | tr '\n' ' ')" \
    "./data/.wh.gone ./data/big ./data/link ./data/new/file " &&
    equal "$(stat -c %s "$m/data/.wh.gone")" 0 && cmp "$m/data/link" "$lay/big2"; }
step_4() { cmp "$m/data/big" "$lay/big" && cmp "$m/data/gone" "$lay/big" && absent "$m/data/new"; }
all_layers() {
    equal "$(ls -A "$m" | tr '\n' ' ')" ".shale 1 2 3 4 5 merged " &&
        cmp "$m/merged/data/new/file" <(echo text) && cmp "$m/2/data/big" "$lay/big" &&
        cmp "$m/.shale/2/added/data/big" "$lay/big" &&
        cmp "$m/.shale/2/wasted/data/big" "$lay/big" &&
        cmp "$m/.shale/4/changed/data/big" "$lay/big2" && absent "$m/.shale/4/added/data" &&
        cmp "$m/.shale/5/deleted/data/gone" "$lay/big" && absent "$m/.shale/1/wasted/bin" &&
        cmp "$m/.shale/3/wasted/data/gone" "$lay/big"
}
for tier in $tiers; do
    check "one layer alone ($tier)" with_mount --layer 3 lay:1 -- layer_3
    check "its whiteouts and links" with_mount --layer 5 lay:1 -- layer_5
    check "after a step" with_mount --step 4 lay:1 -- step_4
    check "all layers" with_mount --layers lay:1 -- all_layers
done
tier=auto
check "cat of a step" cmp <("$SHALE" cat "lay:1#step:3:/data/big") "$lay/big"
check "diff of two steps" equal "$("$SHALE" diff --lines --ignore mtime 'lay:1#step:5' lay:1 |
    tr '\n' ';')" "L data/big;D data/gone;A data/link;A data/new;A data/new/file;"
wasted() { "$SHALE" history --wasted --json lay:1 | python3 -c '
import json, sys
print(*[row.get("wastedBytes", "-") for row in json.load(sys.stdin)][::-1])'; }
check "bytes wasted" equal "$(wasted)" "0 300000 300000 - 300000 0"
check "of how many" contains "$("$SHALE" history --wasted lay:1 | tail -1)" "900 kB of"
check "history numbers steps and layers" contains "$("$SHALE" history lay:1)" "LAYER"
check_fails "no such layer" 1 "there is no layer 6, the image has 5" \
    "$SHALE" mount --layer 6 lay:1 "$m"
check_fails "no such step" 1 "there is no step 9" "$SHALE" mount --step 9 lay:1 "$m"
check_fails "layer zero" 1 "is no number from 1" "$SHALE" mount --layer 0 lay:1 "$m"
check_fails "two parts" 1 "exclude each other" "$SHALE" mount --layer 1 --step 1 lay:1 "$m"
check_fails "an odd part" 1 "may stand layer:N" "$SHALE" cat "lay:1#lawyer:1:/x"
check_fails "a file has no layers" 1 "only images have layers" \
    "$SHALE" mount --layers "$T/plain.tar" "$m"

# Origins.
attribute() { python3 -c 'import os, sys
try:
    print(os.getxattr(sys.argv[1], "user.shale." + sys.argv[2]).decode())
except OSError as error:
    print(error.strerror)' "$1" "$2"; }
listed() { python3 -c 'import os, sys; print(os.listxattr(sys.argv[1]))' "$1"; }
origins() {
    equal "$(attribute "$m/bin/sh" layer)" 1 && equal "$(attribute "$m/data/link" layer)" 5 &&
        equal "$(attribute "$m/data/new/file" step)" 6 &&
        contains "$(attribute "$m/data/new/file" instruction)" "rm /data/gone" &&
        equal "$(attribute "$m/bin/sh" content)" "sha256:$(sha256sum < "$busybox" | cut -c -64)" &&
        contains "$("$SHALE" history --no-trunc lay:1)" "$(attribute "$m/bin/sh" digest)" &&
        equal "$(attribute "$m/bin/sh" nonsense)" "No data available" &&
        cp -a "$m/data/new" "$T/copy" && equal "$(listed "$T/copy/file")" "[]"
}
check "origins of files" with_mount lay:1 -- origins
origins_of_views() {
    equal "$(attribute "$m/merged/data/link" layer)" 5 &&
        equal "$(attribute "$m/2/data/big" step)" 2 &&
        equal "$(attribute "$m/.shale/3/wasted/data/gone" layer)" 3 &&
        contains "$(attribute "$m/.shale/5/added/data/new" instruction)" "rm /data/gone" &&
        equal "$(attribute "$m/.shale/5/deleted/data/gone" layer)" "No data available" &&
        equal "$(attribute "$m/.shale" layer)" "No data available"
}
check "and where layers lie beside each other" with_mount --layers lay:1 -- origins_of_views
origin_of_layer() { equal "$(attribute "$m/data/big" layer)" 5; }
check "and of one alone" with_mount --layer 5 lay:1 -- origin_of_layer
no_origins() { case $(attribute "$m/bin/sh" layer) in 1) return 1 ;; esac; }
none_listed() { equal "$(listed "$m/bin/sh")" "[]" && equal "$(listed "$m/data")" "[]"; }
check "none is listed" with_mount lay:1 -- none_listed
check "nor without origins" with_mount --no-origin lay:1 -- none_listed
check "can be turned off" with_mount --no-origin lay:1 -- no_origins

# ------------------------------------------------------------------------------------------------
# Handling mounts.

field() { "$SHALE" mounts --json | python3 -c '
import json, sys
print([row[sys.argv[2]] for row in json.load(sys.stdin) if row["target"] == sys.argv[1]][-1])' \
    "$m" "$1"; }

# kill_mount: both processes of it, and none goes on.
kill_mount() {
    local pids
    pids="$(field holder) $(field pid)"
    kill -9 $pids
    wait_for 5 not runs_any $pids
}
runs_any() {
    local pid
    for pid; do
        [ -e "/proc/$pid/stat" ] && ! grep -q ') Z ' "/proc/$pid/stat" && return 0
    done
    return 1
}
kernel_repeats() { # from Linux 6.9 on
    [ "$(printf '6.9\n%s\n' "$(uname -r)" | sort -V | head -1)" = 6.9 ]
}
is_served_by_another() { [ "$(field pid)" != "$1" ] && runs_any "$(field pid)"; }

handle_mounts() {
    check "mount ($tier)" "$SHALE" mount --tier $tier lay:1 "$m"
    check "mounts lists it" equal "$(field reference)" lay:1
    check "as read-only" equal "$(field state)" ro
    check "as served how" equal "$(field tier)" $tier
    check "as a table" contains "$("$SHALE" mounts)" "$m"
    server=$(field pid)
    holder=$(field holder)
    check "it has a session of its own" \
        equal "$(ps -o sid= -p "$server" | tr -d ' ')" "$holder"
    kill -HUP "$server" "$holder"
    check "which stands a hang-up" cmp "$m/data/big" "$lay/big2"
    check_fails "an occupied directory" 1 "" "$SHALE" mount --tier $tier lay:1 "$m"
    if kernel_repeats; then
        kill -9 "$server"
        check "a killed server is replaced" wait_for 5 is_served_by_another "$server"
        check "and the mount goes on" sh -c "md5sum $m/bin/* > /dev/null"
        check "which is logged" contains "$(tail -1 "$SHALE_ROOT/mount.log")" "killed by signal 9"
        server=$(field pid)
        kill -9 "$holder"
        wait_for 5 not runs_any "$holder"
        check "without the holder, too" sh -c "cat $m/data/link > /dev/null"
        check "mounts says so" equal "$(field state)" ro
    fi
    # The kernel goes on showing what it has seen; what it has not is an error.
    kill_mount 2> /dev/null
    # The threads of a process may have the device open for a moment longer than that is there.
    wait_for 5 sh -c "cat '$m/data/new/file' 2>&1 | grep -q 'not connected'"
    check_fails "a killed server leaves an error" 1 "Transport endpoint is not connected" \
        cat "$m/data/new/file"
    rm -rf "$SHALE_ROOT"/tmp/session-*  # its scratch, which a prune removes once it is old
    check "mounts says dead" equal "$(field state)" dead
    check "umount clears it away" "$SHALE" umount "$m"
    check "nothing is listed" equal "$("$SHALE" mounts | grep -cF "$m")" 0
    mkdir -p "$T/mnt2"
    "$SHALE" mount --tier $tier lay:1 "$m" && "$SHALE" mount --tier $tier lay:1 "$T/mnt2"
    check "umount --all" "$SHALE" umount --all
    check "ended both" equal "$(grep -cF "$T" /proc/self/mountinfo)" 0
    check_fails "umount of nothing" 1 "umount needs directories, or --all" "$SHALE" umount
    "$SHALE" mount --tier $tier lay:1 "$m"
    for process in pid holder; do
        pids="$(field holder) $(field pid)"
        kill -TERM "$(field $process)"
        check "a polite signal unmounts ($process)" \
            wait_for 5 not grep -qF "$m" /proc/self/mountinfo
        check "and nobody is left" wait_for 5 not runs_any $pids
        [ $process = holder ] || "$SHALE" mount --tier $tier lay:1 "$m"
    done
    if kernel_repeats; then
        "$SHALE" mount --tier $tier lay:1 "$m"
        server=$(field pid)
        pids="$(field holder) $server"
        kill -STOP "$server"
        kill -TERM "$(field holder)"
        kill -9 "$server"
        check "who is asked to end does not go on, whoever is killed" \
            wait_for 5 not grep -qF "$m" /proc/self/mountinfo
        check "and nobody is left" wait_for 5 not runs_any $pids
        "$SHALE" mount --tier $tier lay:1 "$m"
        pids="$(field holder) $(field pid)"
        exec 9< "$m/data/big"
        kill -TERM "$(field pid)"
        check "detached while somebody uses it" wait_for 5 not grep -qF "$m" /proc/self/mountinfo
        kill -9 ${pids#* }
        check "its server is the last one" wait_for 5 not runs_any $pids
        exec 9<&-
        "$SHALE" mount --tier $tier lay:1 "$m"
        for _ in 1 2 3; do
            server=$(field pid)
            kill -9 "$server"
            wait_for 5 is_served_by_another "$server"
        done
        kill -9 "$(field pid)"
        wait_for 5 not runs_any "$(field holder)"
        check "servers that die again and again are given up" \
            contains "$(tail -1 "$SHALE_ROOT/mount.log")" "the mount is dead"
        check "umount" "$SHALE" umount "$m"
    fi
}

# ------------------------------------------------------------------------------------------------
# Writing, and keeping it.

write_and_keep() {
    check "mount --rw ($tier)" "$SHALE" mount --tier $tier --rw lay:1 "$m"
    check "mounts says rw" equal "$(field state)" rw
    echo new > "$m/data/new/file"
    rm "$m/data/big"
    mkdir "$m/etc" && echo conf > "$m/etc/conf"
    check "diff shows what was written" equal "$("$SHALE" diff --lines lay:1 "$m" | tr '\n' ';')" \
        "M .;M data;D data/big;M data/new/file;A etc;A etc/conf;"
    check "commit" "$SHALE" commit "$m" lay:2 -m "by hand"
    check "the new image has it" equal "$("$SHALE" cat lay:2:/etc/conf)" conf
    check "and what was not touched" cmp <("$SHALE" cat lay:2:/data/link) "$lay/big2"
    check "is what the mount shows" "$SHALE" diff lay:2 "$m"
    check "a step of the history" contains "$("$SHALE" history lay:2)" "by hand"
    check "commit with changes" \
        "$SHALE" commit -c 'ENV B=2' -c 'CMD ["/bin/sh", "-c", "echo $B"]' "$m" lay:3
    check "is no build to look back at" equal "$("$SHALE" builds --json | grep -c shale-commit)" 0
    check "which are in the config" contains "$("$SHALE" inspect lay:3)" '"B=2"'
    check "and the files too" equal "$("$SHALE" cat lay:3:/etc/conf)" conf
    check_fails "no instruction that makes files" 1 "RUN is not possible" \
        "$SHALE" commit -c 'RUN true' "$m" lay:4
    check_fails "nor nonsense" 1 "--change: " "$SHALE" commit -c 'NONSENSE' "$m" lay:4
    printf 'FROM lay:1\nONBUILD COPY nowhere /\n' > "$lay/onbuild"
    check "build with a trigger" "$SHALE" build -q -t onbuild:1 -f "$lay/onbuild" "$lay"
    mkdir -p "$T/on"
    check "mount it --rw" "$SHALE" mount --tier $tier --rw onbuild:1 "$T/on"
    check_fails "triggers do not run" 1 "has ONBUILD triggers" \
        "$SHALE" commit -c 'ENV B=2' "$T/on" lay:4
    check "without changes they stay" "$SHALE" commit "$T/on" onbuild:2
    check "in the config" contains "$("$SHALE" inspect onbuild:2)" "COPY nowhere /"
    check "umount" "$SHALE" umount "$T/on"
    check "no name was given" equal "$("$SHALE" images --names | grep -c lay:4)" 0
    check "prune beside it" "$SHALE" prune -a -f
    check "it still reads" cmp "$m/bin/sh" "$busybox"
    check "umount" "$SHALE" umount "$m"
    check_fails "what was not committed is gone" 1 "is no writable mount" "$SHALE" commit "$m" lay:5
    check "mount again" with_mount lay:1 -- absent "$m/etc"
    check_fails "a part is not writable" 1 "--rw wants a whole image" \
        "$SHALE" mount --tier $tier --rw --step 1 lay:1 "$m"
}

lose_the_server() {  # what was written is still there, and it is said where
    check "mount --rw ($tier)" "$SHALE" mount --tier $tier --rw lay:1 "$m"
    echo rescued > "$m/rescued"
    if kernel_repeats; then
        server=$(field pid)
        kill -9 "$server"
        check "another server" wait_for 5 is_served_by_another "$server"
        check "shows what was written" equal "$(cat "$m/rescued")" rescued
        check "and what was not" cmp "$m/data/link" "$lay/big2"
        check "as writable" equal "$(field state)" rw
    fi
    kill_mount
    find "$SHALE_ROOT/tmp" -maxdepth 1 -exec touch -d '2 minutes ago' {} +  # old enough to be swept
    check "mounts says dead" equal "$(field state)" dead
    upper=$(field upper)
    check "and where the files are" contains "$("$SHALE" mounts 2>&1 > /dev/null)" "lies in $upper"
    check "prune beside it" "$SHALE" prune -a -f
    check "they are there" equal "$(cat "$upper/rescued")" rescued
    check "commit" "$SHALE" commit "$m" lay:5
    check "makes an image of them" equal "$("$SHALE" cat lay:5:/rescued)" rescued
    check "umount" "$SHALE" umount "$m"
    check "clears them away" absent "$upper"
}

for tier in $tiers; do
    handle_mounts
    write_and_keep
    lose_the_server
done
tier=auto

# The name is given last, when the image is whole.
cat > "$T/renames.py" <<'P'
import ctypes, os, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK)
MOVED_TO = 0x80
if fd < 0 or libc.inotify_add_watch(fd, sys.argv[1].encode(), MOVED_TO) < 0:
    sys.exit("no inotify")
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
count, data = 0, os.read(fd, 1 << 20)
while data:
    length = struct.unpack_from("iIII", data)[3]
    count += data[16:16 + length].rstrip(b"\0") == b"index.json"
    data = data[16 + length:]
print(count)
P
check "mount --rw" "$SHALE" mount --rw lay:1 "$m"
echo named > "$m/named"
check "a commit with changes names one image" equal "$(python3 "$T/renames.py" "$SHALE_ROOT" \
    "$SHALE" commit -c 'ENV B=3' "$m" lay:6)" 1
check "which has all of it" equal "$("$SHALE" cat lay:6:/named)" named
check "names are moved, linked and shut" sh -c "cd '$m' && mv bin/sh bin/ash &&
    ln bin/ash bin/linked && mv data/new data/moved && chmod 700 bin/ash"
check "commit" "$SHALE" commit "$m" lay:7
check "is what the mount shows" "$SHALE" diff lay:7 "$m"
check "the content went with the name" cmp <("$SHALE" cat lay:7:/bin/linked) "$busybox"
check "umount" "$SHALE" umount "$m"

# Where records cannot be kept in /run, they are kept in the store.
cat > "$T/no-run.sh" <<'S'
set -e
mount -t tmpfs -o ro,size=64k none /run
"$SHALE" mount lay:1 "$1"
"$SHALE" mounts | grep -c "$1"
"$SHALE" umount "$1"
"$SHALE" mounts | grep -c "$1" || true
S
check "a mount where /run cannot be written to" equal \
    "$(SHALE=$SHALE unshare -m bash "$T/no-run.sh" "$m" 2>&1 | tr '\n' ';')" "1;0;"

takes() { equal "$(field tier)" "$1" && contains "$(field why)" "$2"; }
check "auto answers at once" with_mount lay:1 -- takes fuse "at once"
check_fails "no image without contents" 1 "no contents to put behind an image" \
    "$SHALE" mount --tier erofs "$T/tree.snap" "$m"
check_fails "passthrough is not there" 1 "lie in compressed frames" \
    "$SHALE" mount --tier passthrough lay:1 "$m"

# ------------------------------------------------------------------------------------------------
# An ordinary user, in a mount namespace whose /dev/fuse everybody may open, as is usual.

if command -v fusermount3 > /dev/null && command -v setpriv > /dev/null; then
    user=$T/user
    mkdir -p "$user/mnt" "$user/run"
    cp "$T/docker.tar" "$user/app.tar"
    chown -R 65534:65534 "$user"
    chmod 711 "$T"
    cp "$SHALE" "$T/shale"  # which may lie where this user cannot go
    mknod -m 666 "$T/fuse" c 10 229
    cat > "$T/user.sh" <<'S'
set -e
mount --bind "$1/fuse" /dev/fuse
exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" HOME="$1/user" \
    SHALE_ROOT="$1/user/store" XDG_RUNTIME_DIR="$1/user/run" sh -e -c '
        cd
        shale=$1/shale archive=docker-archive:$HOME/app.tar
        "$shale" mount "$archive" "$HOME/mnt"
        cat "$HOME/mnt/arch"
        "$shale" mounts | grep -c "$HOME/mnt"
        "$shale" umount "$HOME/mnt"
        "$shale" mounts | grep -c "$HOME/mnt" || true
        "$shale" mount --rw "$archive" "$HOME/mnt" 2>&1 || true' - "$1"
S
    said=$(unshare -m bash "$T/user.sh" "$T" 2>&1 | tr '\n' ';')
    check "a user mounts, lists, unmounts; and writes nothing" contains "$said" \
        "$here;1;0;shale: error: --rw makes an overlay, which needs root;"
fi

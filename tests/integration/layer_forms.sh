#!/usr/bin/env bash
# Layers in the forms of other programs, as those read them: containerd unpacks each, podman pulls
# zstd:chunked and estargz in parts where they are installed, skopeo cuts contents where we do.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/containerd.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root to keep owners"
command -v zstd > /dev/null || skip "needs zstd"
judge() { python3 "$(dirname "$0")/../support/seekable_layer.py" "$@"; }

ctx=$T/ctx
mkdir -p "$ctx/tree/lib"
python3 - "$ctx/tree" <<'P'
import os, random, sys
rng = random.Random(4)
root = sys.argv[1]
for i in range(60):
    text = " ".join("%x" % rng.getrandbits(20) for _ in range(rng.randrange(3000)))
    open(f"{root}/lib/f{i}.txt", "w").write(text)
open(f"{root}/random.bin", "wb").write(rng.randbytes(6_000_000))
open(f"{root}/holes.bin", "wb").write(b"a" + bytes(700_000) + b"b" + bytes(3_000_000))
open(f"{root}/lib/empty", "w").close()
os.link(f"{root}/holes.bin", f"{root}/lib/linked")
os.symlink("../random.bin", f"{root}/lib/symlink")
os.makedirs(f"{root}/{'d' * 90}/{'e' * 90}")
open(f"{root}/{'d' * 90}/{'e' * 90}/deep", "w").write("deep")
P
printf 'FROM scratch\nCOPY tree /tree/\n' > "$ctx/Dockerfile"

layer() { "$SHALE" layer scratch "$ctx" -o "$T/$1" --compression "$2" "${@:3}"; }
check "zstd" layer framed zstd
for form in zstd:chunked zstd-plain uncompressed; do
    check "$form" layer other "$form"
    unpack="zstd -qdc"
    [ "$form" = uncompressed ] && unpack=cat
    check "$form holds the same tar" sh -c "$unpack '$T/other' > '$T/tar' &&
        zstd -qdc '$T/framed' | cmp - '$T/tar'"
done
check "estargz" layer estargz estargz
check "gzip believes it" gzip -t "$T/estargz"
check "tar lists its table last" equal "$(tar tzf "$T/estargz" | tail -1)" stargz.index.json
check "estargz is as its format says" judge estargz "$T/estargz"
check "chunked again" layer chunked zstd:chunked
check "zstd:chunked is as its format says" judge zstd:chunked "$T/chunked"
check "the annotations point at it" sh -c "'$SHALE' layer scratch '$ctx' -o '$T/chunked' --json \
    --compression zstd:chunked | grep -q 'github.containers.zstd-chunked.tarsplit-position'"

for level in -7 22; do
    check "zstd:chunked at level $level" layer "level$level" zstd:chunked --level "$level"
    check "is one, too" judge zstd:chunked "$T/level$level"
done
check "levels are honoured" sh -c "[ $(stat -c %s "$T/level-7") -gt $(stat -c %s "$T/chunked") ] &&
    [ $(stat -c %s "$T/level22") -lt $(stat -c %s "$T/chunked") ]"
check_fails "a level that zstd has not" 1 "-7 to 22" layer none zstd --level 23
check_fails "a level that gzip has not" 1 "0 to 9" layer none estargz --level 10
check_fails "a form that nobody has" 1 "zstd:chunked" layer none lz4

# However large the input, memory is that of the frames under way.
mkdir "$T/large"
size=1G
[ -z "${SHALE_TEST_SLOW:-}" ] || size=20G
truncate -s "$size" "$T/large/sparse"
memory() {
    python3 - "$SHALE" layer scratch "$T/large" -o "$T/other" --compression "$@" <<'P'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
sys.exit(f"{peak} MiB" if peak > 256 else 0)
P
}
for form in zstd zstd:chunked; do
    check "$size of input as $form in 256 MiB of memory" memory "$form"
done
# Of one compressor of this level; two would be 70 MiB more.
check "at a level that takes much" memory zstd --level 22 --memory 64m
check_fails "memory that is no number" 1 "is no size" layer none zstd --memory much
rm -r "$T/large"

build() { "$SHALE" build -q -t "app:$1" -o "type=$2,dest=$T/$1.tar,compression=$3" "$ctx"; }
check "an image of zstd:chunked layers" build chunked oci zstd:chunked
check "an image of estargz layers" build estargz docker estargz
check "an image of plain zstd layers" build plain oci zstd-plain

check "a base" "$SHALE" build -q -t base "$ctx"
printf 'FROM base\nCOPY tree/lib/f1.txt /\n' > "$T/Dockerfile.on"
# How many layers on the base are estargz.
on_base() {
    rm -rf "$T/on"
    "$SHALE" build -q -f "$T/Dockerfile.on" -o "type=oci,dest=$T/on,tar=false,$1" "$ctx" \
        > /dev/null && cat "$T"/on/blobs/sha256/* | grep -ao 'stargz/toc.digest":"' | wc -l
}
check "a base layer keeps its form" equal "$(on_base compression=estargz)" 1
check "unless another is forced" equal \
    "$(on_base compression=estargz,force-compression=true)" 2

if command -v skopeo > /dev/null; then
    check "skopeo copies zstd:chunked" skopeo copy -q "oci-archive:$T/chunked.tar" "dir:$T/dir"
    check "and plain zstd" skopeo copy -q "oci-archive:$T/plain.tar" "dir:$T/dir-plain"
fi
# containerd's own unpacking.
# Each form in a namespace of its own: snapshots go by the digest of a layer's tar, which most forms
# share, and what has been unpacked before is not unpacked again.
containerd_unpacks() {
    local name=${1/:/-} code
    ctr_() { ctr -a "$T/ctr/sock" -n "$name" "$@"; }
    "$SHALE" build -q -o "type=oci,dest=$T/ctr.tar,name=app:$name,compression=$1" "$ctx" &&
        ctr_ image import --snapshotter native "$T/ctr.tar" &&
        ctr_ image mount --snapshotter native "docker.io/library/app:$name" "$T/seen" &&
        diff -r --no-dereference "$ctx/tree" "$T/seen/tree" &&
        equal "$(stat -c %h "$T/seen/tree/holes.bin")" 2
    code=$?
    ctr_ image unmount --snapshotter native --rm "$T/seen" > /dev/null 2>&1
    return $code
}
if command -v containerd > /dev/null && command -v ctr > /dev/null; then
    mkdir "$T/seen"
    start_containerd
    on_exit='kill $containerd; wait $containerd'
    if wait_for 20 ctr -a "$T/ctr/sock" version > /dev/null 2>&1; then
        for form in zstd zstd:chunked estargz zstd-plain gzip; do
            check "containerd unpacks $form" containerd_unpacks "$form"
        done
    else
        echo "note: containerd does not start; it was not asked"
    fi
    kill $containerd
    wait $containerd 2> /dev/null
    on_exit=
else
    echo "note: containerd is not installed; it was not asked"
fi

if ! command -v podman > /dev/null || ! command -v docker-registry > /dev/null; then
    echo "note: podman or docker-registry is not installed; partial pulls were not tried"
    exit
fi

dev=$(realpath "$(dirname "$0")/../../tools/dev")
address=$("$dev" registry start "$T/registry") || exit 1
on_exit='podman rmi -af > /dev/null 2>&1; umount "$T/podman/overlay" 2>/dev/null
    "$dev" registry stop "$T/registry"'
export CONTAINERS_STORAGE_CONF=$T/storage.conf
cat > "$CONTAINERS_STORAGE_CONF" <<Y
[storage]
driver = "overlay"
graphroot = "$T/podman"
runroot = "$T/podman-run"
[storage.options]
pull_options = {enable_partial_images = "true"}
Y
# Pulls in parts, and what it unpacked is what went in.
pulled() {
    skopeo copy -q --dest-tls-verify=false "$1" "docker://$address/$2:1" &&
        podman --log-level=debug pull --tls-verify=false "$address/$2:1" 2> "$T/pull" &&
        grep 'Retrieved partial blob' "$T/pull" &&
        m=$(podman image mount "$address/$2:1") &&
        diff -r --no-dereference "$ctx/tree" "$m/tree" &&
        equal "$(stat -c %h "$m/tree/holes.bin")" 2
    local code=$?
    podman image unmount -f "$address/$2:1" > /dev/null 2>&1
    return $code
}
check "podman pulls zstd:chunked in parts" pulled "oci-archive:$T/chunked.tar" chunked
check "podman pulls estargz in parts" pulled "oci-archive:$T/estargz.tar" estargz
theirs() {
    "$SHALE" build -q -t app:gzip -o "type=oci,dest=$T/gzip.tar,compression=gzip" "$ctx" &&
        skopeo copy -q --dest-compress --dest-compress-format zstd:chunked \
            "oci-archive:$T/gzip.tar" "dir:$T/theirs" &&
        judge same-chunks "$T/theirs/$(ls -S "$T/theirs" | head -1)" "$T/dir/$(
            ls -S "$T/dir" | head -1)"
}
check "skopeo cuts contents where we do" theirs

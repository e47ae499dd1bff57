#!/usr/bin/env bash
# What can be mounted, and how a user handles mounts.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for mounts"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
busybox=$(command -v busybox) || skip "needs busybox (package busybox-static)"

m=$T/mnt
mkdir "$m"
# Mounts a reference and runs a command while it is there.
with_mount() {  # ARGUMENT-OF-MOUNT... -- COMMAND...
    local arguments=() code=0
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

#!/usr/bin/env bash
# Images whose layers containerd mounts lazily, by stargz-snapshotter: it fetches no layer, shows
# the tree that went in, and finds the table of contents to be the one that the manifest names.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/containerd.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for overlayfs"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
library=/usr/share/gocode/src/github.com/containerd/stargz-snapshotter
for program in go containerd ctr-remote docker-registry; do
    command -v "$program" > /dev/null || skip "needs $program"
done
[ -d "$library" ] || skip "needs golang-github-containerd-stargz-snapshotter-dev"
here=$(realpath "$(dirname "$0")")

GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-trimpath \
    go build -o "$T/snapshotter" "$here/../support/stargz_snapshotter.go" || exit 1

ctx=$T/ctx
mkdir -p "$ctx/tree/lib" "$ctx/new" "$T/seen"
head -c 9000000 /dev/urandom > "$ctx/tree/large.bin"
{ echo a; head -c 3000000 /dev/zero; echo b; } > "$ctx/tree/holes.bin"
seq 1 20000 > "$ctx/tree/lib/text"
: > "$ctx/tree/lib/empty"
ln "$ctx/tree/holes.bin" "$ctx/tree/lib/linked"
ln -s ../large.bin "$ctx/tree/lib/symlink"
chmod 4755 "$ctx/tree/lib/linked"
chmod 2710 "$ctx/tree/lib"
touch -d '2001-02-03 04:05:06 UTC' "$ctx/tree/lib/text"
echo new > "$ctx/new/text"
# The second layer hides something of the first, and replaces something else.
printf 'FROM scratch\nCOPY tree /tree/\nCOPY new /tree/lib/\n' > "$ctx/Dockerfile"
cp -a "$ctx/tree" "$T/wanted"
cp -a --remove-destination "$ctx/new/text" "$T/wanted/lib/text"

dev=$here/../../tools/dev
address=$("$dev" registry start "$T/registry") || exit 1
mkdir "$T/ctr"
"$T/snapshotter" "$T/ctr/stargz-state" "$T/ctr/stargz" > "$T/ctr/stargz.log" 2>&1 &
snapshotter=$!
# The view of a snapshot that is looked at belongs to no image, so nothing may be collected.
start_containerd '[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "1h"
mutation_threshold = 1000000
[proxy_plugins.stargz]
type = "snapshot"
address = "'"$T/ctr/stargz"'"'
# A snapshotter that was told to end leaves its mounts to the next one.
on_exit='umount "$T/seen" 2> /dev/null; kill $containerd $snapshotter; wait $containerd $snapshotter
    grep -o "$T/ctr/stargz-state[^ ]*" /proc/self/mountinfo | xargs -r -n 1 umount
    "$dev" registry stop "$T/registry"'
check "containerd and stargz-snapshotter run" wait_for 20 ctr-remote -a "$T/ctr/sock" \
    snapshots --snapshotter stargz ls

# Each form in a namespace of its own: snapshots go by DiffIDs, which most forms share.
ctr_() { ctr-remote -a "$T/ctr/sock" -n "$name" "$@"; }
pushed() {
    "$SHALE" build -q -o "type=image,name=$address/app:$name,push=true,compression=$form" "$ctx" &&
        "$SHALE" inspect "$address/app:$name" > "$T/inspected"
}
pulled() { ctr_ images rpull --plain-http "$address/app:$name"; }
layers() { python3 -c 'import json, sys
for layer in json.load(open(sys.argv[1]))["manifest"]["layers"]:
    print(layer["digest"])' "$T/inspected"; }
has_layer() { ctr_ content ls -q | grep -qxF "$(layers)"; }  # one of them
mounts() { grep -c "$T/ctr/stargz-state.* fuse" /proc/self/mountinfo; }
is_lazy() { not has_layer && equal "$(mounts)" $((before + 2)); }
# A COPY into a directory gives that a new time.
facts() {
    (cd "$1" && find . \( -type d -printf '%p %y %m %U %G\n' \) -o \
        -printf '%p %y %m %U %G %Ts %l\n' | sort)
}
shown() {
    local top
    top=$(ctr_ snapshots --snapshotter stargz ls | awk 'NR > 1 { parent[$1] = $2; seen[$2] = 1 }
        END { for (key in parent) if (!(key in seen)) print key }')
    ctr_ snapshots --snapshotter stargz view look "$top" &&
        sh -c "$(ctr_ snapshots --snapshotter stargz mounts "$T/seen" look)" || return 1
    diff -r --no-dereference "$T/wanted" "$T/seen/tree" &&
        equal "$(facts "$T/seen/tree")" "$(facts "$T/wanted")"
    local code=$?
    umount "$T/seen"
    return $code
}
for form in estargz zstd:stargz zstd:chunked zstd; do
    name=${form/:/-}
    check "$form: an image" pushed
    before=$(mounts)
    check "$form: is pulled" pulled
    case $form in
    *stargz) check "$form: no layer was fetched" is_lazy ;;
    # Not its dialects: it says so and takes the layers whole.
    *) check "$form: the layers were fetched" has_layer ;;
    esac
    check "$form: what is shown is what went in" shown
done

# The other way round: what its converter makes is read in parts by us.
name=converted
form=gzip
converted=$address/app:esgz
convert() {
    echo '{"path":"tree/large.bin"}' > "$T/record"
    ctr_ content fetch --plain-http "$address/app:$name" > /dev/null &&
        ctr_ images convert --oci --estargz --estargz-record-in "$T/record" \
            "$address/app:$name" "$converted" > /dev/null &&
        ctr_ images push --plain-http "$converted" > /dev/null
}
check "an image with gzip layers" pushed
check "is converted" convert
export SHALE_ROOT=$T/elsewhere
check "mount pulls nothing" equal "$("$SHALE" mount "docker://$converted" "$T/seen" 2>&1)" ""
check "what was to come first stands first" cmp -n 1 "$T/seen/.prefetch.landmark" <(printf '\x0f')
check "what is shown is what went in" diff -r --no-dereference "$T/wanted" "$T/seen/tree"
check "with the same attributes" equal "$(facts "$T/seen/tree")" "$(facts "$T/wanted")"
check "no layer came whole" equal "$(ls "$SHALE_ROOT/blobs/sha256")" ""
check "umount" "$SHALE" umount "$T/seen"

#!/usr/bin/env bash
# docker://: what is fetched of an image in a registry, and what happens when that goes wrong.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for mounts"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
command -v docker-registry > /dev/null || skip "needs docker-registry"
command -v zstd > /dev/null || skip "needs zstd, to look into a table of contents"
support=$(realpath "$(dirname "$0")/../support")

dev=$(realpath "$support/../../tools/dev")
address=$("$dev" registry start "$T/registry") || exit 1
port=${address##*:}
mkdir "$T/proxy"
python3 "$support/registry_proxy.py" "127.0.0.1:$port" "$T/proxy" &
proxy=$!
on_exit='umount -l "$m" 2>/dev/null; "$dev" registry stop "$T/registry"
    kill $proxy 2>/dev/null; wait 2>/dev/null; true'
for _ in $(seq 100); do
    [ -e "$T/proxy/port" ] && break
    sleep 0.1
done
remote=localhost:$(cat "$T/proxy/port")/team/app

# Two layers of incompressible files: many small ones and a large one.
ctx=$T/ctx
mkdir -p "$ctx/small"
python3 - "$ctx" <<'P'
import random, sys
source = random.Random(1)
for number in range(400):
    with open(f"{sys.argv[1]}/small/{number:03}", "wb") as file:
        file.write(source.randbytes(20_000))
with open(f"{sys.argv[1]}/large", "wb") as file:
    file.write(source.randbytes(24_000_000))
P
cat > "$ctx/Dockerfile" <<'D'
FROM scratch
COPY small /small
COPY large /large
D
m=$T/mnt
mkdir "$m"
behind=localhost:$port/team/app  # the same, past the proxy
check "build" "$SHALE" build -q -t "$behind:1" "$ctx"
check "push" "$SHALE" push -q "$behind:1"
"$SHALE" inspect "$behind:1" > "$T/image.json"
digest=$(python3 -c '
import json, sys
print(json.load(sys.stdin)["descriptor"]["digest"])' < "$T/image.json")

# Says "TABLES FRAME": bytes of all tables of contents, and of the frame that begins a file.
frame_of() {
    python3 - "$T/image.json" "$SHALE_ROOT" "$1" <<'P'
import json, struct, subprocess, sys
image, root, path = sys.argv[1:]
tables = 0
for layer in json.load(open(image))["manifest"]["layers"]:
    blob = open(f"{root}/blobs/sha256/{layer['digest'][7:]}", "rb").read()
    at, packed = struct.unpack("<QQ", blob[-64:-48])
    tail = len(blob) - at + 8
    assert tail == int(layer["annotations"]["dev.shale.toc.bytes"])
    tables += tail
    toc = json.loads(subprocess.run(["zstd", "-dc"], input=blob[at:at + packed],
                                    stdout=subprocess.PIPE, check=True).stdout)
    end = 0
    for entry in toc["entries"]:
        if entry["type"] != "reg" or not entry.get("size"):
            continue
        place = entry.get("tarOffset", end + 512 + entry.get("gap", 0))
        end = place + -(-entry["size"] // 512) * 512
        if entry["name"] == path:
            frame = [f[1] for f in toc["frames"] if f[2] <= place < f[2] + f[3]][0]
print(tables, frame)
P
}
fetched() { awk '{ sum += $4 } END { print sum + 0 }' "$T/proxy/log"; }
requests() { grep -c " [0-9]*$" "$T/proxy/log"; }
begin() { : > "$T/proxy/log"; }
in_bounds() { [ "$1" -le "$2" ] || { echo "$1 bytes fetched, $2 allowed"; return 1; }; }

root=$SHALE_ROOT
for file in small/123 large; do
    read -r tables frame < <(SHALE_ROOT=$root frame_of $file)
    export SHALE_ROOT=$T/store-${file%/*}
    begin
    check "mount from the registry" "$SHALE" mount "docker://$remote:1" "$m"
    check "the first byte of $file" cmp -n 1 "$m/$file" "$ctx/$file"
    # The kernel reads ahead within a large file, a megabyte or so, and as much may be fetched
    # ahead of that.
    [ $file = large ] && frame=$((frame + (4 << 20)))
    check "costs the tables, a frame and little else" \
        in_bounds "$(fetched)" $((tables + frame + 65536))
    check "no layer came whole" equal "$(ls "$SHALE_ROOT/blobs/sha256")" ""
    check "all of it" diff -r "$m/small" "$ctx/small"
    check "the large file" cmp "$m/large" "$ctx/large"
    check "in fewer requests than frames" in_bounds "$(requests)" 20
    check "each frame once" in_bounds "$(fetched)" $((tables + 32500000))
    all=$(fetched)
    echo 3 > /proc/sys/vm/drop_caches
    check "again, after the page cache lost it" cmp "$m/large" "$ctx/large"
    check "costs nothing" equal "$(fetched)" "$all"
    check "prune beside it" "$SHALE" prune -a -f
    check "umount" "$SHALE" umount "$m"
done
begin
check "cat" cmp <("$SHALE" cat "docker://$remote:1:/small/001") "$ctx/small/001"
read -r tables frame < <(SHALE_ROOT=$root frame_of small/001)
check "fetches the same" in_bounds "$(fetched)" $((tables + frame + 65536))
check "by digest" cmp <("$SHALE" cat "docker://$remote@$digest:/small/001") "$ctx/small/001"
begin
check "cp" "$SHALE" cp "docker://$remote:1:/small/002" "$T/copied"
check "the same" cmp "$T/copied" "$ctx/small/002"
check "fetches as little" in_bounds "$(fetched)" $((tables + frame + 65536))
begin
check "diff with the directory reads no frame" sh -c '"$1" diff "docker://$2:1" "$3" \
    --ignore mtime --only small' - "$SHALE" "$remote" "$ctx"
check "only tables" in_bounds "$(fetched)" $((tables + 65536))

# ------------------------------------------------------------------------------------------------
# What is fetched before somebody reads it.

export SHALE_ROOT=$T/store-ahead
lists=$SHALE_ROOT/access-lists
# until_in FILE PATTERN: what the serving process does behind our back, at last.
until_in() {
    for _ in $(seq 300); do
        grep -qsr -- "$2" "$1" && return
        sleep 0.1
    done
    echo "no $2 in $1"
    return 1
}
settled() { # until nothing has been fetched for half a second
    local before=-1
    while [ "$before" != "$(fetched)" ]; do
        before=$(fetched)
        sleep 0.5
    done
}
check "mount, and note what is read" "$SHALE" mount --record "docker://$remote:1" "$m"
check "a small file" cmp "$m/small/123" "$ctx/small/123"
check "the large one" cmp "$m/large" "$ctx/large"
check "the small one again" cmp "$m/small/123" "$ctx/small/123"
check "umount" "$SHALE" umount "$m"
check "it is noted for which repository" until_in "$lists" "^# localhost:[0-9]*/team/app$"
check "which files, in their order" equal "$(grep -h ^sha256 "$lists"/*)" \
    "$(cd "$ctx" && sha256sum small/123 large | sed 's/^\(.\{64\}\).*/sha256:\1/')"
check "another version of the image" sh -c 'echo new > "$1/small/new"
    SHALE_ROOT=$2 "$3" build -q -t "$4:next" "$1" && SHALE_ROOT=$2 "$3" push -q "$4:next"' \
    - "$ctx" "$root" "$SHALE" "$behind"
begin
check "its mount" "$SHALE" mount "docker://$remote:next" "$m"
has_fetched() { [ "$(fetched)" -gt 24000000 ]; }
check "fetches what was read of the other" wait_for 30 has_fetched
settled
all=$(fetched)
check "and not the rest" in_bounds "$all" 27000000
check "so that to read it" cmp "$m/large" "$ctx/large"
check "fetches nothing more" equal "$(fetched)" "$all"
check "umount" "$SHALE" umount "$m"
begin
check "a mount that shall not" "$SHALE" mount --no-prefetch "docker://$remote:next" "$m"
settled
check "does not" in_bounds "$(fetched)" 1000000
check "umount" "$SHALE" umount "$m"
echo nonsense > "$(echo "$lists"/*)"
check "a list that is none" contains \
    "$("$SHALE" mount "docker://$remote:next" "$m" 2>&1)" 'line 1: not "shale access list 1"'
check "umount" "$SHALE" umount "$m"
rm -r "$lists"

check "mount, and fetch all" "$SHALE" mount --complete "docker://$remote:next" "$m"
check "until it is here" until_in "$SHALE_ROOT/mount.log" "$remote:next is here, all of it"
touch "$T/proxy/down"
check "then the registry may go" diff -r "$m/small" "$ctx/small"
check "with everything" cmp "$m/large" "$ctx/large"
rm "$T/proxy/down"
check "umount" "$SHALE" umount "$m"
check "mount, and read nothing" "$SHALE" mount --record "docker://$remote:1" "$m"
server=$("$SHALE" mounts --json | sed -n 's/ *"pid": \([0-9]*\),/\1/p')
check "umount" "$SHALE" umount "$m"
check "the server ends" wait_for 10 not kill -0 "$server"
check "and nothing is noted" absent "$lists"
check "mount, and let go at once" "$SHALE" mount --complete "docker://$remote:1" "$m"
check "umount" "$SHALE" umount "$m"
for flag in --record --complete --no-prefetch; do
    SHALE_ROOT=$root check_fails "$flag for what is here" 1 "images that stay in their registry" \
        "$SHALE" mount $flag "$behind:1" "$m"
done
if grep -q erofs /proc/filesystems; then
    check_fails "names alone tell nothing of what is read" 1 "record wants --tier fuse" \
        "$SHALE" mount --record --tier erofs "docker://$remote:1" "$m"
fi

# ------------------------------------------------------------------------------------------------
# Trouble.

export SHALE_ROOT=$T/store-trouble
log=$SHALE_ROOT/mount.log
check "mount" "$SHALE" mount "docker://$remote:1" "$m"
check "a file that is read while all is well" cmp "$m/small/001" "$ctx/small/001"
touch "$T/proxy/corrupt"
check_fails "a corrupt frame" 1 "Input/output error" cat "$m/large"
check "is logged with path and digest" \
    grep -q "reading /large: blob sha256:.*digest mismatch" "$log"
check_fails "it stays corrupt" 1 "Input/output error" cat "$m/large"
check "which is no news" equal "$(grep -c "reading /large: " "$log")" 1
check "what was read before is still there" cmp "$m/small/001" "$ctx/small/001"
rm "$T/proxy/corrupt"
check "and better luck later" cmp "$m/large" "$ctx/large"
touch "$T/proxy/down"
check_fails "a registry that is down" 1 "Input/output error" timeout 60 cat "$m/small/399"
check "is logged with path" grep -q "reading /small/399: " "$log"
check "the rest is there" cmp "$m/large" "$ctx/large"
rm "$T/proxy/down"
check "and it comes back" cmp "$m/small/399" "$ctx/small/399"
check "umount" "$SHALE" umount "$m"
touch "$T/proxy/corrupt"
check_fails "a corrupt table of contents" 1 "digest mismatch" \
    "$SHALE" mount "docker://$remote:1" "$m"
rm "$T/proxy/corrupt"
touch "$T/proxy/norange"
check_fails "a registry without ranges" 1 "ignores ranges" "$SHALE" mount "docker://$remote:1" "$m"
rm "$T/proxy/norange"
check_fails "an image that is not there" 1 "not found" "$SHALE" mount "docker://$remote:2" "$m"

# Of our mount; the machine may have others.
server() {
    "$SHALE" mounts --json | python3 -c 'import json, sys
print(*(mount["pid"] for mount in json.load(sys.stdin) if mount["target"] == sys.argv[1]))' "$m"
}
# The serving process is killed while somebody waits for the registry.
if [ "$(printf '6.9\n%s\n' "$(uname -r)" | sort -V | head -1)" = 6.9 ]; then
    check "mount" "$SHALE" mount "docker://$remote:1" "$m"
    server=$(server)
    touch "$T/proxy/stall"
    begin
    cat "$m/small/200" > "$T/read" &
    reader=$!
    check "somebody reads" until_in "$T/proxy/log" blobs
    rm "$T/proxy/stall"
    kill -9 "$server"
    wait $reader
    check "the read that waited ends well" equal $? 0
    check "with what the file holds" cmp "$T/read" "$ctx/small/200"
    check "another one served it" sh -c "[ -n '$(server)' ] && [ '$(server)' != '$server' ]"
    check "umount" "$SHALE" umount "$m"
    : > "$SHALE_ROOT/mount.log"
    check "mount, and fetch all" "$SHALE" mount --complete "docker://$remote:1" "$m"
    check "until it is here" until_in "$SHALE_ROOT/mount.log" "is here, all of it"
    touch "$T/proxy/down"
    kill -9 "$(server)"
    check "another server has it all, too" cmp "$m/large" "$ctx/large"
    rm "$T/proxy/down"
    check "umount" "$SHALE" umount "$m"
fi

check "mount to write" "$SHALE" mount --rw "docker://$remote:1" "$m"
echo new > "$m/new"
check_fails "what is not here is no base for a commit" 1 "shale pull $remote:1" \
    "$SHALE" commit "$m" "committed:1"
check "pull it" "$SHALE" pull -q "$remote:1"
check "then it is" "$SHALE" commit "$m" "committed:1"
check "with what was written" equal "$("$SHALE" cat committed:1:/new)" new
check "umount" "$SHALE" umount "$m"

# ------------------------------------------------------------------------------------------------
# Layers in the forms of other programs: the manifest vouches for their tables, too.

for form in estargz zstd:stargz zstd:chunked; do
    tag=${form/:/-}
    SHALE_ROOT=$root check "$form: an image" "$SHALE" build -q -t "$behind:$tag" \
        --output "type=image,compression=$form,force-compression=true" "$ctx"
    SHALE_ROOT=$root check "$form: push it" "$SHALE" push -q "$behind:$tag"
    export SHALE_ROOT=$T/store-$tag
    begin
    check "$form: mount pulls nothing" \
        equal "$("$SHALE" mount "docker://$remote:$tag" "$m" 2>&1)" ""
    check "$form: a small file" cmp "$m/small/123" "$ctx/small/123"
    check "$form: costs the tables, a piece and its neighbours" in_bounds "$(fetched)" 400000
    check "$form: all of them" diff -r "$m/small" "$ctx/small"
    check "$form: the large file" cmp "$m/large" "$ctx/large"
    check "$form: in fewer requests than files" in_bounds "$(requests)" 120
    check "$form: each piece once" in_bounds "$(fetched)" 33000000
    check "$form: no layer came whole" equal "$(ls "$SHALE_ROOT/blobs/sha256")" ""
    check "$form: umount" "$SHALE" umount "$m"
    check "$form: mount" "$SHALE" mount "docker://$remote:$tag" "$m"
    touch "$T/proxy/corrupt"
    check_fails "$form: a corrupt piece" 1 "Input/output error" cat "$m/small/007"
    check "$form: is logged with path" grep -q "reading /small/007: blob sha256:" \
        "$SHALE_ROOT/mount.log"
    rm "$T/proxy/corrupt"
    check "$form: and better luck later" cmp "$m/small/007" "$ctx/small/007"
    check "$form: umount" "$SHALE" umount "$m"
    check "$form: mount, and fetch all" "$SHALE" mount --complete "docker://$remote:$tag" "$m"
    check "$form: until it is here" until_in "$SHALE_ROOT/mount.log" "$tag is here, all of it"
    touch "$T/proxy/down"
    check "$form: then the registry may go" cmp "$m/large" "$ctx/large"
    rm "$T/proxy/down"
    check "$form: umount" "$SHALE" umount "$m"
done

# A layer without a table is pulled.
SHALE_ROOT=$root check "a gzip image" "$SHALE" build -q -t "$behind:gz" \
    --output type=image,compression=gzip,force-compression=true "$ctx"
SHALE_ROOT=$root check "push it" "$SHALE" push -q "$behind:gz"
check "mount says what it pulls" contains "$("$SHALE" mount "docker://$remote:gz" "$m" 2>&1)" \
    "2 of 2 layers have no table of contents"
check "and shows it" cmp "$m/small/007" "$ctx/small/007"
check "umount" "$SHALE" umount "$m"

#!/usr/bin/env bash
# Caches that travel between stores: through a registry, a directory, and the image itself; with
# commands, which unit tests cannot run, and with skopeo as a second opinion.
. "$(dirname "$0")/../support/harness.sh"
needs_containers
for tool in jq skopeo docker-registry; do command -v $tool > /dev/null || skip "needs $tool"; done
dev=$(dirname "$0")/../../tools/dev
registry=$("$dev" registry start "$T/registry") || skip "no registry"
on_exit='"$dev" registry stop "$T/registry"'

ctx=$T/ctx
mkdir -p "$ctx"
cp "$busybox" "$ctx/busybox"
echo one > "$ctx/source"
cat > "$ctx/Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS builder
COPY source /source
RUN sed s/one/built/ /source > /result && head -c 300000 /dev/urandom > /noise && date > /when
FROM base
COPY --from=builder /result /noise /app/
RUN cat /app/result > /seen
D

# on STORE FLAG...: builds with that store, as another machine would.
on() {
    local code=0
    SHALE_ROOT=$T/$1 "$SHALE" build --progress plain "${@:2}" "$ctx" > "$T/last.log" 2>&1 || code=$?
    cat "$T/last.log"
    return "$code"
}
id_of() { SHALE_ROOT=$T/$1 "$SHALE" inspect "$2" | jq -r .id; }
executed() { grep -cE '^#[0-9]+ DONE' "$T/last.log"; }
ran() { grep -E '^#[0-9]+ \[.*\] RUN' "$T/last.log" | sed 's/^#\([0-9]*\) .*/\1/' | sort -u |
    while read -r n; do grep -q "^#$n CACHED" "$T/last.log" || echo "$n"; done | wc -l; }
layers_imported() { grep -c '^#[0-9]* importing layer' "$T/last.log"; }
manifest() { skopeo inspect --raw --tls-verify=false "docker://$registry/$1"; }

# --- through a registry --------------------------------------------------------------------------
check "a build writes its cache to a registry" on a -t app \
    --cache-to "type=registry,ref=$registry/cache:max,mode=max" \
    --cache-to "type=registry,ref=$registry/cache:min"
check "another machine builds from it" on b -t app --cache-from "$registry/cache:max"
check "without running a command" equal "$(ran)" 0
check "to the same image" equal "$(id_of b app)" "$(id_of a app)"
check "fetching the layers of the result and no others" equal "$(layers_imported)" 4
check "a cache is an image that skopeo reads" skopeo inspect --tls-verify=false \
    "docker://$registry/cache:max"
check "and copies" skopeo copy --src-tls-verify=false "docker://$registry/cache:max" "dir:$T/copy"
check "its minimum has the layers of the result" equal \
    "$(manifest cache:min | jq '.layers | length')" 4
check "its maximum those of every step" equal "$(manifest cache:max | jq '.layers | length')" 6

check "nothing is fetched that nothing needs" on c -o type=cacheonly \
    --cache-from "$registry/cache:max"
check "so no layer" equal "$(layers_imported)" 0
check "the minimum knows an unchanged build, too" on d -t app --cache-from "$registry/cache:min"
check "without a command" equal "$(ran)" 0
check "and to the same image" equal "$(id_of d app)" "$(id_of a app)"

echo "one more" > "$ctx/source"
check "a change after an import" on e -t app --cache-from "$registry/cache:max"
check "runs what depends on it" equal "$(ran)" 2
check "a change after an import of the minimum" on f -t app --cache-from "$registry/cache:min"
check "comes out right" equal "$(SHALE_ROOT=$T/f "$SHALE" cat app:/seen)" "built more"
echo one > "$ctx/source"

# --- early cut-off -------------------------------------------------------------------------------
sed 's/ > \/noise/ > \/other-noise/; s/ \/noise / /; s/date > \/when/echo other > \/when/' \
    "$ctx/Dockerfile" > "$T/other.Dockerfile"
check "the result before" on a -t cut -f "$T/other.Dockerfile" \
    --cache-to "type=registry,ref=$registry/cache:cut,mode=max"
sed -i 's/echo other/echo another/' "$T/other.Dockerfile"
check "a command that is another and gives the same file" on g -t cut -f "$T/other.Dockerfile" \
    --cache-from "$registry/cache:cut"
check "lets what comes after it hit by content" equal "$(ran)" 1
check "and be as it was" equal "$(SHALE_ROOT=$T/g "$SHALE" cat cut:/seen)" built

# --- through a directory -------------------------------------------------------------------------
check "a cache in a directory" on a -t app --cache-to "type=local,dest=$T/dir,mode=max"
check "skopeo reads it" skopeo inspect "oci:$T/dir:latest"
check "is imported" on h -t app --cache-from "type=local,src=$T/dir"
check "with nothing run" equal "$(ran)" 0
check "as the same image again" equal "$(id_of h app)" "$(id_of a app)"
# Whose links lead elsewhere: it may have been a stranger's.
cp -r "$T/dir" "$T/linked" && echo precious > "$T/precious"
blob=$(basename "$(find "$T/linked/blobs/sha256" -type f | head -1)")
ln -sf "$T/precious" "$T/linked/blobs/sha256/$blob"
check "a cache goes into a directory with a link" \
    on a -t app --cache-to "type=local,dest=$T/linked,mode=max"
check "which is replaced" cmp "$T/linked/blobs/sha256/$blob" "$T/dir/blobs/sha256/$blob"
check "and not followed" equal "$(cat "$T/precious")" precious
rm -r "$T/linked/blobs/sha256" && mkdir "$T/elsewhere" && echo precious > "$T/elsewhere/$blob"
ln -s "$T/elsewhere" "$T/linked/blobs/sha256"
check_fails "not into a directory that is elsewhere" 1 "is no directory" \
    on a -t app --cache-to "type=local,dest=$T/linked,mode=max,reset=true"
check "where nothing is removed" equal "$(cat "$T/elsewhere/$blob")" precious
mkdir -p "$T/layout/blobs/sha256"
ln -s "$T/precious" "$T/layout/index.json"
check "an output of a layout" on a -t app -o "type=oci,tar=false,dest=$T/layout"
check "follows none either" equal "$(cat "$T/precious")" precious
cp -r "$T/dir" "$T/large" && blob=$(jq -r '.manifests[0].digest' "$T/large/index.json")
config=$(jq -r .config.digest "$T/large/blobs/sha256/${blob#sha256:}")
truncate -s 1G "$T/large/blobs/sha256/${config#sha256:}"
check "a blob that is larger than it is said to be" \
    on larger -t app --cache-from "type=local,src=$T/large"
check "is not read to its end" contains "$(cat "$T/last.log")" "bytes that are stated"
check "with gzip" on a -t app --cache-to "type=local,dest=$T/gz,mode=max,compression=gzip"
check "which is what its layers are" equal "$(jq -r .manifests[0].digest "$T/gz/index.json" |
    sed "s|sha256:|$T/gz/blobs/sha256/|" | xargs jq -r '.layers[].mediaType' | sort -u)" \
    application/vnd.oci.image.layer.v1.tar+gzip
check "it is imported, too" on i -t app --cache-from "type=local,src=$T/gz"
check "with the same result" equal "$(id_of i app)" "$(id_of a app)"

# --- in the image --------------------------------------------------------------------------------
check "an image with its cache" on a -t "$registry/app:1" --cache-to type=inline --push
check "which skopeo reads" skopeo inspect --tls-verify=false "docker://$registry/app:1"
check "builds itself elsewhere" on j -t "$registry/app:1" --cache-to type=inline \
    --cache-from "$registry/app:1"
check "without a command run" equal "$(ran)" 0
check "and is the same again" equal "$(id_of j "$registry/app:1")" "$(id_of a "$registry/app:1")"

# --- damage --------------------------------------------------------------------------------------
damage() {  # DIRECTORY: flips a byte in the middle of each layer
    local blob size
    for blob in "$1"/blobs/sha256/*; do
        head -c 1 "$blob" | grep -q '{' && continue
        size=$(stat -c %s "$blob")
        printf '\xff' | dd of="$blob" bs=1 seek=$((size / 2)) conv=notrunc status=none
    done
}
cp -r "$T/dir" "$T/damaged"
damage "$T/damaged"
check "damaged layers are no reason to fail" on k -t app --cache-from "type=local,src=$T/damaged"
check "but to warn" grep -q "is not used any more" "$T/last.log"
check "and the image is right" equal "$(SHALE_ROOT=$T/k "$SHALE" cat app:/seen)" built
cp -r "$T/dir" "$T/short"
for blob in "$T"/short/blobs/sha256/*; do truncate -s -7 "$blob"; done
check "nor are documents cut short" on l -t app --cache-from "type=local,src=$T/short"
check "of which one is told" grep -q "is not used" "$T/last.log"
cp -r "$T/dir" "$T/sizeless"
python3 - "$T/sizeless" <<'P'
import hashlib, json, sys
blobs = sys.argv[1] + "/blobs/sha256/"
index = json.load(open(sys.argv[1] + "/index.json"))
entry = index["manifests"][0]
manifest = json.load(open(blobs + entry["digest"][7:]))
for layer in manifest["layers"]:  # any of them may be the one that is not needed
    layer["size"] = 0
text = json.dumps(manifest).encode()
digest = hashlib.sha256(text).hexdigest()
open(blobs + digest, "wb").write(text)
entry.update(digest="sha256:" + digest, size=len(text))
json.dump(index, open(sys.argv[1] + "/index.json", "w"))
P
check "nor are layers that are said to be empty" on m -t app \
    --cache-from "type=local,src=$T/sizeless"
check "which is told, too" grep -q "is not used any more" "$T/last.log"
check "and no layer of the image is" equal "$(SHALE_ROOT=$T/m "$SHALE" inspect app |
    jq '[.manifest.layers[] | select(.size == 0)] | length')" 0
check "a cache that is not there is a warning" on l -t app --cache-from "$registry/none:1"
check "that names it" grep -q "none:1 is not used" "$T/last.log"
check_fails "a service that is not spoken to" 1 "type=gha is not implemented" \
    on a --cache-to type=gha
for store in a b c d e f g h i j k l m; do rm -rf "${T:?}/$store"; done

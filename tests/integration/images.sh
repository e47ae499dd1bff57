#!/usr/bin/env bash
# Images against a real registry: push, pull, mount, run; and one that is down, lies or truncates.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for mounts and the OCI runtime"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
command -v docker-registry > /dev/null || skip "needs docker-registry"
busybox=$(command -v busybox) || skip "needs busybox (package busybox-static)"

port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
cat > "$T/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $T/registry}}
http: {addr: "127.0.0.1:$port"}
Y
docker-registry serve "$T/registry.yml" > "$T/registry.log" 2>&1 &
registry=$!
on_exit='kill $registry 2>/dev/null; wait 2>/dev/null; true'
for _ in $(seq 100); do curl -fs "http://127.0.0.1:$port/v2/" > /dev/null && break; sleep 0.1; done

ctx=$T/ctx
mkdir "$ctx"
cp "$busybox" "$ctx/busybox"
cat > "$ctx/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/sh
RUN echo hello > /hello.txt
ENV WHO=world
CMD ["sh"]
D
remote=localhost:$port/team/app:v1

check "build" "$SHALE" build -q -t app:v1 "$ctx"
check "tag" "$SHALE" tag app:v1 "$remote"
printf 'FROM app:v1\nENV WHO=moon\nUSER 7\n' > "$T/other"
check "the same files, another config" "$SHALE" build -q -t app:other -f "$T/other" "$ctx"
check_fails "diff tells configs apart" 1 "C Env.WHO  world -> moon" "$SHALE" diff app:v1 app:other
check_fails "and in JSON" 1 '"config":"User","after":"7"' "$SHALE" diff --json app:v1 app:other
check_fails "as lines" 1 "C User" "$SHALE" diff --lines app:v1 app:other
check_fails "in the totals" 1 "2 fields of the config" "$SHALE" diff --stat app:v1 app:other
check "unless that is ignored" "$SHALE" diff --ignore config app:v1 app:other
check "files alone are asked for" "$SHALE" diff --only hello.txt app:v1 app:other
check_fails "two forms at once" 2 "one or the other" \
    "$SHALE" diff --json --content app:v1 app:other
check "push" "$SHALE" push -q "$remote"
check "push again sends nothing" "$SHALE" push -q "$remote"
elsewhere() { "$SHALE" --root "$T/elsewhere" "$@"; }
check "inspect asks a registry" contains "$(elsewhere inspect "docker://$remote")" '"WHO=world"'
check "so does history" contains "$(elsewhere history "docker://$remote")" "echo hello"
check "whose layers stay there" sh -c "! find '$T/elsewhere/blobs' -size +100k | grep -q ."
check "a saved image has its history, too" sh -c "
    '$SHALE' build -q -o type=docker,dest='$T/saved.tar' -f '$T/other' '$ctx'
    '$SHALE' --root '$T/elsewhere' history --json 'docker-archive:$T/saved.tar' | grep -q 'USER 7'"
if command -v skopeo > /dev/null; then
    check "skopeo inspects the pushed image" skopeo inspect --tls-verify=false "docker://$remote"
    check "skopeo reads the store in place" skopeo inspect "oci:$SHALE_ROOT:app:v1"
    check "skopeo pushes a gzip image" sh -c "'$SHALE' build -q -t app:gz --compression gzip \
        -o type=oci,dest='$T/gz.tar' '$ctx' && skopeo copy -q --dest-tls-verify=false \
        'oci-archive:$T/gz.tar' 'docker://localhost:$port/team/gz:v1'"
fi
export SHALE_ROOT=$T/store2
check "pull into another store" "$SHALE" pull -q "$remote"
digest=$("$SHALE" inspect "$remote" | sed -n 's/^    "digest": "\(.*\)",/\1/p')
check "pull by digest prints one digest" equal "$("$SHALE" pull -q "$remote@$digest")" \
    "$remote@$digest"
m=$T/mnt
mkdir "$m"
check "mount what was pulled" "$SHALE" mount "$remote" "$m"
check "read through it" equal "$(cat "$m/hello.txt")" hello
check_fails "a directory that is not ours" 1 "not a mount of shale" "$SHALE" umount "$T"
check "umount" "$SHALE" umount "$m"
check "cat" equal "$("$SHALE" cat "$remote:/hello.txt")" hello
check "shell runs with the image's environment" \
    equal "$("$SHALE" shell "$remote" -- sh -c 'echo $WHO')" world
check_fails "shell returns the command's status" 7 "" "$SHALE" shell "$remote" -- sh -c 'exit 7'
check_fails "a missing command" 127 "" "$SHALE" shell "$remote" -- /no/such/program
check "what a shell writes is thrown away" sh -c "'$SHALE' shell '$remote' -- sh -c 'echo > /new' &&
    ! '$SHALE' cat '$remote:/new'"
# --- shell and mount, when things go other ways -------------------------------------------------
check "standard input reaches the command" \
    equal "$(echo 'echo from $0' | "$SHALE" shell "$remote" -- sh)" "from sh"
check "all of it" equal \
    "$(head -c 300000 /dev/zero | "$SHALE" shell "$remote" -- sh -c 'cat' | wc -c)" 300000
check "a closed one is an empty one" sh -c "'$SHALE' shell '$remote' -- sh -c 'cat' <&-"
check_fails "SIGTERM ends it with 143" 143 "" timeout --foreground --preserve-status -s TERM 2 \
    "$SHALE" shell "$remote" -- sh -c 'sleep 60'
check_fails "SIGINT with 130" 130 "" timeout --foreground --preserve-status -s INT 2 \
    "$SHALE" shell "$remote" -- sh -c 'sleep 60'
check "it ends a mount in the foreground" timeout --foreground --preserve-status -s TERM 2 \
    "$SHALE" mount --foreground "$remote" "$m"
check "which takes its mount along" sh -c "! mountpoint -q '$m'"

# A dead mount, named by a relative path.
"$SHALE" mount "$remote" "$m"
kill -9 $(pgrep -f "mount $remote $m")
check "a dead mount can be unmounted" sh -c "cd '$T' && '$SHALE' umount mnt/"

# A registry that accepts and never answers holds a mount in its pull.
python3 -c 'import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
time.sleep(120)' > "$T/silent.port" &
silent=$!
while [ ! -s "$T/silent.port" ]; do sleep 0.05; done
pending() { # starts a mount that cannot finish; sets parent and child
    "$SHALE" mount "localhost:$(cat "$T/silent.port")/x" "$m" > "$T/pending.log" 2>&1 &
    parent=$!
    for _ in $(seq 100); do child=$(pgrep -P "$parent") && break; sleep 0.05; done
    for _ in $(seq 100); do grep -q pulling "$T/pending.log" && break; sleep 0.05; done
}
pending
kill -9 "$child"
wait "$parent"
check "a serving process that is killed is no success" equal $? 1
check "and is reported" grep -q "killed by signal 9" "$T/pending.log"
pending
kill -TERM "$parent"
wait "$parent" 2> /dev/null
for _ in $(seq 100); do kill -0 "$child" 2> /dev/null || break; sleep 0.05; done
check "an interrupted mount leaves no process" sh -c "! kill -0 '$child' 2> /dev/null"
kill "$silent"
wait "$silent" 2> /dev/null

if command -v skopeo > /dev/null; then
    check "a foreign gzip image is pulled" "$SHALE" pull -q "localhost:$port/team/gz:v1"
    check "a list does not frame its layers" sh -c "'$SHALE' images && '$SHALE' images -q &&
        '$SHALE' images --json && [ -z \"\$(ls -A '$SHALE_ROOT/frames')\" ]"
    check "and read lazily" equal "$("$SHALE" cat "localhost:$port/team/gz:v1:/hello.txt")" hello
fi
# --- indexes, neighbours and broken blobs ---------------------------------------------------------
if command -v skopeo > /dev/null; then
    python3 - "$SHALE_ROOT" "$T/layout" "$digest" <<'PY'
import hashlib, json, os, shutil, sys
store, out, manifest = sys.argv[1:]
blobs = os.path.join(out, "blobs", "sha256")
os.makedirs(blobs)
def read(digest): return open(os.path.join(store, "blobs/sha256", digest[7:]), "rb").read()
def write(data):
    digest = hashlib.sha256(data).hexdigest()
    open(os.path.join(blobs, digest), "wb").write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
def encode(value): return json.dumps(value).encode()
listed = []
for architecture in "amd64", "s390x":
    image = json.loads(read(manifest))
    config = json.loads(read(image["config"]["digest"]))
    config["architecture"] = architecture
    image["config"].update(write(encode(config)))
    for layer in image["layers"]: write(read(layer["digest"]))
    listed.append({"mediaType": image["mediaType"], **write(encode(image)),
                   "platform": {"os": "linux", "architecture": architecture}})
index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
         "manifests": listed}
named = {"mediaType": index["mediaType"], **write(encode(index)),
         "annotations": {"org.opencontainers.image.ref.name": "multi"}}
with open(os.path.join(out, "index.json"), "wb") as file:
    file.write(encode({"schemaVersion": 2, "manifests": [named]}))
open(os.path.join(out, "oci-layout"), "w").write('{"imageLayoutVersion": "1.0.0"}')
PY
    multi=localhost:$port/team/multi
    check "skopeo brings an index into the store" skopeo copy -q --all "oci:$T/layout:multi" \
        "oci:$SHALE_ROOT:$multi:v1"
    check "push sends an index with all it lists" "$SHALE" push -q "$multi:v1"
    check "and the registry has both" sh -c "skopeo inspect --raw --tls-verify=false \
        'docker://$multi:v1' | grep -q s390x &&
        skopeo inspect --override-arch s390x --tls-verify=false 'docker://$multi:v1'"
    check "pull takes the platform asked for" "$SHALE" pull -q --platform linux/s390x "$multi:v1"
    check_fails "a platform that an image is not for" 1 \
        "does not match the specified platform: wanted linux/s390x" \
        "$SHALE" pull -q --platform linux/s390x "$remote"
fi
"$SHALE" tag "$remote" "localhost:$port/team/near:v1"
check "push to a neighbour" "$SHALE" push -q "localhost:$port/team/near:v1"
check "links what the registry has" \
    grep -q 'POST /v2/team/near/blobs/uploads/?.*from=team%2[Ff].*" 201' "$T/registry.log"

check "images as JSON" sh -c "'$SHALE' images --json | python3 -m json.tool"
check "history" sh -c "'$SHALE' history '$remote' | grep -q 'RUN'"
check_fails "an unknown image" 1 "localhost:$port/team/none:latest" \
    "$SHALE" pull -q "localhost:$port/team/none"
check_fails "a malformed name" 1 "invalid reference format" "$SHALE" pull "A:B:C"
check "rm" "$SHALE" rm "$remote"
check_fails "rm of what is gone" 1 "" "$SHALE" rm "$remote"
check "which -f forgives" "$SHALE" rm -f "$remote"
printf 'FROM scratch\nLABEL several=names\n' | "$SHALE" build -q -t several:1 -t several:2 - \
    > "$T/id"
check_fails "rm of an ID with several names" 1 "several names" "$SHALE" rm "$(cat "$T/id")"
check "by force" "$SHALE" rm -f "$(cat "$T/id")"
check_fails "takes all of them" 1 "" "$SHALE" rm several:2

# --- a registry whose disk went bad -------------------------------------------------------------
export SHALE_ROOT=$T/store3
"$SHALE" pull -q "$remote" > /dev/null 2>&1
cp -a "$T/registry" "$T/good"
layers=$(find "$T/registry" -name data -size +100k)
truncate -s 1000 $layers
export SHALE_ROOT=$T/store4
check_fails "a truncated layer is refused" 1 "sha256:" "$SHALE" pull -q "$remote"
cp -a "$T/good/." "$T/registry/"
for layer in $layers; do printf 'XYZ' | dd of="$layer" bs=1 seek=500 conv=notrunc 2> /dev/null; done
check_fails "a layer with a wrong byte is refused" 1 "sha256:" "$SHALE" pull -q "$remote"
check "nothing of it is tagged" equal "$("$SHALE" images --json | tr -d ' \n')" "[]"
cp -a "$T/good/." "$T/registry/"
check "once repaired, it can be pulled" "$SHALE" pull -q "$remote"
for layer in "$SHALE_ROOT"/blobs/sha256/*; do
    if [ "$(stat -c %s "$layer")" -gt 100000 ]; then truncate -s 1000 "$layer"; fi
done
check "pull mends a blob that was cut short" "$SHALE" pull -q "$remote"
check "and it is whole" equal "$("$SHALE" cat "$remote:/hello.txt")" hello
# A base that is in the store, under another name or none.
"$SHALE" tag "$remote" "localhost:$port/team/app:v2"
check "another name for it" "$SHALE" push -q "localhost:$port/team/app:v2"
"$SHALE" rm "localhost:$port/team/app:v2" > /dev/null
printf 'FROM localhost:%s/team/app:v2\nRUN echo more > /more\n' "$port" > "$ctx/Dockerfile.base"
check "a build on it" "$SHALE" build -q -f "$ctx/Dockerfile.base" "$ctx"
check "remembers the name" contains "$("$SHALE" images)" v2
kill "$registry"
wait "$registry" 2>/dev/null
check "and needs no registry then" "$SHALE" build -q --no-cache -f "$ctx/Dockerfile.base" "$ctx"
# A blob of the store with another byte in it.
bad=$(ls -S "$SHALE_ROOT"/blobs/sha256/* | head -1)
cp "$bad" "$T/good-blob"
printf 'XYZ' | dd of="$bad" bs=1 seek=500 conv=notrunc 2> /dev/null
check_fails "an archive with a damaged blob" 1 "is damaged in the store" "$SHALE" build -q \
    -o "type=oci,dest=$T/bad.tar" -f "$ctx/Dockerfile.base" "$ctx"
check "is not left behind" absent "$T/bad.tar"
cp "$T/good-blob" "$bad"
check "as it was" "$SHALE" build -q -o "type=oci,dest=$T/bad.tar" -f "$ctx/Dockerfile.base" "$ctx"
check_fails "a registry that is down" 1 "localhost:$port" "$SHALE" pull -q "localhost:$port/team/x"
check "what is in the store needs no registry" \
    equal "$("$SHALE" cat "$remote:/hello.txt")" hello

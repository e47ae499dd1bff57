#!/usr/bin/env bash
# shale save, load and cp: images as files, to and from docker, podman, buildah and skopeo; archives
# that are damaged or lie; files and directories out of images.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/dockerd.sh"
command -v python3 > /dev/null || skip "needs python3, to make archives"

ctx=$T/ctx
mkdir -p "$ctx/dir/sub"
echo one > "$ctx/file"
ln "$ctx/file" "$ctx/dir/linked"
ln -s ../file "$ctx/dir/symlink"
ln -s dir "$ctx/way"
head -c 3000000 /dev/urandom > "$ctx/large"
chmod 750 "$ctx/dir/sub"
printf 'FROM scratch\nCOPY . /app/\nCOPY --chown=12:34 --chmod=4755 file /app/owned\nENV A=1\n' \
    > "$ctx/Dockerfile"
echo Dockerfile > "$ctx/.dockerignore"
check "build" "$SHALE" build -q -t app:1 -t app:2 "$ctx"
id=$("$SHALE" inspect app:1 | python3 -c '
import json, sys
print(json.load(sys.stdin)["manifest"]["config"]["digest"])')
elsewhere() { "$SHALE" --root "$T/elsewhere" "$@"; }
anew() { rm -rf "$T/elsewhere"; }
diff_with() { "$SHALE" --root "$1" diff "$2" "$3"; }

# ------------------------------------------------------------------------------------------------
# To and fro.

check "save" "$SHALE" save -o "$T/app.tar" app:1 app:2
check "to a pipe it is the same" cmp "$T/app.tar" <("$SHALE" save app:1 app:2)
check "load" equal "$(elsewhere load -i "$T/app.tar")" "Loaded image: app:1
Loaded image: app:2"
check "it has its ID" contains "$(elsewhere inspect app:2)" "$id"
check "it is the image" diff_with "$T/elsewhere" "docker-archive:$T/app.tar:app:1" app:1
check "no note of our store leaves it" not grep -qa dev.shale "$T/app.tar"
anew
for form in docker oci; do
    "$SHALE" save --format $form app:1 | gzip > "$T/app.gz"
    check "$form, compressed, from a pipe" equal "$(elsewhere load < "$T/app.gz")" \
        "Loaded image: app:1"
    anew
done
check "an OCI layout keeps the manifest" sh -c '"$1" save --format oci-dir -o "$2/layout" app:1 &&
    "$1" --root "$2/elsewhere" load -i "$2/layout"' - "$SHALE" "$T"
digest() { python3 -c 'import json, sys
print(json.load(sys.stdin)["descriptor"]["digest"])'; }
check "with its digest" \
    equal "$(elsewhere inspect app:1 | digest)" "$("$SHALE" inspect app:1 | digest)"
anew
check "by ID it has no name" equal "$("$SHALE" save "${id#sha256:}" | elsewhere load)" \
    "Loaded image ID: $id"
check "it is there all the same" \
    contains "$(elsewhere images)" "$(echo "${id#sha256:}" | cut -c1-12)"
check "and gets one" equal "$("$SHALE" save "${id#sha256:}" | elsewhere load -t mine:1)" \
    "Loaded image: mine:1"
anew
check "one name given twice is one" equal "$("$SHALE" save app:1 app:1 | elsewhere load)" \
    "Loaded image: app:1"
anew
check_fails "a name for several" 1 "there are 2" sh -c '
    "$1" build -q -t app:3 --label x=y "$3" && "$1" save app:1 app:3 |
    "$1" --root "$2/elsewhere" load -t a:b' - "$SHALE" "$T" "$ctx"
check_fails "a layout into what is not empty" 1 "is not empty" \
    "$SHALE" save --format oci-dir -o "$T" app:1
check_fails "a layout to a pipe" 1 "needs the directory" "$SHALE" save --format oci-dir app:1
mkdir "$T/full"
check_fails "what cannot be written" 1 "$T/full" "$SHALE" save -o "$T/full" app:1
check_fails "an image that is nowhere" 1 "nowhere" "$SHALE" save localhost:1/nowhere:1
check_fails "what is no archive" 1 "neither an OCI layout" \
    sh -c 'tar -C "$2" -c file | "$1" load' - "$SHALE" "$ctx"
check_fails "what is no tar" 1 "standard input" sh -c 'echo x | "$1" load' - "$SHALE"
check_fails "what is not there" 1 "No such file" "$SHALE" load -i "$T/nothing"

check "an image for two platforms" "$SHALE" build -q -t both:1 \
    --platform linux/amd64,linux/arm64 "$ctx"
check "goes as a whole" sh -c '"$1" save --format oci both:1 | "$1" --root "$2/elsewhere" load' \
    - "$SHALE" "$T"
check "with both" contains "$(elsewhere images)" "linux/arm64"
anew
check "an image for other machines alone" "$SHALE" build -q -t foreign:1 \
    --platform linux/arm64,linux/s390x "$ctx"
check "goes as a whole, too" sh -c '"$1" save --format oci foreign:1 |
    "$1" --root "$2/elsewhere" load' - "$SHALE" "$T"
anew
check "or one of it" sh -c '"$1" save --platform linux/arm64 both:1 |
    "$1" --root "$2/elsewhere" load' - "$SHALE" "$T"
check "the one that was asked for" contains "$(elsewhere inspect both:1)" '"arm64"'
anew

# ------------------------------------------------------------------------------------------------
# Other programs.

if command -v skopeo > /dev/null; then
    check "skopeo reads it" skopeo copy -q "docker-archive:$T/app.tar:app:2" "dir:$T/skopeo"
    check "skopeo writes a docker archive" skopeo copy -q "dir:$T/skopeo" \
        "docker-archive:$T/skopeo.tar:team/app:7"
    check "which is loaded" equal "$(elsewhere load -i "$T/skopeo.tar")" "Loaded image: team/app:7"
    check "and is the same" diff_with "$T/elsewhere" "docker-archive:$T/app.tar:app:1" team/app:7
    check "skopeo writes a layout, with a tag alone" skopeo copy -q "dir:$T/skopeo" \
        "oci-archive:$T/skopeo-oci.tar:seven"
    check "a tag alone names nothing" contains \
        "$(elsewhere load -i "$T/skopeo-oci.tar")" "Loaded image ID: sha256:"
    anew
fi
if [ "$(id -u)" -eq 0 ] && command -v podman > /dev/null; then
    podman_() { podman --root "$T/podman" --runroot "$T/podman-run" --storage-driver vfs "$@"; }
    check "podman loads it" podman_ load -q -i "$T/app.tar"
    check "podman knows the ID" equal "sha256:$(podman_ inspect -f '{{.Id}}' app:2)" "$id"
    for form in docker-archive oci-archive; do
        check "podman saves a $form" podman_ save -q --format $form -o "$T/podman.$form" app:2
        check "which is loaded" contains "$(elsewhere load -i "$T/podman.$form")" "app:2"
        anew
    done
fi
if [ "$(id -u)" -eq 0 ] && start_dockerd; then
    check "docker loads it" docker_ load -i "$T/app.tar"
    check "under both names, with its ID" equal \
        "$(docker_ inspect -f '{{.Id}}' app:1 app:2)" "$id
$id"
    check "docker saves it" docker_ save -o "$T/docker.tar" app:1 app:2
    check "which is loaded" contains "$(elsewhere load -i "$T/docker.tar")" "Loaded image: app:2"
    check "and is the same" diff_with "$T/elsewhere" "docker-archive:$T/app.tar:app:1" app:1
    anew
fi

# ------------------------------------------------------------------------------------------------
# Archives from strangers: refused, and nothing gets a name.

cat > "$T/spoil.py" <<'P'
import hashlib, io, json, sys, tarfile
source, target, how = sys.argv[1:]
with tarfile.open(source) as tar:
    files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
index = json.loads(files["index.json"])
listed = json.loads(files["manifest.json"])
name = "blobs/sha256/" + index["manifests"][0]["digest"][7:]
def blob(document):
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    files["blobs/sha256/" + digest] = data
    return {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + digest,
            "size": len(data)}
if how == "layer":
    files[listed[0]["Layers"][0]] = b"x" + files[listed[0]["Layers"][0]][1:]
elif how == "manifest":
    files[name] += b" "
elif how == "missing":
    del files[name]
elif how == "size":
    manifest = json.loads(files[name])
    manifest["layers"][0]["size"] = 0
    index["manifests"][0].update(blob(manifest), mediaType=manifest["mediaType"])
elif how == "name":
    index["manifests"][0]["annotations"]["io.containerd.image.name"] = "UP/../../per:case:x"
elif how == "loop":
    nested = dict(index["manifests"][0])
    for _ in range(9):
        nested = blob({"schemaVersion": 2, "manifests": [nested]})
    index["manifests"] = [nested]
elif how == "wide":
    nested = index["manifests"][0]
    for _ in range(3):
        nested = blob({"schemaVersion": 2, "manifests": [nested] * 64})
    index["manifests"] = [nested]
elif how == "ref":
    for entry in index["manifests"]:
        entry["annotations"] = {"org.opencontainers.image.ref.name": "Release/1.0+b5:x"}
elif how == "nothing":
    index["manifests"] = []
elif how == "hollow":
    index["manifests"] = [blob({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json",
         "digest": "sha256:" + "7" * 64, "size": 7}]})]
elif how.startswith("docker"):
    del files["index.json"]
    if how == "docker-layer":
        listed[0]["Layers"][0] = "../../etc/passwd"
    elif how == "docker-other":
        files[listed[0]["Layers"][0]] = files[listed[0]["Layers"][1]]
    elif how == "docker-less":
        listed[0]["Layers"].pop()
    elif how == "docker-none":
        listed = []
    elif how == "docker-name":
        listed[0]["RepoTags"] = ["a b"]
    files["manifest.json"] = json.dumps(listed).encode()
if "index.json" in files:
    files["index.json"] = json.dumps(index).encode()
with tarfile.open(target, "w") as tar:
    for path, data in files.items():
        member = tarfile.TarInfo(path)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
P
while read -r how text; do
    python3 "$T/spoil.py" "$T/app.tar" "$T/spoiled.tar" "$how"
    check_fails "refused: $how" 1 "$text" elsewhere load -i "$T/spoiled.tar"
    check "nothing has a name: $how" equal "$(elsewhere images -q)" ""
    anew
done <<'L'
layer digest
manifest more than the
missing there is no member
size has not the size
name invalid reference format
loop too many images
nothing there is no image in it
hollow it has no image of
docker-layer there is no member
docker-less disagree about the layers
docker-other the config says
docker-name invalid reference format
docker-none lists no image
L
python3 "$T/spoil.py" "$T/app.tar" "$T/spoiled.tar" ref
check "what is no name is none" equal "$(elsewhere load -i "$T/spoiled.tar")" "Loaded image ID: $id"
anew
python3 "$T/spoil.py" "$T/app.tar" "$T/spoiled.tar" wide
check "an index may list one image often" timeout 10 "$SHALE" --root "$T/elsewhere" load \
    -t wide:1 -i "$T/spoiled.tar"
check "at no cost to those who follow it" timeout 10 "$SHALE" --root "$T/elsewhere" du
anew
python3 "$T/spoil.py" "$T/app.tar" "$T/spoiled.tar" docker
check "docker's list alone is enough" contains "$(elsewhere load -i "$T/spoiled.tar")" "app:2"
anew
check "a damaged blob" sh -c 'for blob in "$1"/blobs/sha256/*; do
    size=$(stat -c %s "$blob"); [ "$size" -gt 2000000 ] || continue
    printf x | dd of="$blob" bs=1 seek=$((size / 2)) conv=notrunc status=none; done' - "$SHALE_ROOT"
check_fails "is found out when it is saved" 1 "damaged in the store" \
    "$SHALE" save --format oci -o "$T/damaged.tar" app:1
check "and no file is left" absent "$T/damaged.tar"
rm -rf "$SHALE_ROOT"
check "load what was saved" "$SHALE" load -i "$T/app.tar"

# ------------------------------------------------------------------------------------------------
# Out of an image.

out=$T/out
mkdir "$out"
cp_() { "$SHALE" cp "$@"; }
check "a directory" cp_ app:1:/app "$out"
check "is what it was" diff -r --no-dereference "$ctx/dir" "$out/app/dir"
check "links are links" equal "$(readlink "$out/app/dir/symlink")" ../file
check "of one file, too" \
    equal "$(stat -c %i "$out/app/file")" "$(stat -c %i "$out/app/dir/linked")"
check "modes stay" equal "$(stat -c %a "$out/app/dir/sub")" 750
check "it belongs to who copies, without rights of others" \
    equal "$(stat -c '%u %a' "$out/app/owned")" "$(id -u) 755"
check "under another name" cp_ app:1:/app/dir "$out/other"
check "it is the same" diff -r --no-dereference "$ctx/dir" "$out/other"
check "what it holds" cp_ app:1:/app/dir/. "$out/held"
check "is the same" diff -r --no-dereference "$ctx/dir" "$out/held"
check "into what is there" cp_ app:1:/app/dir/. "$out/held"
check "a file" cp_ app:1:/app/large "$out/large"
check "of many pieces" cmp "$ctx/large" "$out/large"
check "over a file" cp_ app:1:/app/file "$out/large"
check "takes its place" cmp "$ctx/file" "$out/large"
check "several" cp_ app:1:/app/file app:1:/app/large "$out/app"
check "are there" cmp "$ctx/large" "$out/app/large"
check "a link" cp_ app:1:/app/way "$out/way"
check "is one" equal "$(readlink "$out/way")" dir
check "followed" cp_ -L app:1:/app/dir/symlink "$out/followed"
check "is what it leads to" cmp "$ctx/file" "$out/followed"
check "through a link of the image" cp_ app:1:/app/way/sub/ "$out/sub"
check "is a directory" test -d "$out/sub"
check "the root" cp_ app:1:/ "$out/root"
check "is what it holds" diff -r --no-dereference "$ctx/dir" "$out/root/app/dir"
check "as a tar" equal "$(cp_ app:1:/app/dir - | tar t)" "dir/
dir/linked
dir/sub/
dir/symlink"
check "which has the owner" contains "$(cp_ app:1:/app/owned - | tar tv --numeric-owner)" \
    "-rwsr-xr-x 12/34"
if [ "$(id -u)" -eq 0 ]; then
    check "with owners" cp_ -a app:1:/app/owned "$out/owned"
    check "they stay" equal "$(stat -c '%u %g %a' "$out/owned")" "12 34 4755"
fi
check "of an archive" cp_ "docker-archive:$T/app.tar:app:1:/app/file" "$out/archived"
check "the same" cmp "$ctx/file" "$out/archived"
check_fails "what is not there" 1 "/app/nothing: not found" cp_ app:1:/app/nothing "$out"
check_fails "a file as a directory" 1 "not a directory" cp_ app:1:/app/file/ "$out"
check_fails "a directory onto a file" 1 "is a file" cp_ app:1:/app "$out/large"
check_fails "a file as what is no directory" 1 "is not a directory" \
    cp_ app:1:/app/file "$out/none/"
check_fails "several into what is none" 1 "only into one directory" \
    cp_ app:1:/app/file app:1:/app/large "$out/none"
check_fails "without a path" 1 "REF:/PATH" cp_ app:1 "$out"
check_fails "without a place" 1 "where to" cp_ app:1:/app
mkdir -p "$out/kept/dir/linked/precious"
check_fails "no directory gives way to a file" 1 "is a directory, but no directory in the image" \
    cp_ app:1:/app/dir "$out/kept"
check "it is there" test -d "$out/kept/dir/linked/precious"
check "and nothing else is" equal "$(ls "$out/kept/dir")" linked
rm -rf "$out/kept/dir"
mkdir "$out/outside"
ln -s ../outside "$out/kept/dir"
check_fails "nothing goes through a link that lies there" 1 "is no directory" \
    cp_ app:1:/app/dir "$out/kept"
check "nothing went" equal "$(ls "$out/outside")" ""
check_fails "an empty name is no place" 1 "an empty name" cp_ app:1:/app ""
check "a part of a path may be no part" cp_ app:1:/app/./dir/. "$out/dotted"
check "of the mode that it has" cp_ app:1:/app/dir/sub/. "$out/private"
check "with it" equal "$(stat -c %a "$out/private")" 750
echo precious > "$out/precious"
check_fails "no name of a copy removes what is there" 1 "stands for something removed" \
    cp_ app:1:/app/file "$out/.wh.precious"
check_fails "nor everything" 1 "stands for something removed" \
    cp_ app:1:/app/file "$out/.wh..wh..opq"
check "it is all there" equal "$(cat "$out/precious")" precious
if [ "$(id -u)" -eq 0 ]; then
    mkdir "$T/shared" && chmod 1777 "$T/shared" && chmod 755 "$T"
    cp "$T/app.tar" "$T/shared/app.tar" && chmod 644 "$T/shared/app.tar"
    as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$T/shared" \
        SHALE_ROOT="$T/shared/store" "$SHALE" "$@"; }
    check "an ordinary user loads" as_nobody load -i "$T/shared/app.tar"
    check "and copies into a directory of somebody else" \
        as_nobody cp app:1:/app/file app:1:/app/dir "$T/shared"
    check "what it was" diff -r --no-dereference "$ctx/dir" "$T/shared/dir"
    check "of the mode that it had" equal "$(stat -c %a "$T/shared/dir/sub")" 750
fi

# Progress is for people: on a terminal, nowhere else.
head -c 3000000 /dev/urandom > "$T/noise"
mkdir "$T/noisy" && mv "$T/noise" "$T/noisy"
printf 'FROM scratch\nCOPY noise /\n' > "$T/noisy/Dockerfile"
check "an image of some megabytes" "$SHALE" build -q -t noisy:1 "$T/noisy"
on_terminal() { script -qec "'$SHALE' $1" /dev/null < /dev/null > "$T/screen"; }
check "is saved on a terminal" on_terminal "save -o '$T/noisy.tar' noisy:1"
check "which shows it" grep -q 'Saving' "$T/screen"
check "is loaded on a terminal" on_terminal "--root '$T/noisy.store' load -i '$T/noisy.tar'"
check "which shows it, too" grep -q 'Loading' "$T/screen"
"$SHALE" save -o "$T/noisy.tar" noisy:1 2> "$T/stderr"
check "without one nothing is said" equal "$(cat "$T/stderr")" ""

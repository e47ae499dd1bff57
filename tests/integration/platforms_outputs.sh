#!/usr/bin/env bash
# Platforms, outputs and independent copies, judged by other programs: skopeo, umoci, docker. Images
# come from nothing; the base of a foreign platform is made by hand.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/dockerd.sh"
needs_containers
command -v python3 > /dev/null || skip "needs python3"

case $(uname -m) in
x86_64) host=amd64 foreign=arm64 ;;
aarch64) host=arm64 foreign=amd64 ;;
*) skip "knows amd64 and arm64 only" ;;
esac
ctx=$T/ctx
mkdir -p "$ctx/d/s"
cp "$busybox" "$ctx/busybox"
echo F > "$ctx/f"
echo X > "$ctx/d/x"
echo Y > "$ctx/d/s/y"
ln "$ctx/d/x" "$ctx/d/hard"
python3 - "$ctx/d" <<'P'
import os, socket, sys
os.chdir(sys.argv[1])  # the path of a socket must be short
socket.socket(socket.AF_UNIX).bind("socket")
with open("sparse", "wb") as sparse:
    sparse.seek(1 << 20)
    sparse.write(b"end")
P

quiet() { "$SHALE" build -q "$@"; }
# What build printed stays in last.log until the next build.
build() {
    local code=0
    "$SHALE" build --progress plain "$@" > "$T/last.log" 2>&1 || code=$?
    cat "$T/last.log"
    return "$code"
}
# json FILE EXPRESSION: a value of a JSON file, which the expression calls d.
json() {
    python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"
}

# --- platforms ----------------------------------------------------------------------------------
cat > "$T/multi" <<'D'
FROM scratch AS unused
RUN false
FROM scratch
ARG TARGETPLATFORM
ARG TARGETARCH
COPY f /f
COPY <<E /platform
$TARGETPLATFORM
E
LABEL arch=$TARGETARCH
ENTRYPOINT ["/f"]
D
check "two platforms build where no command runs" \
    build -f "$T/multi" --platform "linux/$host,linux/$foreign" -t multi:1 \
    --metadata-file "$T/multi.json" --iidfile "$T/multi.iid" \
    --output type=image --output "type=oci,dest=$T/multi.oci.tar" \
    --output "type=docker,dest=$T/multi.docker.tar" --output "type=local,dest=$T/multi.local" \
    --output "type=tar,dest=$T/multi.tar" "$ctx"
check "step titles name the platform" \
    grep -qF "[linux/$foreign stage-1 1/2] COPY f /f" "$T/last.log"
for arch in $host $foreign; do
    check "local output has a directory for linux/$arch" \
        equal "$(cat "$T/multi.local/linux_$arch/platform")" "linux/$arch"
    check "tar output has one, too" sh -c "tar tf '$T/multi.tar' | grep -qx linux_$arch/platform"
done
check "there is an ID file" test -s "$T/multi.iid"
check "the ID file holds the digest of the index" equal "$(cat "$T/multi.iid")" \
    "$(json "$T/multi.json" 'd["containerimage.digest"]')"
check "the metadata of an index has no config digest" \
    equal "$(json "$T/multi.json" '"containerimage.config.digest" in d')" False
check "and describes the index" equal application/vnd.oci.image.index.v1+json \
    "$(json "$T/multi.json" 'd["containerimage.descriptor"]["mediaType"]')"
check "this machine's image can be read by name" \
    equal "$("$SHALE" cat multi:1:/platform)" "linux/$host"
if command -v skopeo > /dev/null; then
    for place in "oci:$SHALE_ROOT:multi:1" "oci-archive:$T/multi.oci.tar"; do
        for arch in $host $foreign; do
            skopeo --override-arch "$arch" inspect --config "$place" > "$T/config.json" 2>&1
            check "skopeo finds $arch in ${place%%:*}" equal "$arch $arch" \
                "$(json "$T/config.json" 'd["architecture"] + " " + d["config"]["Labels"]["arch"]')"
        done
    done
    check "skopeo copies all of the index" \
        skopeo copy -q --all "oci-archive:$T/multi.oci.tar" "dir:$T/multi.dir"
fi
check_fails "conflicting wishes are refused" 1 "returning multiple target platforms" \
    quiet -f "$T/multi" --platform "linux/$host,linux/$foreign" \
    --build-arg BUILDKIT_MULTI_PLATFORM=0 "$ctx"
check_fails "what is no platform is named" 1 "failed to parse platform" \
    quiet --platform linux/x/y/z -f "$T/multi" "$ctx"

# A base of the other platform, made by hand: its shell is an ELF file for that machine.
python3 - "$T/layout" "$foreign" <<'P'
import hashlib, io, json, os, struct, sys, tarfile
layout, arch = sys.argv[1:]
machine = {"arm64": 183, "amd64": 62}[arch]
elf = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", 2, machine, 1) + bytes(100)
os.makedirs(layout + "/blobs/sha256")

def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    open(f"{layout}/blobs/sha256/{digest}", "wb").write(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest,
            "size": len(data)}

tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as out:
    member = tarfile.TarInfo("bin/sh")
    member.mode, member.size = 0o755, len(elf)
    out.addfile(member, io.BytesIO(elf))
layer = blob(tar.getvalue(), "layer.v1.tar")
config = blob(json.dumps({"architecture": arch, "os": "linux", "config": {}, "rootfs": {
    "type": "layers", "diff_ids": [layer["digest"]]}}).encode(), "config.v1+json")
manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": [layer],
    "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode(), "manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "foreign"}
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(layout + "/index.json", "w"))
open(layout + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
P
if command -v skopeo > /dev/null; then
    # The store is a layout; other tools may put images into it.
    base=docker.io/library/foreign:1
    check "skopeo puts the foreign base into the store" \
        skopeo copy -q "oci:$T/layout:foreign" "oci:$SHALE_ROOT:$base"
    printf 'FROM foreign:1\nCOPY f /f\nWORKDIR /w\n' > "$T/copy-only"
    check "COPY onto a foreign base works" \
        build -f "$T/copy-only" --platform "linux/$foreign" -t foreign-copy "$ctx"
    printf 'FROM foreign:1\nRUN true\n' > "$T/foreign-run"
    if ! grep -qs '^enabled' /proc/sys/fs/binfmt_misc/qemu-*; then
        check_fails "RUN of a foreign platform says what to install" 1 "qemu-user-static" \
            build -f "$T/foreign-run" --platform "linux/$foreign" "$ctx"
        check "it names the platform" grep -q "no emulator for linux/$foreign" "$T/last.log"
        check "and the line" grep -q '>>> RUN true' "$T/last.log"
    fi
    check "a base of another platform is a warning" build -f "$T/copy-only" \
        --platform "linux/$host" "$ctx"
    check "which names both" grep -q "InvalidBaseImagePlatform.*expected \"linux/$host\"" \
        "$T/last.log"
fi

# --- copies -------------------------------------------------------------------------------------
cat > "$T/copies" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /real && ln -s /real /link && mkdir -m 1777 /tmp && touch /tmp/kept
FROM base
WORKDIR /w
COPY --link f /link/
COPY --link f /tmp/
COPY --parents d/s/y f /parents
COPY --parents d/./s/y /pivot
COPY --parents **/y /deep/
COPY --exclude=s --exclude=sp* --exclude=socket d /excluded
COPY --chmod=u=rwX,go=rX d /symbolic
COPY d /whole
RUN test "$(stat -c %h /whole/hard)" = 2 && ls -l /whole
D
check "copies of every kind build" build -f "$T/copies" -t copies "$ctx"
m=$T/mnt
mkdir "$m"
check "the image can be mounted" "$SHALE" mount copies "$m"
check "--link replaces a symbolic link below by a directory" test -d "$m/link" -a ! -L "$m/link"
check "the link's target got nothing" absent "$m/real/f"
check "--link sets the modes of its directories" equal "$(stat -c %a "$m/tmp")" 755
check "and keeps what lies in them" test -e "$m/tmp/kept" -a -e "$m/tmp/f"
check "--parents keeps the path" test -f "$m/parents/d/s/y" -a -f "$m/parents/f"
check "--parents with a pivot" test -f "$m/pivot/s/y"
check "--parents with **" test -f "$m/deep/d/s/y"
check "--exclude leaves out" equal "$(ls "$m/excluded" | tr '\n' ' ')" "hard x "
check "a socket became an empty file" test -f "$m/whole/socket" -a ! -s "$m/whole/socket"
check "a sparse file has its content" cmp "$ctx/d/sparse" "$m/whole/sparse"
check "hard links stay linked" equal "$(stat -c %h "$m/whole/x")" 2
check "unmount" "$SHALE" umount "$m"
printf 'FROM scratch\nCOPY f /a\nCOPY f d /a\n' > "$T/clash"
check_fails "a directory over a file is refused" 1 "cannot copy to non-directory" \
    build -f "$T/clash" "$ctx"
check "with its line" grep -q 'clash:3' "$T/last.log"

# --- reproducibility, annotations ---------------------------------------------------------------
cat > "$T/times" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo same > /made"]
WORKDIR /w
COPY --link d /d
D
for round in 1 2; do
    touch "$ctx/f" "$ctx/d/x" "$ctx/d"
    check "cold build $round" env SOURCE_DATE_EPOCH=1600000000 "$SHALE" --root "$T/cold$round" \
        build -q -f "$T/times" --metadata-file "$T/times$round.json" \
        --output type=image,name=t:1,rewrite-timestamp=true "$ctx"
    sleep 1.1
done
check "there is metadata" test -s "$T/times1.json"
check "two cold builds at different times have one digest" equal \
    "$(json "$T/times1.json" 'd["containerimage.digest"]')" \
    "$(json "$T/times2.json" 'd["containerimage.digest"]')"
check "annotations" quiet -f "$T/multi" --platform "linux/$host,linux/$foreign" \
    --annotation "index,manifest:org.example.a=b" -o "type=oci,tar=false,dest=$T/annotated" "$ctx"
# The digest of the N-th manifest of an index, as a path.
nth() { json "$1" "'$T/annotated/blobs/sha256/' + d['manifests'][$2]['digest'][7:]"; }
index=$(nth "$T/annotated/index.json" 0)
check "the index has its annotation" equal b "$(json "$index" 'd["annotations"]["org.example.a"]')"
check "and so have its manifests" equal b \
    "$(json "$(nth "$index" 1)" 'd["annotations"]["org.example.a"]')"

# --- judges -------------------------------------------------------------------------------------
check "one build, several outputs" build -f "$T/copies" -t copies:1 --iidfile "$T/copies.iid" \
    --output "type=docker,dest=$T/copies.docker.tar" \
    --output "type=oci,dest=$T/copies.oci.tar,compression=gzip,oci-mediatypes=false" \
    --output "type=local,dest=$T/copies.local" "$ctx"
if command -v skopeo > /dev/null && command -v umoci > /dev/null; then
    check "skopeo reads the docker archive as docker does" \
        skopeo copy -q "docker-archive:$T/copies.docker.tar" "dir:$T/copies.dir"
    mkdir "$T/as-layout" && tar xf "$T/copies.docker.tar" -C "$T/as-layout"
    check "and as an OCI layout" skopeo copy -q "oci:$T/as-layout" "oci:$T/umoci:copies"
    check "umoci unpacks it" umoci unpack --image "$T/umoci:copies" "$T/bundle"
    touch -r "$T/bundle/rootfs" "$T/copies.local"  # the directory that was asked for keeps its time
    check "the local output is what umoci unpacked" \
        "$SHALE" diff "$T/copies.local" "$T/bundle/rootfs"
    check "skopeo finds Docker's media types" sh -c \
        "skopeo inspect --raw 'oci-archive:$T/copies.oci.tar' |
         grep -q application/vnd.docker.distribution.manifest.v2+json"
fi
if start_dockerd; then
    check "docker loads the archive" docker_ load -i "$T/copies.docker.tar"
    check "docker has the same ID" equal "$(cat "$T/copies.iid")" \
        "$(docker_ inspect -f '{{.Id}}' copies:1)"
    check "docker loads this machine's image of several" docker_ load -i "$T/multi.docker.tar"
    check "it is for this machine" equal "$host" \
        "$(docker_ inspect -f '{{.Architecture}}' multi:1)"
fi

#!/usr/bin/env bash
# docker and podman unpack each layer into a directory of its own and lay those over each other:
# what a layer does not say about a directory above its members, they make up. stargz.sh has another
# one of their kind.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/dockerd.sh"
needs_containers

ctx=$T/ctx
mkdir -p "$ctx"
cp "$busybox" "$ctx/busybox"
echo file > "$ctx/file"
cat > "$ctx/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/sh
RUN ["/bin/sh", "-c", "mkdir -p /home/app/a/b /home/app/d /srv/x/y /var/lock && \
    echo 1 > /home/app/a/b/file && chmod 700 /home/app && chown -R 1000:1001 /home/app && \
    chmod 1777 /srv/x && chmod 2750 /srv/x/y && chown 5:6 /srv/x/y && \
    touch -d '2001-02-03 04:05:06' /home/app /srv/x"]
RUN ["/bin/sh", "-c", "echo 2 >> /home/app/a/b/file"]
COPY file /srv/x/y/z/file
WORKDIR /home/app/d/work
COPY --link file /linked/file
RUN ["/bin/sh", "-c", "rm -r /srv/x/y/z /bin/sh"]
D
check "an image" "$SHALE" build -q -t apart:1 -o "type=docker,dest=$T/app.tar" \
    -o "type=tar,dest=$T/wanted.tar" "$ctx"
check "the same with other times" "$SHALE" build -q --build-arg SOURCE_DATE_EPOCH=1000000000 \
    -o "type=oci,dest=$T/dated.tar,rewrite-timestamp=true" "$ctx"
mkdir "$T/wanted" && tar --numeric-owner -xpf "$T/wanted.tar" -C "$T/wanted"
# Of directories alone, but for the root and what a container manager puts there.
facts() {
    (cd "$1" && find . -mindepth 1 \( -path ./dev -o -path ./etc -o -path ./proc -o -path ./sys \
        -o -path ./run \) -prune -o -type d -printf '%p %m %U %G %Ts\n' | sort)
}
facts "$T/wanted" > "$T/facts"
check "there is something to compare" grep -q '^./home/app 700 1000 1001 981173106$' "$T/facts"

if start_dockerd overlay2; then
    # What an image needs to be created from is a command; it is not run.
    in_docker() {
        docker_ load -q -i "$T/app.tar" && docker_ create --name made apart:1 none &&
            mkdir "$T/docker-out" &&
            docker_ export made | tar --numeric-owner -xpf - -C "$T/docker-out" &&
            facts "$T/docker-out" | diff "$T/facts" -
    }
    check "docker shows the directories as they are" in_docker
fi
if command -v buildah > /dev/null; then
    buildah_() {
        buildah --root "$T/buildah" --runroot "$T/buildah-run" --storage-driver overlay "$@"
    }
    in_buildah() {
        local container mounted code
        container=$(buildah_ from --pull-never "$1") && mounted=$(buildah_ mount "$container") &&
            facts "$mounted" | diff "$T/facts" -
        code=$?
        buildah_ rm "$container" > /dev/null
        umount "$T/buildah/overlay" 2> /dev/null
        return $code
    }
    check "buildah shows the directories as they are" in_buildah "docker-archive:$T/app.tar"
    # Times before the epoch stay; others become it.
    awk '{ if ($5 > 1000000000) $5 = 1000000000; print }' "$T/facts" > "$T/clamped"
    mv "$T/clamped" "$T/facts"
    check "also when times are rewritten" in_buildah "oci-archive:$T/dated.tar"
fi

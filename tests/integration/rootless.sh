#!/usr/bin/env bash
# Builds of an ordinary user: what they need, that they come out as root's do, and what is left of
# them. The user exists only in the mount namespace that each command of his runs in.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root, to become somebody else"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
busybox=$(command -v busybox) || skip "needs busybox (package busybox-static)"
command -v newuidmap > /dev/null || skip "needs newuidmap (package uidmap)"
command -v setpriv > /dev/null || skip "needs setpriv (package util-linux)"
for file in subuid subgid; do [ -e /etc/$file ] || skip "needs /etc/$file"; done
[ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] || skip "needs user namespaces"

# ------------------------------------------------------------------------------------------------
# The user, with a store beside root's.

uid=64217 ids=700000
getent passwd $uid > /dev/null && skip "user $uid exists"
home=$T/home root_store=$SHALE_ROOT
export SHALE_ROOT=$home/store
mkdir -p "$home/run" "$T/etc" "$T/mnt"
chmod 711 "$T"
cp "$SHALE" "$T/shale"  # which may lie where this user cannot go
cp -p /etc/passwd /etc/group "$T/etc"
echo "shale-test:x:$uid:$uid::$home:/bin/sh" >> "$T/etc/passwd"
echo "shale-test:x:$uid:" >> "$T/etc/group"
printf 'somebody:100000:65536\nshale-test:%s:65536\n' $ids > "$T/etc/subuid"
cp "$T/etc/subuid" "$T/etc/subgid"
: > "$T/etc/empty"
mknod -m 666 "$T/fuse" c 10 229
mknod -m 666 "$T/tun" c 10 200

# Everybody may open these two devices, as is usual. $HIDE names files that are empty to him.
cat > "$T/become.sh" <<'S'
set -e
T=$1
shift
mount --bind "$T/fuse" /dev/fuse
[ ! -e /dev/net/tun ] || mount --bind "$T/tun" /dev/net/tun
for file in passwd group subuid subgid; do mount --bind "$T/etc/$file" "/etc/$file"; done
for file in ${HIDE:-}; do mount --bind "$T/etc/empty" "$file"; done
cd "$T/home"
exec setpriv --reuid shale-test --regid shale-test --init-groups env -i PATH="$PATH" \
    HOME="$T/home" SHALE_ROOT="$T/home/store" XDG_RUNTIME_DIR="$T/home/run" "$@"
S
as_user() { unshare -m bash "$T/become.sh" "$T" "$@"; }
user_shale() { as_user "$T/shale" "$@"; }
root_shale() { SHALE_ROOT=$root_store "$T/shale" "$@"; }

# ------------------------------------------------------------------------------------------------
# One image, built by both.

ctx=$home/ctx
mkdir -p "$ctx/etc" "$ctx/tools"
cp "$busybox" "$ctx/busybox"
printf 'root:x:0:0::/:/bin/sh\n_apt:x:42:65534::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
    > "$ctx/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' > "$ctx/etc/group"
echo "of the user" > "$ctx/mine"
chmod 600 "$ctx/mine"
echo hidden > "$home/secret"
capability=true
if setcap=$(command -v setcap); then
    # With what it is linked to, at the places where its loader looks.
    for file in "$setcap" $(ldd "$setcap" | grep -o '/[^ ]*'); do
        mkdir -p "$ctx/tools$(dirname "$file")"
        cp -L "$file" "$ctx/tools$file"
    done
    capability="cp /bin/busybox /capable && $setcap cap_net_bind_service+ep /capable"
fi
cat > "$ctx/Dockerfile" <<D
FROM scratch AS base
COPY busybox /bin/busybox
COPY etc /etc
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY tools /

FROM base AS work
RUN mkdir -p /a/b /a/c /d/old/deep && echo 1 > /a/b/1 && echo 2 > /a/c/2 && echo x > /d/old/deep/x \
 && ln /a/b/1 /a/hard && ln -s b /a/link && mkfifo /a/fifo && mkdir /d/gone && touch /d/gone/g
RUN chown 42:65534 /a/b && chown -R 1234:4321 /a/c && chown -h 7:8 /a/link
RUN chmod 4755 /a/b/1 && chmod 2775 /a/c && chmod 1777 /d && chmod 000 /a/c/2
RUN rm -r /d/old && mkdir /d/old && echo new > /d/old/y
RUN mv /a/c /a/moved && rm -r /d/gone && mkdir /d/gone && rmdir /d/gone
RUN mv /a/b/1 /a/b/one && echo more >> /a/hard && rm /a/link && mkdir /a/link
RUN $capability
USER nobody
RUN [ "\$(id -u):\$(id -g)" = 65534:65534 ] && echo mine > /d/of-nobody && ! touch /a/b/forbidden
USER _apt
RUN echo mine > /d/of-apt && [ "\$(stat -c %u:%g /a/b)" = 42:65534 ]
USER root
RUN --mount=type=cache,target=/cache,uid=42,mode=0700 \
    echo once >> /cache/log && chown 77:78 /cache/log && chmod 600 /cache/log && \
    mkdir -m 700 /cache/closed && chown 77:78 /cache/closed && cp -p /cache/log /log
RUN --mount=type=secret,id=s cp /run/secrets/s /was-secret && chmod 644 /was-secret
RUN --mount=type=bind,source=mine,target=/mine cp /mine /copied && chmod 644 /copied
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x && mkdir /made
RUN <<SCRIPT
set -e
for i in 1 2 3; do echo \$i >> /heredoc; done
chown 65535:65535 /heredoc
SCRIPT
COPY --chown=42:43 mine /of-42
COPY mine /of-root

FROM base
COPY --from=work / /
WORKDIR /w
RUN rm /bin/vi && mkdir -p /w/x && chown 5:6 /w/x
CMD ["sh"]
D
chown -R $uid:$uid "$home"

# So that two builds at different times can be compared byte by byte.
build_of() {  # WHO DEST [OPTION...]: as an OCI layout, and under a name
    "$1" build --progress plain --build-arg SOURCE_DATE_EPOCH=1700000000 \
        --secret "id=s,src=$home/secret" -t app:1 \
        -o "type=oci,tar=false,dest=$2,rewrite-timestamp=true" "${@:3}" "$ctx" 2>&1
}
check "root builds" build_of root_shale "$T/by-root"
check "a user builds" build_of user_shale "$home/by-user" -o type=image
digest_of() { python3 -c '
import json, sys
print(json.load(open(sys.argv[1] + "/index.json"))["manifests"][0]["digest"])' "$1"; }
root_digest=$(digest_of "$T/by-root")
check "the images are one, to the byte" equal "$(digest_of "$home/by-user")" "$root_digest"
check "no file differs" equal "$(root_shale diff "oci:$T/by-root" "oci:$home/by-user" 2>&1)" ""
check "a file of a stranger can be read" equal "$(user_shale cat app:1:/log)" once
in_image() { user_shale shell app:1 -- "$@"; }
check "the last ID has its file" equal "$(in_image stat -c %u:%g /heredoc)" 65535:65535
check "a replaced directory hides what was there" equal "$(in_image ls /d/old)" y
check "set-id bits stay" equal "$(in_image stat -c '%a %u:%g' /a/b/one)" "4755 0:0"
if [ "$capability" != true ] && command -v getfattr > /dev/null; then
    # Version 2 of vfs_cap_data: it belongs to no namespace's root.
    check "mount" root_shale mount "oci:$home/by-user" "$T/mnt"
    value=$(getfattr --only-values -n security.capability "$T/mnt/capable" 2> /dev/null |
        od -An -tx1 -N4)
    check "umount" root_shale umount "$T/mnt"
    check "a file has its capability" equal "$value" " 01 00 00 02"
fi
check "what he built is his" equal "$(find "$home/by-user" ! -user $uid | head -3)" ""
check "so is a directory" user_shale build -q -o "$home/out" "$ctx" --secret "id=s,src=$home/secret"
check "down to files of others" equal "$(find "$home/out" ! -user $uid | head -3)" ""
check "no program in it lends him to others" equal "$(stat -c %a "$home/out/a/b/one")" 755
mkdir "$home/applied" "$home/set-id"
cp "$busybox" "$home/set-id/root"
chmod 6755 "$home/set-id/root"
install -o $uid -g $uid -m 6755 "$busybox" "$home/set-id/his"
root_shale layer scratch "$home/set-id" -o "$home/set-id.tar" --compression uncompressed > /dev/null
chown $uid:$uid "$home/applied" "$home/set-id.tar"
check "he applies a layer" user_shale apply set-id.tar applied
check "which lends nobody either" equal "$(stat -c %a "$home/applied/root")" 755
check "but what is his own" equal "$(stat -c '%a %u' "$home/applied/his")" "6755 $uid"
all_cached() {
    build_of user_shale "$home/again" > "$T/log" || return 1
    local line
    line=$(grep -oE '[0-9]+ of [0-9]+ steps cached' "$T/log")
    [ "${line%% *}" -gt 10 ] && [ "${line%% *}" = "$(cut -d ' ' -f 3 <<< "$line")" ]
}
check "all of it is cached" all_cached
check "and the same" equal "$(digest_of "$home/again")" "$root_digest"

# A cache mount is carried with its owners.
owners() { tar --numeric-owner -tvf "$1" | grep -v shale-cache-mount; }
check "his cache mount" user_shale cache-mount export /cache -o "$home/cache.tar"
check "has files of others" grep -q '^drwx------ 77/78 .* closed/$' <(owners "$home/cache.tar")
check "goes under another id" user_shale cache-mount import --id other "$home/cache.tar"
check "import again" user_shale cache-mount import "$home/cache.tar" --id other
check "and out again" user_shale cache-mount export other -o "$home/other.tar"
check "as it was" equal "$(owners "$home/other.tar")" "$(owners "$home/cache.tar")"
check "and away" user_shale cache-mount rm other
echo x > "$home/strange"
tar --owner=100000 --group=200000 -C "$home" -cf "$home/strange.tar" strange
check "files of an ID that he has not become his" \
    user_shale cache-mount import --id strange "$home/strange.tar"
check "and are there" equal \
    "$(find "$SHALE_ROOT/cache-mounts" -name strange -user $uid -exec cat {} +)" x
check "away with them" user_shale cache-mount rm strange

# ------------------------------------------------------------------------------------------------
# What a step is, and what it is not.

small=$home/small
small() {  # a Dockerfile's lines after the base, on standard input
    mkdir -p "$small"
    { echo "FROM base"; cat; } > "$small/Dockerfile"
    chown -R $uid:$uid "$small"
}
built() { user_shale build --progress plain --build-context "$base" "$@" "$small"; }
base=base=oci-layout://$home/base
check "a base" user_shale build -q --target base -o "type=oci,tar=false,dest=$home/base" "$ctx"

small <<'D'
RUN cat /proc/self/uid_map /proc/self/setgroups && ls -ld /sys/kernel /dev/pts/ptmx /dev/null
RUN --network=none ls /sys/class/net > /only && [ "$(cat /only)" = lo ]
RUN mount -t tmpfs none /tmp 2> /tmp.err || echo "may not mount"
RUN ! mknod /disk b 8 0 && mknod /whiteout c 0 0 || echo "may not make devices"
RUN echo > /proc/sys/kernel/hostname || echo "may not write settings"
D
inside_of() { built --no-cache > "$T/inside.log" 2>&1; }
check "what is in a container" inside_of
for text in "$ids      65536" allow "may not mount" "may not make devices" "may not write settings"
do
    check "says $text" grep -qE "^#[0-9]+ [0-9.]+ .*$text" "$T/inside.log"
done
small <<'D'
RUN --network=host ls /sys/class/net && ! grep " /sys" /proc/mounts | grep -v " ro[, ]"
D
check "the host's network, and nothing of /sys to write to" \
    built --network host --allow network.host
if [ -e /dev/net/tun ] && command -v slirp4netns > /dev/null; then
    small <<'D'
RUN ip addr show eth0
D
    check "a private network" contains "$(built 2>&1)" "inet 10.0.2.100/24"
fi
small <<'D'
RUN true
D
check_fails "a limit of memory" 1 "processors or processes is not possible rootless" \
    built --memory 100m
check_fails "a higher limit of files" 1 "this user's hard limit is" built --ulimit nofile=99999999
check "a lower one" built --ulimit nofile=100
small <<'D'
# syntax=docker/dockerfile:1-labs
RUN --security=insecure mkdir /mnt && mount -t tmpfs x /mnt && ls /dev > /devices
D
check "an insecure step" built --allow security.insecure

# An ID without a stand-in.
small <<'D'
COPY --chown=100000:200000 --chmod=644 Dockerfile /strange
RUN [ "$(stat -c %u:%g /strange)" = 65534:65534 ] && grep -q strange /strange && ! echo > /strange
D
check "a file of an ID that he has not" built -o "type=tar,dest=$home/strange.tar"
check "stays that ID's" grep -q "^-rw-r--r-- 100000/200000 .* strange$" \
    <(tar --numeric-owner -tvf "$home/strange.tar")

# Marks of overlayfs that an image brings along are neither obeyed nor passed on.
if command -v setfattr > /dev/null; then
    mkdir -p "$home/marked/root/dir" && echo seen > "$home/marked/root/dir/file"
    setfattr -n user.overlay.opaque -v y "$home/marked/root/dir"
    printf 'FROM base\nCOPY root /\nRUN cat /dir/file && echo more > /dir/more\n' \
        > "$home/marked/Dockerfile"
    chown -R $uid:$uid "$home/marked"
    small=$home/marked
    check "marks in a context" built -t marked:1
    check "hide nothing" equal "$(user_shale cat marked:1:/dir/file)" seen
    small=$home/small
fi

# Attributes that only the machine's root sees stay where a RUN changes what is beside them.
if command -v setfattr > /dev/null && setfattr -n trusted.secret -v 1 "$T/etc" 2> /dev/null; then
    mkdir -p "$T/trusted/root/dir" && echo one > "$T/trusted/root/dir/file"
    setfattr -n trusted.secret -v 1 "$T/trusted/root/dir" "$T/trusted/root/dir/file"
    tar --xattrs --xattrs-include='*' -C "$T/trusted/root" -cf "$T/trusted/root.tar" .
    printf 'FROM scratch\nADD root.tar /\n' > "$T/trusted/Dockerfile"
    check "root builds a base with trusted.*" root_shale build -q \
        -o "type=oci,tar=false,dest=$T/trusted/layout" "$T/trusted"
    chmod -R a+rX "$T/trusted"
    mkdir -p "$home/trusting"
    printf 'FROM base\nCOPY --from=secret / /\n' > "$home/trusting/Dockerfile"
    echo 'RUN echo two >> /dir/file && touch /dir/new /root' >> "$home/trusting/Dockerfile"
    chown -R $uid:$uid "$home/trusting"
    small=$home/trusting
    trusting() { built --build-context "secret=oci-layout://$T/trusted/layout" "$@"; }
    check "a RUN beside them" trusting -t trusting:1 -o type=image \
        -o "type=oci,tar=false,dest=$home/trusting/layout"
    check "changes what it changes" equal "$(user_shale cat trusting:1:/dir/file)" "one
two"
    check "mount" root_shale mount "oci:$home/trusting/layout" "$T/mnt"
    check "the directory has its attribute" equal \
        "$(getfattr --only-values -n trusted.secret "$T/mnt/dir" 2> /dev/null)" 1
    check "umount" root_shale umount "$T/mnt"
    check "into a directory, without them" trusting -o "$home/trusting/out"
    check "all is there" equal "$(cat "$home/trusting/out/dir/file")" "one
two"
    small=$home/small
fi

# ------------------------------------------------------------------------------------------------
# What is missing is named.

echo "FROM scratch
COPY Dockerfile /" > "$home/only-copy"
without() {  # FILES COMMAND...
    HIDE=$1 user_shale "${@:2}"
}
advice='usermod --add-subuids 100000-165535 --add-subgids 100000-165535 shale-test'
check_fails "no subordinate IDs" 1 \
    "/etc/subuid lends no subordinate IDs to shale-test; give some with \`$advice\`" \
    without /etc/subuid build --no-cache "$ctx" --secret "id=s,src=$home/secret"
check_fails "none for groups" 125 "/etc/subgid lends no subordinate IDs to shale-test" \
    without /etc/subgid shell app:1 -- true
check_fails "no newuidmap" 125 "newuidmap is not installed; it comes with the package uidmap" \
    without "$(command -v newuidmap)" shell app:1 -- true
# Settings of the namespace that a process is in hold for it.
unshare --user sleep 60 &
sleeper=$!
outside=$(readlink /proc/self/ns/user)
until [ "$(readlink /proc/$sleeper/ns/user)" != "$outside" ]; do sleep 0.1; done
for map in uid_map gid_map; do echo "0 0 4294967295" > /proc/$sleeper/$map; done
nsenter --user --target $sleeper sh -c 'echo 0 > /proc/sys/user/max_user_namespaces'
check_fails "no user namespaces" 125 "user namespaces are not permitted here: user.max_user_name" \
    nsenter --user --target $sleeper \
    unshare -m bash "$T/become.sh" "$T" "$T/shale" shell app:1 -- true
kill $sleeper
chmod 600 "$T/fuse"
check_fails "no /dev/fuse" 125 "/dev/fuse may not be opened by this user" in_image true
chmod 666 "$T/fuse"
check "without a command to run, nothing is needed" \
    without /etc/subuid build -q -f "$home/only-copy" "$ctx"

# ------------------------------------------------------------------------------------------------
# Root of a namespace that somebody else made, as in a container of an ordinary user.

inside="unshare --user --map-root-user --map-auto --mount"
if as_user $inside true 2> /dev/null; then
    inner_shale() { as_user $inside "$T/shale" "$@"; }
    check "root in a namespace" build_of inner_shale "$home/inside" --no-cache
    check "builds the same" equal "$(digest_of "$home/inside")" "$root_digest"
fi

# ------------------------------------------------------------------------------------------------
# A build that is killed.

small <<'D'
RUN mkdir -m 700 /closed && echo x > /closed/file && chown -R 1234:1234 /closed
RUN mkdir -m 700 /closed/2 && chown -R 1234:1234 /closed && echo ready && sleep 4321
D
(exec unshare -m bash "$T/become.sh" "$T" "$T/shale" build --progress plain \
    --build-context "$base" "$small" > "$T/killed.log" 2>&1) &
victim=$!
sleeping() { pgrep -u $uid -f "sleep 4321" > /dev/null; }
check "it is under way" wait_for 20 grep -qE '[0-9] ready$' "$T/killed.log"
check "its command runs" sleeping
kill -KILL $victim
wait $victim 2> /dev/null
check "its step is gone" wait_for 5 not sleeping
left() { find "$SHALE_ROOT/tmp" -uid $((ids + 1233)) 2> /dev/null | head -1; }
check "what it wrote is there, and another's" test -n "$(left)"
find "$SHALE_ROOT/tmp" "$SHALE_ROOT/runtime" -maxdepth 1 -exec touch -h -d '2 days ago' {} +
check "commands outside do not mind" user_shale images
check "which could not remove it" test -n "$(left)"
small <<'D'
RUN echo after
D
check "the next build works" built --no-cache
check "and has removed it" equal "$(left)" ""
runs() { find "$SHALE_ROOT/runtime" -mindepth 1 -maxdepth 1 -type d; }
check "no run is left" equal "$(runs)" ""

# ------------------------------------------------------------------------------------------------
# A cache mount's files belong to others, in directories that are closed to him.

check "there is one" test -n "$(find "$SHALE_ROOT/cache-mounts" -uid $((ids + 76)) | head -1)"
check "du counts it" contains "$(user_shale du)" "cache mount /cache"
check "prune" user_shale prune -af
check "removes it" equal "$(find "$SHALE_ROOT" -uid $((ids + 76)) | head -1)" ""
check "all that is left is his" equal "$(find "$SHALE_ROOT" ! -user $uid | head -3)" ""
check "root's store is not in use" equal "$(find "$root_store" -user $uid | head -3)" ""

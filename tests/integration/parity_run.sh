#!/usr/bin/env bash
# RUN as BuildKit's tests expect it, where no other script looks: variables in mounts, cache mounts
# of stages that run together and of triggers, networks, devices, and the name of the machine.
# The base is busybox copied into scratch, and nothing leaves this machine. tests/parity.toml names
# the checks.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/ctx
mkdir -p "$ctx"
cp "$busybox" "$ctx/busybox"
cat > "$T/base" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
D
# dockerfile NAME [GLOBAL...]: the stages that standard input adds to the base, below the lines
# that come before any stage.
dockerfile() {
    { printf '%s\n' "${@:2}"; cat "$T/base" -; } > "$T/$1.Dockerfile"
}
# build NAME [FLAG...]
build() {
    "$SHALE" build --progress plain -t "$1" -f "$T/$1.Dockerfile" "${@:2}" "$ctx" 2>&1
}
# says NAME FILE TEXT: the file of the image holds just that.
says() { equal "$("$SHALE" cat "$1:$2")" "$3"; }
# without WHAT REASON: checks that this machine cannot make.
without() { echo "skipped: $1, $2"; }

# --- variables in mounts --------------------------------------------------------------------------
dockerfile argument <<'D'
FROM base
ARG KIND=tmpfs
RUN --mount=type=$KIND,target=/m grep ' /m ' /proc/mounts | cut -d ' ' -f 3 > /kind; touch /m/x
RUN [ ! -e /m/x ]
D
check "an argument may be the type of a mount" build argument
check "which is mounted" says argument /kind tmpfs
check_fails "a build argument may make it another" 1 'unsupported mount type "tmp"' \
    build argument --build-arg KIND=tmp

dockerfile inherited <<'D'
FROM base AS parent
ENV KIND=cache ID=inherited-id
FROM parent
RUN --mount=type=$KIND,id=$ID,target=/one echo kept > /one/file
RUN --mount=type=cache,id=inherited-id,target=/two cp /two/file /copied
D
check "variables of an inherited stage may be type and id" build inherited
check "and name the cache that its id does" says inherited /copied kept

dockerfile global 'ARG WHERE=/global' <<'D'
FROM base
ARG WHERE
RUN --mount=type=tmpfs,target=$WHERE touch $WHERE/x && grep ' tmpfs ' /proc/mounts > /mounted
RUN grep -o " $WHERE " /mounted > /found && [ ! -e $WHERE/x ]
D
check "a global argument that is declared again may be a target" build global
check "it is where the mount is" says global /found ' /global '
check "and a build argument moves it" build global --build-arg WHERE=/moved
check "to where it says" says global /found ' /moved '

# --- the same file, mounted twice -----------------------------------------------------------------
dockerfile twice <<'D'
FROM base
RUN --mount=source=.,target=/all --mount=source=note,target=/note \
    cat /all/note /note > /seen
D
stay_fresh() {
    local text
    for text in first second third; do
        echo "$text" > "$ctx/note"
        build twice && says twice /seen "$text"$'\n'"$text" || return 1
    done
}
check "a directory and a file of it, mounted together, stay fresh" stay_fresh
rm "$ctx/note"

# --- cache mounts ---------------------------------------------------------------------------------
{
    for i in 1 2 3 4 5 6; do
        cat <<D
FROM base AS s$i
RUN --mount=type=cache,target=/c --mount=type=cache,target=/c/in \
    touch /c/in/at-$i && [ ! -e /c/at-$i ] && touch /c/out-$i && sleep 0.3 && touch /done-$i
D
    done
    echo FROM base
    for i in 1 2 3 4 5 6; do echo "COPY --from=s$i /done-$i /"; done
    echo 'RUN --mount=type=cache,target=/c --mount=type=cache,target=/c/in ls -d /c/* /c/in/* > /ls'
} | dockerfile together
check "stages that run together may nest the same caches" build together -j 6
expected=$(printf '%s\n' /c/in /c/in/at-{1..6} /c/out-{1..6} | LC_ALL=C sort)
sorted() { "$SHALE" cat "$1" | LC_ALL=C sort; }
check "each of which holds what all of them left" equal "$(sorted together:/ls)" "$expected"

dockerfile trigger <<'D'
FROM base AS onbuild
ONBUILD RUN --mount=type=cache,target=/trigger echo by-trigger > /trigger/file && touch /fired
FROM onbuild
RUN --mount=type=cache,target=/trigger cp /trigger/file /copied
RUN [ -e /fired ] && ! [ -e /trigger/file ]
D
check "a trigger may mount a cache" build trigger
check "which is the one that others mount" says trigger /copied by-trigger

# --- control groups -------------------------------------------------------------------------------
# That a parent's limits hold is checked in run_mounts.sh; here, that they hold for nothing else.
group=
for pids in /sys/fs/cgroup/pids /sys/fs/cgroup; do
    [ -z "$group" ] && [ -e "$pids/cgroup.procs" ] &&
        mkdir "$pids/shale-parity-parent" 2>/dev/null && group=$pids/shale-parity-parent
done
[ -z "$group" ] || on_exit="rmdir $group 2>/dev/null"
if [ -n "$group" ] && echo 16 2>/dev/null > "$group/pids.max"; then
    dockerfile many <<'D'
FROM base
RUN i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i + 1)); done; wait
D
    check_fails "a command in a limited group" 1 fork build many --cgroup-parent shale-parity-parent
    check "a command outside of the limited group is not limited" build many
else
    without "limits of a group" "the pids controller is not to be had"
fi
[ -z "$group" ] || rmdir "$group"

# --- networks -------------------------------------------------------------------------------------
own=$(readlink /proc/self/ns/net)
if command -v slirp4netns > /dev/null && [ -e /dev/net/tun ]; then
    dockerfile private <<'D'
FROM base
RUN ls /sys/class/net > /names && readlink /proc/self/ns/net > /ns
RUN --network=default ls /sys/class/net > /names-default
D
    check "a command has a network" build private
    check "of loopback and eth0" says private /names $'eth0\nlo'
    check "and so if it asks for the default" says private /names-default $'eth0\nlo'
    differs() { [ -n "$1" ] && [ "$1" != "$2" ]; }
    check "which is not the machine's" differs "$("$SHALE" cat private:/ns)" "$own"
else
    without "the default network" "needs slirp4netns and /dev/net/tun"
fi

dockerfile none <<'D'
FROM base
RUN --network=none ls /sys/class/net > /names
D
check "a command may have no network" build none
check "but for its own loopback" says none /names lo

# Says a word to whoever connects to the machine's loopback, until the script ends.
if command -v python3 > /dev/null; then
    python3 -c '
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    client.sendall(b"host-loopback\n")
    client.close()' > "$T/port" &
    on_exit="${on_exit:-true}; kill $!; wait $! 2>/dev/null"
    for ((i = 0; i < 100; ++i)); do [ -s "$T/port" ] && break; sleep 0.05; done
    port=$(cat "$T/port")
    dockerfile host <<D
FROM base
RUN --network=host nc 127.0.0.1 $port < /dev/null > /heard && readlink /proc/self/ns/net > /ns
RUN --network=none ! nc -w 2 127.0.0.1 $port < /dev/null && ls /sys/class/net > /names
D
    check_fails "the machine's network must be allowed" 1 \
        'entitlement network.host is not allowed' build host
    check "a command may have the machine's network" build host --allow network.host
    check "with its loopback" says host /heard host-loopback
    check "for it is the same one" says host /ns "$own"
    check "which the next command lacks" says host /names lo

    # Other commands than those above, or they would be found in the cache.
    dockerfile all <<D
FROM base
RUN nc 127.0.0.1 $port < /dev/null > /heard && true
RUN --network=none ls /sys/class/net > /names && true
RUN --network=host readlink /proc/self/ns/net > /ns
D
    check "all commands may have the machine's network, for who asks for that allows it" \
        build all --network host
    check "with its loopback, all of them" says all /heard host-loopback
    check "unless one asks for none" says all /names lo
    check "or for it again" says all /ns "$own"
    dockerfile nobody <<'D'
FROM base
RUN ls /sys/class/net > /names && : nobody
D
    check "all commands may have no network" build nobody --network none
    check "and have none" says nobody /names lo
else
    without "the machine's loopback" "needs python3"
fi

# --- privileges -----------------------------------------------------------------------------------
dockerfile bounds <<'D'
FROM base
RUN grep CapBnd /proc/self/status | cut -f 2 > /implicit
RUN --security=sandbox grep CapBnd /proc/self/status | cut -f 2 > /explicit
D
check "commands are in a sandbox" build bounds
check "with the default capabilities" says bounds /implicit 00000000a80425fb
check "and with the same if they ask for it" says bounds /explicit 00000000a80425fb

if [ -e /dev/loop-control ]; then
    dockerfile devices <<'D'
FROM base
RUN --security=insecure : <> /dev/fuse && : <> /dev/loop-control && losetup -f > /free
RUN [ ! -e /dev/fuse ] && [ ! -e /dev/loop-control ] \
    && mknod /fuse c 10 229 && mknod /loop c 10 237 \
    && ! (: <> /fuse) && ! (: <> /loop) && rm /fuse /loop
D
    check "an insecure command may open fuse and loop devices, others may not" build devices \
        --allow security.insecure
    check "it finds a free loop device" contains "$("$SHALE" cat devices:/free)" /dev/loop
else
    without "loop devices" "the kernel has none"
fi

# --- names ----------------------------------------------------------------------------------------
dockerfile hostname <<'D'
FROM base
RUN hostname > /name && grep -o "localhost $(hostname)" /etc/hosts > /line
D
check "a command's machine has a name" build hostname
check "buildkitsandbox" says hostname /name buildkitsandbox
check "a build argument gives it another" build hostname \
    --build-arg BUILDKIT_SANDBOX_HOSTNAME=other.example
check "the one it says" says hostname /name other.example
check "in /etc/hosts, too" says hostname /line 'localhost other.example'

dockerfile stage <<'D'
FROM base AS first
RUN echo "value:$TARGETSTAGE" > /undeclared
ARG TARGETSTAGE
RUN echo "value:$TARGETSTAGE" > /stage
FROM first AS second
FROM second
D
{ cat "$T/stage.Dockerfile"; echo 'FROM first AS last'; } > "$T/named.Dockerfile"
told() {
    local target
    for target in "$@"; do
        build stage --target "$target" && says stage /stage "value:$target" || return 1
    done
}
check "a build of a stage is told its name, wherever it asks" told first second
check "a build of the last stage" build stage
check "is told default if it has no name" says stage /stage value:default
check "and nothing before it asks" says stage /undeclared value:
check "a build of a last stage with a name" build named
check "is told that name" says named /stage value:last

#!/usr/bin/env bash
# RUN with everything that can be lent to it: mounts, secrets, agents, privileges, limits, devices.
# The base is busybox copied into scratch, so no registry is needed.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/ctx
mkdir -p "$ctx/dir/sub" "$ctx/hidden"
cp "$busybox" "$ctx/busybox"
echo one > "$ctx/dir/one.txt"
echo two > "$ctx/dir/sub/two.txt"
echo unseen > "$ctx/hidden/file"
ln -s dir "$ctx/link"
ln -s ../../../etc/passwd "$ctx/outside"
chown -R 1234:1234 "$ctx/dir"
printf 'hidden\n' > "$ctx/.dockerignore"
printf 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' > "$ctx/passwd"

# dockerfile NAME: the stages that standard input adds to the base.
dockerfile() {
    {
        cat <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY passwd /etc/
D
        cat
    } > "$T/$1.Dockerfile"
}
# build NAME [FLAG...]: what it printed stays in last.log.
build() {
    local name=$1 code=0
    shift
    "$SHALE" build --progress plain -t "$name" -f "$T/$name.Dockerfile" "$@" "$ctx" \
        > "$T/last.log" 2>&1 || code=$?
    cat "$T/last.log"
    return "$code"
}
logged() {
    grep -qF -- "$1" "$T/last.log" && return
    echo "not logged: $1"
    cat "$T/last.log"
    return 1
}
not_logged() { ! grep -qF -- "$1" "$T/last.log" || { echo "logged: $1"; return 1; }; }
# files NAME: every path of the image.
files() {
    "$SHALE" build -q -f "$T/$1.Dockerfile" -o - "${@:2}" "$ctx" 2>/dev/null | tar tf - | sort
}
# How many RUNs with mounts the last build ran, instead of finding them in the cache.
ran() {
    awk '/^#[0-9]+ \[.*RUN --/ { wanted[$1] = 1 }
         $2 == "DONE" && wanted[$1] { n++ }
         END { print n + 0 }' "$T/last.log"
}
lacks() {  # lacks NAME PATTERN [FLAG...]
    local found
    found=$(files "$1" "${@:3}" | grep -E "$2")
    equal "$found" ""
}

# --- bind -----------------------------------------------------------------------------------------
dockerfile bind <<'D'
FROM base AS other
RUN mkdir -p /out/d && echo from-stage > /out/d/a && ln -s d/a /out/link && ln -s /etc /out/etc
FROM base
WORKDIR /w
ENV WHERE=/ctx
RUN --mount=target=$WHERE --mount=type=bind,source=dir/one.txt,target=/one.txt \
    cat $WHERE/dir/sub/two.txt /one.txt > seen && [ ! -e /ctx/hidden ] && ! touch /ctx/x /one.txt \
    && [ "$(stat -c %u:%g /ctx/dir/one.txt)" = 0:0 ] && [ "$(readlink /ctx/link)" = dir ]
RUN --mount=source=link,target=linked cat linked/one.txt /w/linked/sub/two.txt
RUN --mount=source=dir,target=/deep/er/mount,rw \
    echo new > /deep/er/mount/new && rm /deep/er/mount/one.txt \
    && [ "$(ls /deep/er/mount)" = "$(printf 'new\nsub')" ] && echo kept > /deep/kept
RUN --mount=from=other,source=out/link,target=/f --mount=from=other,source=/out,target=/o \
    cat /f && [ "$(cat /o/d/a)" = from-stage ] && [ -e /o/etc/passwd ]
RUN --mount=target=/ctx --mount=type=tmpfs,target=/ctx/absent/deep,size=2m \
    --mount=source=dir/one.txt,target=/ctx/absent/deep/file \
    touch /ctx/absent/deep/x && cat /ctx/absent/deep/file \
    && df -k /ctx/absent/deep | grep -q ' 2048 '
RUN --mount=type=bind,target=/run/stub --mount=type=tmpfs,target=/made/by \
    chmod 700 /made && ls /run/stub
D
check "bind mounts show the context and stages" build bind
check "what they show is what was asked for" equal \
    "$("$SHALE" cat bind:/w/seen)" "$(printf 'two\none')"
check "no mount point is left in the image" \
    lacks bind '^\.?/?(ctx|one.txt|linked|f|o|made|run)(/|$)'
check "nor one below a directory that was written to" lacks bind 'deep/er|w/linked'
check "what the command wrote beside it stays" equal "$("$SHALE" cat bind:/deep/kept)" kept
check "a writable bind does not change its source" \
    test ! -e "$ctx/dir/new" -a -e "$ctx/dir/one.txt"
check "a repeated build is cached" build bind
check "entirely" equal "$(ran)" 0

# What is written to the context while a step reads it.
cp -a "$ctx" "$T/alive"
echo two > "$T/alive/b"
dockerfile alive <<'D'
FROM base
RUN --mount=target=/src echo begun; sleep 2; cat /src/b > /seen; true
D
while_it_runs() {
    "$SHALE" build --progress plain -t alive -f "$T/alive.Dockerfile" "$T/alive" \
        > "$T/alive.log" 2>&1 &
    local build=$!
    wait_for 30 grep -q "[0-9] begun" "$T/alive.log"
    eval "$1"
    wait $build
}
check "a file is touched while a step reads it" while_it_runs 'touch "$T/alive/b"'
check "which is nothing to it" equal "$("$SHALE" cat alive:/seen)" two
echo three > "$T/alive/b"
check_fails "one is changed" 1 "" while_it_runs 'echo FOUR > "$T/alive/b"'
check "which ends the step, whatever the command makes of it" grep -q \
    "could not show a file of the build context as it was: /b: the file has changed" \
    "$T/alive.log"
echo three > "$T/alive/b"
check "with what it was" while_it_runs true
check "the step is made" equal "$("$SHALE" cat alive:/seen)" three

touch "$ctx/dir/one.txt"
echo more > "$ctx/hidden/more"
dockerfile part <<'D'
FROM base
RUN --mount=source=dir,target=/d echo ran-part && cat /d/one.txt
D
check "a bind of a part" build part
touch "$ctx/dir/one.txt"
echo more > "$ctx/unrelated"
check "times and files elsewhere" build part
check "change nothing" equal "$(ran)" 0
echo changed >> "$ctx/dir/one.txt"
check "a changed file" build part
check "runs the command again" equal "$(ran)" 1
rm "$ctx/unrelated"

bad() {  # bad WHAT MESSAGE LINE...: the RUN must fail with the message
    local what=$1 message=$2
    shift 2
    { echo 'FROM base'; printf '%s\n' "$@"; } | dockerfile bad
    check_fails "$what" 1 "$message" build bad
}
bad "a missing source" '"/nosuch": not found' 'RUN --mount=source=nosuch,target=/x true'
bad "a hidden source" '"/hidden/file": not found' 'RUN --mount=source=hidden/file,target=/x true'
bad "a link that leaves the context" '"/outside": not found' \
    'RUN --mount=source=outside,target=/x true'
bad "the stage itself" \
    'cannot mount from stage "me" to "/x", stage needs to be defined before current command' \
    'FROM base AS me' 'RUN --mount=from=me,target=/x true'
bad "the root as a target" 'invalid mount target' 'RUN --mount=type=tmpfs true'
bad "a variable in from" "'from' doesn't support variable expansion" \
    'RUN --mount=from=$X,target=/x true'

# --- cache ----------------------------------------------------------------------------------------
dockerfile cache <<'D'
FROM base AS seed
RUN mkdir -p /s && echo seeded > /s/file && chmod 711 /s
FROM base
ARG N
RUN --mount=type=cache,target=/var/cache/x echo "$N" >> /var/cache/x/log && cat /var/cache/x/log
RUN --mount=type=cache,id=/var/cache/x,target=/elsewhere/../else cp /else/log /log$N
RUN --mount=type=cache,target=/owned,uid=1000,gid=1001,mode=750 stat -c '%u:%g %a' /owned
RUN --mount=type=cache,target=/seeded,from=seed,source=s \
    cat /seeded/file && echo "$N" >> /seeded/more && stat -c %a /seeded && wc -l /seeded/more
RUN --mount=type=cache,target=/a --mount=type=cache,target=/a/b --mount=type=cache,id=/a,target=/c \
    echo nested > /a/b/file && [ -d /c/b ] && [ ! -e /c/b/file ]
RUN --mount=type=cache,target=/ro,ro ! touch /ro/x
RUN --mount=type=cache,target=/s,source=p/q touch /s/x
RUN --mount=type=cache,target=/s [ -e /s/p/q/x ]
D
check "cache mounts" build cache --build-arg N=1
check "belong to whom they should" logged '1000:1001 750'
check "begin as their seed" logged seeded
check "with its mode" logged ' 711'
check "stay until the next build" build cache --build-arg N=2
check "with what they held" equal "$("$SHALE" cat cache:/log2)" "$(printf '1\n2')"
check "the seeded one, too" logged '2 /seeded/more'
check "and are not in the image" \
    lacks cache '^\.?/?(var|else|elsewhere|owned|seeded|a|c|ro|s)(/|$)' --build-arg N=2
check "another namespace is another cache" build cache --build-arg N=3 \
    --build-arg BUILDKIT_CACHE_MOUNT_NS=mine
check "and begins empty" equal "$("$SHALE" cat cache:/log3)" 3
check "--no-cache" build cache --build-arg N=4 --no-cache
check "empties the cache mounts, once per build" equal "$("$SHALE" cat cache:/log4)" 4

cat > "$T/escape.Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS first
RUN --mount=type=cache,id=esc,target=/c ln -s / /c/abs && ln -s ../../../.. /c/rel
FROM first AS abs
RUN --mount=type=cache,id=esc,source=abs/etc,target=/x ls /x
FROM first AS rel
RUN --mount=type=cache,id=esc,source=rel,target=/x ls /x
D
check_fails "an absolute link does not lead out of a cache" 1 'leads out of the cache' \
    build escape --target abs
check_fails "nor does one upwards" 1 'leads out of the cache' build escape --target rel

dockerfile locked <<'D'
FROM base
ARG N
RUN --mount=type=cache,id=lock,target=/c,sharing=locked \
    mkdir /c/held && sleep 1 && rmdir /c/held && echo "$N" >> /c/log
D
both() {
    "$SHALE" build -q -f "$T/$1.Dockerfile" --build-arg N=1 "$ctx" > "$T/one.log" 2>&1 &
    local other=$!
    "$SHALE" build -q -f "$T/$1.Dockerfile" --build-arg N=2 "$ctx" > "$T/two.log" 2>&1 || return 1
    wait "$other"
}
check "sharing=locked lets one build at a time in" both locked
dockerfile private <<'D'
FROM base
ARG N
RUN --mount=type=cache,id=priv,target=/c,sharing=private mkdir /c/held && sleep 1 && rmdir /c/held
D
check "sharing=private gives each its own" both private

# --- secrets --------------------------------------------------------------------------------------
value=hunter2-$RANDOM-$RANDOM
printf '%s' "$value-file" > "$T/secret"
export SECRET_VARIABLE=$value-variable
dockerfile secret <<'D'
FROM base
ENV TOKEN=public
RUN mkdir -p /etc/app && echo mine > /etc/app/own
RUN --mount=type=secret,id=key,required \
    --mount=type=secret,id=key,target=/etc/app/key,mode=0440,uid=1000,gid=1001 \
    wc -c < /run/secrets/key && stat -c '%a %u:%g' /run/secrets/key /etc/app/key \
    && touch /etc/app/beside && grep ' /run/secrets/key ' /proc/mounts
RUN --mount=type=secret,id=token,env=TOKEN \
    echo "length ${#TOKEN} of" $TOKEN | wc -c && [ ! -e /run/secrets ]
RUN --mount=type=secret,id=token,env=A,target=/both [ "$A" = "$(cat /both)" ] \
    && echo "it is $(cat /both)!"
RUN --mount=type=secret,id=absent --mount=type=secret,id=absent,env=B \
    [ ! -e /run/secrets/absent ] && [ -z "$B" ]
D
lend=(--secret "id=key,src=$T/secret" --secret id=token,env=SECRET_VARIABLE)
check "secrets reach commands" build secret "${lend[@]}"
check "with the default mode" logged '400 0:0'
check "with mode and owner" logged '440 1000:1001'
check "from memory, without set-id, devices, programs" sh -c \
    "grep ' /run/secrets/key tmpfs' '$T/last.log' | grep nosuid | grep nodev | grep -q noexec"
check "a secret variable is stars in the title" logged '****'
check "no secret is printed" not_logged "$value"
check "not even by the command" logged 'it is ****!'
check "none is in the image" lacks secret 'run/secrets|app/key|both' "${lend[@]}"
check "what was written beside one is" sh -c \
    "[ -n \"\$('$SHALE' cat secret:/etc/app/own)\" ] && '$SHALE' cat secret:/etc/app/beside"
check "no secret is anywhere in the store" sh -c "! grep -rqaF '$value' '$SHALE_ROOT'"
unpacked() { "$SHALE" build -q -f "$T/secret.Dockerfile" -o - "$ctx" 2>/dev/null; }
check "nor in the unpacked image" equal "$(unpacked | grep -caF "$value")" 0
printf other > "$T/secret"
check "another value" build secret "${lend[@]}"
check "is no reason to run again" equal "$(ran)" 0
check "and neither is none at all" build secret
check "so nothing ran" equal "$(ran)" 0
dockerfile needy <<'D'
FROM base
RUN --mount=type=secret,id=mysecret,required=true true
D
check_fails "a secret that is needed and missing" 1 'secret mysecret: not found' build needy
check_fails "a secret without a file" 1 'failed to stat' \
    build needy --secret id=mysecret,src=/nosuch
head -c 600000 /dev/zero > "$T/large"
check_fails "a secret that is too large" 1 'secret mysecret' build needy \
    --secret "id=mysecret,src=$T/large"

# --- ssh ------------------------------------------------------------------------------------------
if command -v ssh-agent > /dev/null && command -v ssh-keygen > /dev/null; then
    ssh-keygen -q -t ed25519 -N '' -C shale-test-key -f "$T/key"
    eval "$(ssh-agent -a "$T/agent")" > /dev/null
    on_exit="kill $SSH_AGENT_PID"
    ssh-add -q "$T/key" 2>/dev/null
    mkdir -p "$ctx/ssh"
    cp --parents -L "$(command -v ssh-add)" \
        $(ldd "$(command -v ssh-add)" | grep -o '/[^ ]*') "$ctx/ssh"
    library_path=$(ldd "$(command -v ssh-add)" | grep -o '/[^ ]*/' | sort -u | sed 's|^|/opt|' |
        paste -sd:)
    dockerfile ssh <<D
FROM base
ARG N
ENV LD_LIBRARY_PATH=$library_path
RUN --mount=type=ssh --mount=source=ssh,target=/opt \\
    echo "\$SSH_AUTH_SOCK" && stat -c '%a %u' "\$SSH_AUTH_SOCK" && for i in 1 2 3; \\
    do /opt/lib64/ld-linux-x86-64.so.2 /opt$(command -v ssh-add) -l; done
RUN --mount=type=ssh,target=/agent.sock,mode=0666,uid=1000,gid=1001 \\
    stat -c '%F %a %u:%g' /agent.sock
RUN --mount=type=ssh,id=nobody [ -z "\$SSH_AUTH_SOCK" ]
D
    check "an agent is lent to a command" build ssh --ssh default
    check "at a path of its own" logged '/run/buildkit/ssh_agent.0'
    check "and answers" logged shale-test-key
    check "with mode and owner" logged 'socket 666 1000:1001'
    check "no socket is in the image" lacks ssh 'agent' --ssh default
    check "key files do, too" build ssh --ssh "default=$T/key" --build-arg N=2
    check "through an agent of the build's" logged shale-test-key
    ssh-keygen -q -t ed25519 -N secret -f "$T/locked-key"
    check_fails "a key with a passphrase is refused" 1 'cannot use SSH key' \
        build ssh --ssh "default=$T/locked-key" --build-arg N=3
    dockerfile noagent <<'D'
FROM base
RUN --mount=type=ssh,id=mine,required true
D
    check_fails "an agent that is needed and missing" 1 \
        'no SSH key "mine" forwarded from the client' build noagent
    rm -rf "$ctx/ssh"
fi

# --- privileges, limits, here-documents -----------------------------------------------------------
dockerfile insecure <<'D'
FROM base
RUN --security=insecure grep CapBnd /proc/self/status && mkdir /m && mount -t tmpfs none /m \
    && umount /m && rmdir /m && [ -e /dev/loop-control -o ! -e /sys/module/loop ] \
    && [ -w /sys/kernel ]
RUN --security=sandbox grep CapBnd /proc/self/status | grep a80425fb \
    && ! mount -t tmpfs none /bin
D
check_fails "privileges must be allowed" 1 'entitlement security.insecure is not allowed' \
    build insecure
check "and are given then" build insecure --allow security.insecure
check "to the ones that ask only" logged 00000000a80425fb
check_fails "an unknown entitlement" 1 'did you mean network.host' \
    build insecure --allow network.hots

dockerfile limits <<'D'
FROM base
RUN ulimit -n && ulimit -Hn && df -k /dev/shm && cat /proc/self/cgroup
RUN --network=none ! ip link | grep -v -e ' lo:' -e link/loopback | grep -q .
D
check "limits" build limits --ulimit nofile=123:456 --shm-size 8m
check "of processes" logged 123
check "of both kinds" logged 456
check "and of shared memory" logged ' 8192 '
check_fails "an unknown limit" 1 'invalid ulimit type: files' build limits --ulimit files=1
if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] ||
    grep -qsw memory /sys/fs/cgroup/cgroup.controllers; then
    dockerfile memory <<'D'
FROM base
RUN awk 'BEGIN { text = "x"; while (length(text) < 100000000) text = text text }'
D
    check_fails "a command that needs more memory than it may" 1 'exit code: 137' \
        build memory --resource memory=32m
fi
# Both kinds of hierarchy, if the controller is there.
for pids in /sys/fs/cgroup/pids /sys/fs/cgroup; do
    parent=$pids/shale-test-parent
    [ -e "$pids/cgroup.procs" ] && mkdir "$parent" 2>/dev/null || continue
    if echo 16 2>/dev/null > "$parent/pids.max"; then
        dockerfile parent <<'D'
FROM base
RUN i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i + 1)); done; wait
D
        check_fails "the parent group's limits hold" 1 'fork' build parent \
            --cgroup-parent shale-test-parent
    fi
    check "no group stays in it" rmdir "$parent"
done

sed 's/^>/\t/' <<'D' | dockerfile heredoc
FROM base
RUN --mount=type=cache,target=/h <<EOF
echo "plain $((1 + 1))" > /plain
touch /h/x
EOF
RUN <<'EOF' cat > /piped
not $expanded
EOF
RUN <<-EOF
>#!/bin/busybox sh
>echo "script $0" > /script
>EOF
D
check "here-documents" build heredoc
check "run as scripts" equal "$("$SHALE" cat heredoc:/plain)" 'plain 2'
check "are read by shells" equal "$("$SHALE" cat heredoc:/piped)" 'not $expanded'
check "are programs" equal "$("$SHALE" cat heredoc:/script)" 'script /dev/pipes/EOF'
check "show their first line" logged '(echo "plain $((1 + 1))" > /plain...)'

# --- devices --------------------------------------------------------------------------------------
if [ ! -e /var/run/cdi/shale-test.json ]; then
    made_cdi=$([ -d /var/run/cdi ] || echo yes)
    mkdir -p /var/run/cdi
    cat > /var/run/cdi/shale-test.json <<'D'
{"cdiVersion": "0.6.0", "kind": "shale.test/thing",
 "devices": [{"name": "a", "containerEdits": {"env": ["THING=a"],
    "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}]}}]}
D
    on_exit="${on_exit:-true}; rm -f /var/run/cdi/shale-test.json"
    [ -z "$made_cdi" ] || on_exit="$on_exit; rmdir /var/run/cdi"
    dockerfile device <<'D'
# syntax=docker/dockerfile:labs
FROM base
RUN --device=shale.test/thing=a,required \
    [ "$THING" = a ] && [ "$(head -c 3 /dev/thing | wc -c)" = 3 ]
RUN --device=shale.test/nosuch [ -z "$THING" ]
D
    check_fails "a device must be allowed" 1 'shale.test/thing=a is not allowed' build device
    check "and is there then" build device --allow device=shale.test/thing
    bad "a device that is needed and missing" 'required device "x.test/y"' \
        'RUN --device=x.test/y,required true'
fi

# --- what is left of caches -----------------------------------------------------------------------
caches() { "$SHALE" du --filter type=exec.cachemount; }
check "du lists the caches" contains "$(caches)" 'cache mount '
check "prune takes them alone" "$SHALE" prune -f --filter type=exec.cachemount
check "their directories are gone" equal "$(ls "$SHALE_ROOT/cache-mounts")" ''
check "du lists none" equal "$(caches | grep -c 'cache mount ')" 0
check "steps are left" contains "$("$SHALE" du --filter type=regular)" RUN
check_fails "a type that is none" 1 'known types are' "$SHALE" du --filter type=file

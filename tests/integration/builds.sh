#!/usr/bin/env bash
# What a build tells about itself: its history, why steps ran, what a failure left, and two builds
# at one time.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/app
mkdir -p "$ctx/src"
cp "$busybox" "$ctx/busybox"
echo one > "$ctx/src/one.txt"
echo two > "$ctx/src/two.txt"
cat > "$ctx/Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS builder
ARG VERSION=1
COPY src /src
RUN echo building $VERSION && cat /src/* > /out
FROM base
COPY --from=builder /out /out
D
build() {
    local code=0
    "$SHALE" build --progress plain "$@" > "$T/last.log" 2>&1 || code=$?
    cat "$T/last.log"
    return "$code"
}
# A member of the JSON on standard input, as a Python expression of `x`.
json() { python3 -c "import json,sys; x = json.load(sys.stdin); print($1)"; }
why() {
    "$SHALE" why --json "$@" |
        json '[(s["step"], c["kind"], c.get("subject", "")) for s in x for c in s["causes"]]'
}

# --- the history ---------------------------------------------------------------------------------
check "a first build" build -t app "$ctx"
check "a first build has nothing to compare with" contains "$("$SHALE" why)" "no earlier build"
check "it is on record" \
    equal "$("$SHALE" builds --json | json 'len(x), x[0]["status"]')" "1 completed"
check "its name tells what was built" contains "$("$SHALE" builds)" "app/Dockerfile"
check "its steps are shown" \
    contains "$("$SHALE" builds show last)" "[builder 2/2] RUN echo building"
check "so are those of docker's words" contains "$("$SHALE" builds inspect ^0)" "completed"
check "the log of a step is kept" equal \
    "$("$SHALE" builds log last 'RUN echo building')" "building 1"
check_fails "an unknown build is named" 1 "no build 0123456789ab is on record" \
    "$SHALE" builds show 0123456789ab
check_fails "an unknown filter is named" 1 "status=, context=" "$SHALE" builds --filter x=y
check "nothing changed" build -t app "$ctx"
check "then nothing is explained" equal "$("$SHALE" why)" "every step was cached"
check "cached steps are counted" contains "$("$SHALE" builds)" "5/5"

# --- why -----------------------------------------------------------------------------------------
echo three > "$ctx/src/two.txt"
check "a changed file" build --explain -t app "$ctx"
check "is named while building" grep -q "not cached: src/two.txt: content changed" "$T/last.log"
check "and afterwards, with what follows" equal "$(why)" \
    "[(3, 'file', 'src/two.txt'), (4, 'parent', '[builder 1/2] COPY src /src'), (5, 'file', 'out')]"
check "an argument" build --build-arg VERSION=2 -t app "$ctx"
check "is named" contains "$("$SHALE" why 'echo building')" 'argument VERSION changed: "2" was "1"'
check "the step that copies an equal result is cached" equal "$(why)" "[(4, 'argument', 'VERSION')]"
check "another build is chosen by its ID" contains "$("$SHALE" why --build ^1)" "src/two.txt"
sed -i 's/echo building/echo making/' "$ctx/Dockerfile"
check "a changed instruction" build --build-arg VERSION=2 -t app "$ctx"
check "is shown with what it was" contains "$("$SHALE" why 4)" 'was "RUN echo building'
check "--no-cache" build --no-cache --build-arg VERSION=2 -t app "$ctx"
check "is a cause" contains "$(why)" "no-cache"
"$SHALE" builds export last > "$T/export.json"
other=$T/other-store
check "another machine" "$SHALE" --root "$other" build -q --build-arg VERSION=3 "$ctx"
check "is compared with an export" equal \
    "$("$SHALE" --root "$other" why --against "$T/export.json" --json |
        json '[(s["step"], c["subject"]) for s in x for c in s["causes"] if "subject" in c]')" \
    "[(4, 'VERSION')]"
check "a secret argument" build --build-arg VERSION=2 --build-arg API_TOKEN=hunter2 -t app "$ctx"
check "is not in the record" sh -c "! '$SHALE' builds show last --json | grep hunter2"
check "nor in the file" sh -c "! grep -aq hunter2 '$SHALE_ROOT'/builds.db*"

# --- summary, trace, verification ----------------------------------------------------------------
check "the summary comes after the build" \
    grep -q "^shale: [0-9]* of 5 steps cached in" "$T/last.log"
check "--no-summary" build --no-summary -t app "$ctx"
check "leaves only how many were cached" \
    grep -Eq "^shale: [0-9] of 5 steps cached; image" "$T/last.log"
check "a trace" build --trace "$T/trace.json" --no-cache -t app "$ctx"
check "has an event for each step" equal \
    "$(json 'len([e for e in x["traceEvents"] if e.get("cat") == "step"])' < "$T/trace.json")" 5
check "what is deterministic passes the verification" build --verify-cache -t app "$ctx"
check_fails "a number of another kind is refused" 1 "" build --verify-cache=0 -t app "$ctx"
v=$T/verify
mkdir "$v"
cp "$busybox" "$v/busybox"
printf '%s\n' 'FROM scratch' 'COPY busybox /bin/sh' \
    'RUN read a b < /proc/uptime; echo $a > /when' > "$v/Dockerfile"
check "a step that is not" build "$v"
check_fails "is found" 1 "cache verification: of 2 steps 1 came out different" \
    build --verify-cache "$v"
check "its file is named" grep -q "differs from the cache: /when: content" "$T/last.log"

# --- what a failure leaves -----------------------------------------------------------------------
f=$T/fails
mkdir "$f"
cp "$busybox" "$f/busybox"
cat > "$f/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
WORKDIR /work
ENV FLAVOUR=sweet
RUN echo partial > result && echo seen && exit 3
D
check_fails "a step fails" 1 "exit code: 3" build "$f"
check "where to look is told" grep -q 'shale shell --failed' "$T/last.log"
check "the build is on record" equal \
    "$("$SHALE" builds --filter status=failed --filter "context=$f" --json | json 'len(x)')" 1
check "with what the step printed" equal "$("$SHALE" builds log last 4)" seen
check "its files can be read" equal "$("$SHALE" cat build:last/failed:/work/result)" partial
check "a command runs among them, as the step did" equal \
    "$("$SHALE" shell --failed -- sh -c 'cat result; echo $FLAVOUR' 2> "$T/note")" \
    "$(printf 'partial\nsweet')"
printf 'cat result; echo $FLAVOUR-$((40+2)); exit\n' > "$T/typed"
check_fails "--on-error=shell without a terminal only says so" 1 "needs a terminal" \
    build --on-error=shell "$f"
check_fails "on a terminal the build fails after the shell" 1 "" sh -c \
    "script -qec '$SHALE build --on-error=shell $f' /dev/null < '$T/typed' > '$T/screen'"
check "which shows what the step left" grep -q '^partial' "$T/screen"
check "and stands in its environment" grep -q '^sweet-42' "$T/screen"
mkdir "$T/mnt"
check "they can be mounted" "$SHALE" mount build:last/failed "$T/mnt"
check "and looked at" equal "$(cat "$T/mnt/work/result")" partial
check "and unmounted" "$SHALE" umount "$T/mnt"
check "a finished step can be looked at" \
    equal "$("$SHALE" cat build:last/step:2:/bin/busybox | wc -c)" \
    "$(wc -c < "$busybox")"
check "two steps are compared" \
    contains "$("$SHALE" diff build:last/step:2 build:last/step:3 || true)" work
check_fails "a step that did not finish says so" 1 "did not finish" \
    "$SHALE" cat build:last/step:4:/x
check_fails "the failure is not in the cache" 1 "exit code: 3" build "$f"

# --- two at one time -----------------------------------------------------------------------------
s=$T/shared
mkdir "$s"
cp "$busybox" "$s/busybox"
cat > "$s/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN sleep 3; echo made > /made
D
"$SHALE" build --progress plain "$s" > "$T/first.log" 2>&1 &
first=$!
"$SHALE" build --progress plain "$s" > "$T/second.log" 2>&1 &
second=$!
check "the first of two builds of one thing" wait "$first"
check "the second" wait "$second"
# Of the two last builds one ran the slow step, the other found it.
check "the step ran once" equal "$(for at in 0 1; do
    "$SHALE" builds show ^$at --json | json 'x["steps"][2]["status"]'; done | sort | tr '\n' ' ')" \
    "cached done "
sed -i 's/made >/again >/' "$s/Dockerfile"
"$SHALE" build --progress plain "$s" > "$T/first.log" 2>&1 &
first=$!
sleep 1
kill -KILL "$first"
wait "$first" 2> /dev/null
check "its command is gone" wait_for 10 not pgrep -f "echo again > /made"
# A session younger than a minute may be one that is just beginning, and is left alone.
touch -d '2 minutes ago' "$SHALE_ROOT"/tmp/session-* 2> /dev/null
check "a build that was killed blocks nobody" timeout 60 "$SHALE" build -q "$s"

# --- a large context, changed again and again ----------------------------------------------------
# The tree after COPY is a patch on that of the build before, and that one on the first.
big=$T/big
mkdir -p "$big"/d{0..49}
for at in $(seq 0 4999); do echo "$at" > "$big/d$((at % 50))/f$at"; done
for at in 0 1 2; do ln -s f$at "$big/d$at/link"; done
printf 'FROM scratch\nCOPY . /in\n' > "$big/Dockerfile"
export SOURCE_DATE_EPOCH=1
rebuilt() { # builds, and compares what came with the directory and with a build that knows nothing
    rm -rf "$T/other" "$T/out"
    "$SHALE" build -q -t big "$big" > "$T/id" &&
        "$SHALE" build -q --root "$T/other" "$big" | cmp - "$T/id" &&
        "$SHALE" build -q -o "$T/out" "$big" && diff -r "$big" "$T/out/in"
}
check "a context of 5 000 files" rebuilt
ln -sfn f51 "$big/d1/link"
check "another link" rebuilt
echo other > "$big/d7/f7"
check "another file" rebuilt
mkdir "$big/d20/new" && ln -s ../f20 "$big/d20/new/link" && rm -r "$big/d30"
check "a new directory, and one less" rebuilt
ln -sfn f1 "$big/d1/link"
check "the first link again" rebuilt
patches=$(find "$SHALE_ROOT/trees" -type f -size -20k -newer "$big/Dockerfile" | wc -l)
check "the trees after the first are small files" sh -c "[ $patches -ge 4 ]"
unset SOURCE_DATE_EPOCH

# --- what is secret, and stopping an export ------------------------------------------------------
h=$T/hidden
mkdir "$h"
cp "$busybox" "$h/busybox"
cat > "$h/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ARG API_TOKEN
ENV PASSWORD=$API_TOKEN
RUN echo $API_TOKEN > /dev/null; test -n "$PASSWORD"
WORKDIR /$API_TOKEN
D
check "a build with a secret among its arguments" \
    "$SHALE" build -q --build-arg API_TOKEN=tell-nobody-1 "$h"
check "no record shows it" sh -c "! { '$SHALE' builds show --no-trunc last; '$SHALE' builds show \
    --json last; '$SHALE' builds export last; } | grep -q tell-nobody"
check "another" "$SHALE" build -q --build-arg API_TOKEN=tell-nobody-2 "$h"
check "is told apart" contains "$(why)" "'argument', 'API_TOKEN'"
check "and not shown" sh -c "! '$SHALE' why | grep -q tell-nobody"
check_fails "a user that the kernel would take for root" 1 "must be in range 0-2147483647" \
    "$SHALE" build -q -f - "$h" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
USER 4294967295
RUN id
D

head -c 300M /dev/urandom > "$h/large"
printf 'FROM scratch\nCOPY large /\n' > "$h/Dockerfile"
check "a large image" "$SHALE" build -q "$h"
stopped() { # OUTPUT: a build from the cache is interrupted while it writes this
    rm -f "$T/stopped.log"
    "$SHALE" build --progress plain -o "$1" "$h" > "$T/stopped.log" 2>&1 &
    local build=$!
    wait_for 20 grep -q "exporting" "$T/stopped.log"
    kill -TERM "$build"
    wait "$build"
    equal $? 143
}
slowly="compression=gzip,compression-level=9,force-compression=true"
for output in "type=oci,dest=$T/out.tar,$slowly" "type=image,$slowly"; do
    check "stops at once: ${output%%,*}" stopped "$output"
done
check "and leaves no archive" sh -c "! ls '$T' | grep -q out.tar"

# --- instructions that no build came to ----------------------------------------------------------
n=$T/never
mkdir "$n"
cp "$busybox" "$n/busybox"
cat > "$n/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN false
RUN echo four > /four
D
check_fails "a step fails" 1 "exit code: 1" build "$n"
sed -i 's/false/true/' "$n/Dockerfile"
check "and is put right" build --explain "$n"
check "what came behind it was never reached" grep -q "no earlier build came this far" "$T/last.log"

# --- forgetting ----------------------------------------------------------------------------------
count=$("$SHALE" builds --json | json 'len(x)')
check "a build can be forgotten" "$SHALE" builds rm last
check "and is gone" equal "$("$SHALE" builds --json | json 'len(x)')" $((count - 1))
check "prune --all forgets all" "$SHALE" prune --all --force
check "then there is none" equal "$("$SHALE" builds --json)" "[]"
check_fails "and nothing to explain" 1 "no build is on record" "$SHALE" why
finish

#!/usr/bin/env bash
# How many steps execute at one time, with how much memory, and what each may use. Steps meet in a
# shared cache mount and count each other; nothing is told from how long something took.
#
# The base is busybox copied into scratch, so no registry is needed.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/ctx
mkdir "$ctx"
cp "$busybox" "$ctx/busybox"
# meet N: waits until N of us are here, and says so; "alone" if they do not come.
cat > "$ctx/meet" <<'S'
#!/bin/sh
touch "/c/here-$2"
i=0
while [ "$(ls /c | grep -c here-)" -lt "$1" ]; do
    i=$((i + 1))
    [ $i -lt 1200 ] || { echo "alone: $(ls /c)"; exit 1; }
    sleep 0.1
done
touch /done
S
# count: says how many of us run at this moment.
cat > "$ctx/count" <<'S'
#!/bin/sh
touch "/c/now-$1"
sleep 0.2
echo "together: $(ls /c | grep -c now-)"
sleep 0.1
rm "/c/now-$1"
touch /done
S
chmod +x "$ctx/meet" "$ctx/count"

base() {
    cat <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY meet count /bin/
D
}
# stages NAME COUNT COMMAND: so many stages that run the command, and one that needs them all.
stages() {
    {
        base
        for i in $(seq "$2"); do
            # With the name in the command: a step that differs in an id only is in the cache.
            printf 'FROM base AS s%s\nRUN --mount=type=cache,id=%s,target=/c %s %s-%s\n' \
                "$i" "$1" "$3" "$1" "$i"
        done
        echo FROM scratch
        for i in $(seq "$2"); do echo "COPY --from=s$i /done /done-$i"; done
    } > "$T/$1.Dockerfile"
}
# build NAME [FLAG...]: what it printed stays in NAME.log.
build() {
    local name=$1 code=0
    shift
    timeout 400 "$SHALE" build --progress plain -t "$name" -f "$T/$name.Dockerfile" "$@" "$ctx" \
        > "$T/$name.log" 2>&1 || code=$?
    cat "$T/$name.log"
    return "$code"
}
# most NAME: how many steps ran together at most, by their own count.
most() { sed -n 's/.*together: \([0-9]*\)$/\1/p' "$T/$1.log" | sort -n | tail -1; }

# --- jobs -----------------------------------------------------------------------------------------
stages five 5 'meet 5'
check "five stages run at once if they may" build five -j 5
stages nine 9 'meet 9'
check "any number without a limit" build nine --jobs 0
stages two 6 count
check "six stages, two at a time" build two --jobs 2
check "are never more than two, and not always one" equal "$(most two)" 2
stages one 4 count
check "the old name of the flag" build one --parallel 1
check "one at a time" equal "$(most one)" 1
check_fails "a number that is none" 1 "--jobs must not be negative" build never -j -1

# Who waits for a cache mount has no job. `holder` is another build, which has the lock until `free`
# has come to its end; the first step of `waits` asks for a job before the second of `free` does.
{
    base
    cat <<'D'
FROM base AS waits
RUN --mount=type=cache,id=lock,target=/l,sharing=locked touch /done
FROM base AS free
RUN sleep 0.5
RUN --mount=type=cache,id=sign,target=/s touch /s/go && touch /done
FROM scratch
COPY --from=waits /done /a
COPY --from=free /done /b
D
} > "$T/waiter.Dockerfile"
{
    base
    cat <<'D'
RUN --mount=type=cache,id=lock,target=/l,sharing=locked --mount=type=cache,id=sign,target=/s \
    touch /s/holding; i=0; \
    until [ -e /s/go ]; do i=$((i + 1)); [ $i -lt 1200 ] || exit 1; sleep 0.1; done
D
} > "$T/holder.Dockerfile"
build holder > /dev/null 2>&1 &
holder=$!
for _ in $(seq 1200); do
    [ -n "$(find "$SHALE_ROOT/cache-mounts" -name holding 2>/dev/null)" ] && break
    sleep 0.1
done
check "a step that waits for another build's cache mount has no job" build waiter -j 1
check "and it did wait" grep -q 'waiting for cache mount' "$T/waiter.log"
check "nor has the other build failed" wait "$holder"

# --- memory ---------------------------------------------------------------------------------------
# has CONTROLLER: of either kind of control groups.
has() {
    grep -Eq " - cgroup [^ ]+ ([a-z_]+,)*$1(,|\$)" /proc/self/mountinfo ||
        grep -qsw "$1" /sys/fs/cgroup/cgroup.controllers
}
if has memory; then
    stages budget 4 'meet 2'
    check "two that fit run together" build budget -j 8 --memory 64m --memory-budget 128m
    stages tight 4 count
    check "what does not fit waits" build tight -j 8 --step-memory 64m --memory-budget 127m
    check "and is alone" equal "$(most tight)" 1
    stages large 3 count
    check "a step larger than the budget runs" build large -j 8 -m 64m --memory-budget 32m
    check "alone, too" equal "$(most large)" 1
else
    echo "skip memory: no controller"
fi
check_fails "a budget without a limit" 1 'say with --memory' build never --memory-budget 1g

# --- what each step may use -----------------------------------------------------------------------
{
    base
    echo 'RUN i=0; while [ $i -lt 19 ]; do sleep 2 & i=$((i + 1)); done; wait'
} > "$T/many.Dockerfile"
if has pids; then
    check_fails "twenty processes are more than ten" 1 fork build many --pids-limit 10
    check_fails "and more than nineteen" 1 fork build many --pids 19
    check "but not more than twenty" build many --pids-limit 20
    "$SHALE" prune -af > /dev/null
    check "and they may be unlimited" build many --pids-limit -1
else
    check_fails "a limit that cannot be kept is refused" 1 pids build many --pids-limit 10
fi
if has cpu; then
    {
        base
        echo 'RUN --mount=type=cache,id=cpu,target=/c meet 2 step'
    } > "$T/cpu.Dockerfile"
    build cpu --cpus 1.5 --cgroup-parent shale-test-jobs > /dev/null 2>&1 &
    builder=$!
    for _ in $(seq 1200); do
        met=$(find "$SHALE_ROOT/cache-mounts" -name here-step 2>/dev/null)
        [ -n "$met" ] && break
        sleep 0.1
    done
    share=$(cat /sys/fs/cgroup/cpu*/shale-test-jobs/*/cpu.cfs_quota_us \
        /sys/fs/cgroup/shale-test-jobs/*/cpu.max 2>/dev/null | head -1)
    touch "${met%/*}/here-test"
    check "a step with a limit of processors" wait "$builder"
    check "may use one and a half" equal "${share%% *}" 150000
fi
check_fails "no number of processors" 1 '--cpus: "many"' build one --cpus many
check_fails "two ways to say it" 1 '--cpu-quota' build one --cpus 1 --cpu-quota 5000

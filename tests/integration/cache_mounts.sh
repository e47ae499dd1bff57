#!/usr/bin/env bash
# shale cache-mount: what a build left in a cache mount, carried to another store and back; hostile
# and damaged archives; builds that have the cache mount meanwhile.
#
# The base is busybox copied into scratch, so no registry is needed.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/ctx
mkdir "$ctx"
cp "$busybox" "$ctx/busybox"
base() {
    cat <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
D
}
# run COMMAND [FLAG...]: in a RUN with the cache mount, whose output is printed.
run() {
    local command=$1
    shift
    { base; echo "RUN --mount=type=cache,id=things,target=/c $command"; } > "$T/Dockerfile"
    "$SHALE" build --no-cache-filter stage-0 --progress plain -f "$T/Dockerfile" "$@" "$ctx" 2>&1
}
mount() { "$SHALE" cache-mount "$@"; }
# Where the one called things lies, of those without a namespace.
place() {
    local about
    for about in "$SHALE_ROOT"/cache-mounts/*/about.json; do
        grep -q '"things"' "$about" && ! grep -q namespace "$about" && echo "${about%/*}/0"
    done
}
directory() { ls -d "$SHALE_ROOT"/cache-mounts/*/0; }

# --- there and back -------------------------------------------------------------------------------
check "nothing yet" equal "$(mount ls --json)" "[]"
{
    base
    cat <<'D'
RUN --mount=type=cache,id=things,target=/c \
    mkdir -m 2750 /c/d && echo one > /c/d/file && ln /c/d/file /c/link && ln -s d/file /c/soft && \
    chown -R 1000:1001 /c/d && chmod 4755 /c/d/file && mkfifo /c/pipe && : > /c/empty && \
    chmod 1777 /c && touch -d '2020-02-02 02:02:02' /c/empty
RUN --mount=type=cache,target=/other,uid=7,mode=0700 touch /other/mine
D
} > "$T/Dockerfile"
check "a build fills two" "$SHALE" build -q -f "$T/Dockerfile" "$ctx"
ids() { mount ls --json | python3 -c '
import json, sys
print(*sorted(m["id"] for m in json.load(sys.stdin)))'; }
check "which are listed" equal "$(ids)" "/other things"
check "for people, too" contains "$(mount ls)" things
touch -d '2021-03-03 03:03:03.123456789' "$(place)/d"
for file in a.tar.zst a.tar.gz a.tar a.tgz; do
    check "export to $file" mount export things -o "$T/$file"
done
check "as zstd" sh -c "zstd -dc '$T/a.tar.zst' | tar tf - | grep -qx d/file"
check "as gzip" sh -c "gzip -dc '$T/a.tgz' | cmp - '$T/a.tar'"
check "as they are named" sh -c "gzip -dc '$T/a.tar.gz' | cmp - '$T/a.tar'"
check "to standard output" sh -c "'$SHALE' cache-mount export things -o - --compression gzip |
    cmp - '$T/a.tgz'"
check "the one with an owner" mount export /other -o "$T/other.tar.zst"

describe() { (cd "$1" && find . ! -type d -printf '%p %y %m %U:%G %s %n %T@ %l\n' -o \
    -printf '%p %y %m %U:%G %T@\n' | LC_ALL=C sort; cat d/file); }
before=$(describe "$(place)")
export SHALE_ROOT=$T/store2
for file in a.tar.zst a.tgz a.tar; do
    check "import $file" mount import "$T/$file"
    check "which is what was exported" equal "$(describe "$(directory)")" "$before"
    check "rm" mount rm things
    check "then there is none" equal "$(mount ls --json)" "[]"
done
check "import from a pipe" sh -c "cat '$T/a.tar.zst' | '$SHALE' cache-mount import -"
check "the one with an owner" mount import "$T/other.tar.zst"
{
    base
    cat <<'D'
RUN --mount=type=cache,id=things,target=/c grep one /c/d/file && echo two >> /c/d/file
RUN --mount=type=cache,target=/other,uid=7,mode=0700 [ -e /other/mine ]
RUN --mount=type=cache,target=/other [ ! -e /other/mine ]
D
} > "$T/Dockerfile"
check "a build on the other machine has them" "$SHALE" build -q -f "$T/Dockerfile" "$ctx"
check_fails "two by one name" 1 "several cache mounts /other" mount export /other -o "$T/x"
digest=$(mount ls --json | python3 -c '
import json, sys
print(next(m["digest"][:12] for m in json.load(sys.stdin) if m["id"] == "/other"))')
check "are told apart by digests" mount rm "$digest"
check "of which one is left" equal "$(ids)" "/other things"
check "as du says" equal "$("$SHALE" du --filter type=exec.cachemount | grep -c 'cache mount')" 3

# --- names ----------------------------------------------------------------------------------------
check_fails "none of that name" 1 "did you mean things" mount export thing -o "$T/x"
check "and no file is left" absent "$T/x"
check_fails "nor in a namespace" 1 "in namespace n" mount rm --namespace n things
check "an archive of others" tar cf "$T/plain.tar" -C "$ctx" .
check_fails "has no name" 1 "give its name with --id" mount import "$T/plain.tar"
check "under a name and a namespace" mount import --id new --namespace n "$T/plain.tar"
check "it is there" contains "$(mount ls)" "new"
check "and a build finds it" run '[ ! -e /c/busybox ]' --build-arg BUILDKIT_CACHE_MOUNT_NS=n
{ base; echo "RUN --mount=type=cache,id=new,target=/c [ -e /c/busybox ]"; } > "$T/Dockerfile"
check "under that" "$SHALE" build -q --build-arg BUILDKIT_CACHE_MOUNT_NS=n -f "$T/Dockerfile" "$ctx"
check_fails "export without a place" 1 "-o FILE" mount export things
check_fails "flags of others" 1 "--id belongs to import" mount export things --id x -o "$T/x"

# --- whole or not at all --------------------------------------------------------------------------
now=$(describe "$(place)")
unchanged() {
    equal "$(describe "$(place)")" "$now"
}
head -c $(($(stat -c %s "$T/a.tgz") - 20)) "$T/a.tgz" > "$T/short.tgz"
check_fails "an archive that was cut off" 1 "short.tgz" mount import "$T/short.tgz"
check "changes nothing" unchanged
check_fails "one that is not there" 1 "No such file" mount import "$T/nowhere.tar"
check_fails "one that is none" 1 "" mount import --id things "$T/ctx/busybox"
check "change nothing, either" unchanged
outside=$T/outside
mkdir "$outside"
echo safe > "$outside/file"
python3 - "$T" "$outside" <<'P'
import io, json, sys, tarfile
T, outside = sys.argv[1:]
def archive(name, *members):
    with tarfile.open(f"{T}/{name}.tar", "w") as out:
        for path, kind, value in members:
            member = tarfile.TarInfo(path)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(value)
                out.addfile(member, io.BytesIO(value.encode()))
            else:
                member.linkname = value
                out.addfile(member)
R, S, L = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
up = "../" * 12
name = ".shale-cache-mount.json"
archive("dots", (up + outside + "/file", R, "owned"))
archive("absolute", (outside + "/file", R, "owned"))
archive("through", ("way", S, outside), ("way/file", R, "owned"))
archive("hard", ("file", L, up + outside + "/file"))
archive("link-name", (name, S, outside + "/file"))
archive("no-json", (name, R, "{"))
archive("no-id", (name, R, json.dumps({"id": "", "namespace": "", "seed": ""})))
archive("id-up", (name, R, json.dumps({"id": up + outside, "namespace": "../..", "seed": "/"})),
        ("inside", R, "x"))
P
for hostile in dots absolute through hard; do
    mount import --id hostile "$T/$hostile.tar" > "$T/last.log" 2>&1
    check "$hostile: nothing outside is touched" equal "$(cat "$outside/file"; ls "$outside")" \
        "$(printf 'safe\nfile')"
    check "$hostile: nothing outside is in it" sh -c \
        "! grep -rqs safe '$SHALE_ROOT'/cache-mounts/*/0/file"
done
for broken in link-name no-json no-id; do
    check_fails "$broken" 1 "does not say which cache mount it is" mount import "$T/$broken.tar"
done
check "a name is only a name" mount import "$T/id-up.tar"
check "wherever it points" equal "$(find "$SHALE_ROOT"/cache-mounts/*/0 -name inside | wc -l)" 1
check "things are as they were" unchanged

# --- builds that have it --------------------------------------------------------------------------
{
    base
    cat <<'D'
RUN --mount=type=cache,id=things,target=/c --mount=type=cache,id=sign,target=/s \
    touch /s/holding; i=0; \
    until [ -e /s/go ]; do i=$((i + 1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done; \
    [ -e /c/d/file ]
D
} > "$T/Dockerfile"
"$SHALE" build -q -f "$T/Dockerfile" "$ctx" > "$T/holder.log" 2>&1 &
holder=$!
for _ in $(seq 300); do
    holding=$(find "$SHALE_ROOT/cache-mounts" -name holding 2>/dev/null)
    [ -n "$holding" ] && break
    sleep 0.1
done
check "a build has it" contains "$(mount ls)" "in use"
for action in "export things -o $T/busy.tar" "import $T/a.tar" "rm things"; do
    # shellcheck disable=SC2086
    check_fails "${action%% *} without waiting" 1 "is in use by a build" \
        "$SHALE" cache-mount $action --no-wait
done
check "changed nothing" unchanged
check "nor made a file" absent "$T/busy.tar"
mount import "$T/a.tar" > "$T/import.log" 2>&1 &
importer=$!
check "import waits" wait_for 30 grep -q 'waiting for cache mount things' "$T/import.log"
check "and leaves the build what it has" unchanged
touch "${holding%/*}/go"
check "the build ends well" wait "$holder"
check "then the import goes on" wait "$importer"
check "and the cache is the other" equal \
    "$(describe "$(place)")" \
    "$before"

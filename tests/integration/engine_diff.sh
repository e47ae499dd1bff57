#!/usr/bin/env bash
# The engine by itself, as people use it: what shale diff prints and accepts, and what makes the
# second snapshot of a directory cheap: the stat cache and the watcher.
. "$(dirname "$0")/../support/harness.sh"
export XDG_CACHE_HOME=$T/cache
command -v python3 > /dev/null || skip "needs python3"

a=$T/a b=$T/b
mkdir -p "$a/etc" "$a/old" "$a/bin"
printf 'one\ntwo\nthree\n' > "$a/etc/config"
printf 'x' > "$a/old/file"
printf '#!/bin/sh\n' > "$a/bin/run"
printf '\0binary' > "$a/data"
cp -a "$a" "$b"
printf 'one\n2\nthree\n' > "$b/etc/config"
chmod 755 "$b/bin/run"
printf '\0BINARY' > "$b/data"
rm -r "$b/old"
mkdir -p "$b/new/deep"
printf 'hello\n' > "$b/new/deep/file"
touch -d '2020-01-01' "$a" "$b" "$a"/* "$b"/* "$a"/*/* "$b"/*/*

"$SHALE" diff "$a" "$b" > "$T/tree"
check "the tree names sizes and reasons" contains "$(cat "$T/tree")" "mode 0644 -> 0755"
check "a content change is told with sizes" grep -Eq '^M +config +14 B -> 12 B +content' "$T/tree"
check "an added directory is one line" grep -Eq '^A new/ +1 file, 6 B$' "$T/tree"
check "a removed directory is one line" grep -Eq '^D old/ +1 file, 1 B$' "$T/tree"
check "the totals come last" grep -q '1 removed' "$T/tree"
check_fails "--lines is for scripts" 1 "A new/deep/file" "$SHALE" diff --lines "$a" "$b"
check_fails "--all unfolds" 1 "deep/" "$SHALE" diff --all "$a" "$b"
check "--only looks at one path" equal "$("$SHALE" diff --lines --only /bin/ "$a" "$b")" "M bin/run"
check "--ignore mode" "$SHALE" diff --only bin --ignore mode "$a" "$b"
check_fails "--only that nothing has" 2 "no/such" "$SHALE" diff --only no/such "$a" "$b"
check_fails "an unknown thing to ignore" 2 "" "$SHALE" diff --ignore colour "$a" "$b"
check "--json names the reasons" sh -c "'$SHALE' diff --json '$a' '$b' | python3 -c '
import json, sys
by_path = {change[\"path\"]: change for change in json.load(sys.stdin)}
assert by_path[\"bin/run\"][\"reasons\"] == [\"mode\"], by_path[\"bin/run\"]
assert by_path[\"etc/config\"][\"reasons\"] == [\"content\"]'"

"$SHALE" diff --content "$a" "$b" > "$T/patch"
check "--content is a diff" contains "$(cat "$T/patch")" "$(printf -- '-two\n+2\n three')"
check "--content names binaries" contains "$(cat "$T/patch")" "Binary files a/data and b/data"
cp -a "$a" "$T/patched"
grep -v '^Binary' "$T/patch" | (cd "$T/patched" && patch -s -p1 2> /dev/null || true)
command -v patch > /dev/null &&
    check "patch(1) takes it" cmp "$T/patched/etc/config" "$b/etc/config"
"$SHALE" snapshot "$a" -o "$T/a.snap" > /dev/null
check_fails "--content of a snapshot says why not" 2 "a snapshot holds none" \
    "$SHALE" diff --content "$T/a.snap" "$b"

# --- tar files ----------------------------------------------------------------------------------
for compression in "" --gzip --zstd --xz; do
    tar -C "$b" --format=posix $compression -cf "$T/b.tar" .
    check "a tar file $compression is the directory" "$SHALE" diff "$T/b.tar" "$b"
    check "the tree of a tar file $compression is as readable" \
        sh -c "'$SHALE' diff --content '$a' '$T/b.tar' | cmp - '$T/patch'"
done
"$SHALE" layer "$a" "$b" -o "$T/layer.tar.gz" --compression gzip > /dev/null
check_fails "a layer is a tar file, too" 1 "new/deep/file" \
    "$SHALE" diff --lines scratch "$T/layer.tar.gz"
tar -C "$b" -cf - . | head -c 1300 > "$T/cut.tar"
check_fails "a damaged tar file is named" 2 "cut.tar" "$SHALE" diff "$a" "$T/cut.tar"
echo "no tree at all" > "$T/text"
check_fails "any other file is refused" 2 "not a readable snapshot, and no tar file" \
    "$SHALE" diff "$a" "$T/text"

mkdir "$T/links"
head -c 1000000 /dev/zero > "$T/links/one"
for at in 2 3 4; do ln "$T/links/one" "$T/links/name$at"; done
check "totals count a file once, whatever its names" contains \
    "$("$SHALE" diff --stat --json scratch "$T/links" | tr -d ' ')" '"bytesAfter":1000000'
check "on the other side, too" contains \
    "$("$SHALE" diff --stat --json "$T/links" scratch | tr -d ' ')" '"bytesBefore":1000000'

# --- the second snapshot ------------------------------------------------------------------------
field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
snapshot() { "$SHALE" snapshot --json "$b" -o "$T/b.snap"; }
sleep 0.1  # younger files are not remembered: see docs/formats/stat-cache.md
snapshot > /dev/null
if [ "$(snapshot | field filesFromCache)" -gt 0 ]; then
    check "an unchanged tree is not opened again" equal "$(snapshot | field filesHashed)" 0
    printf '4' >> "$b/etc/config"
    check "a changed file is" equal "$(snapshot | field filesHashed)" 1
fi
check "--no-cache reads all" equal "$("$SHALE" snapshot --no-cache --json "$b" -o "$T/b.snap" |
    field filesFromCache)" 0

if pid=$("$SHALE" watch --background "$b" 2> "$T/watch.log"); then
    on_exit="kill $pid 2> /dev/null"
    check "the first snapshot of a watched directory walks" \
        equal "$(snapshot | field incremental)" False
    printf '5' >> "$b/etc/config"
    check "the next one looks at what changed" equal "$(snapshot | field incremental)" True
    check "and is right" "$SHALE" diff "$T/b.snap" "$b"
    printf 'FROM scratch\nCOPY . /\n' > "$T/Dockerfile"
    printf 'left-out\n' > "$T/Dockerfile.dockerignore"
    printf 'not copied' > "$b/left-out"
    build() {
        "$SHALE" build --progress plain -t seen -f "$T/Dockerfile" "$b" > "$T/build.log" 2>&1
    }
    says_watched() { grep -q 'watched: [0-9]* paths looked at' "$T/build.log"; }
    check "a build of a watched context" build
    check_fails "the first one walks" 1 "" says_watched
    printf 'copied' > "$b/etc/new"
    printf 'not copied either' > "$b/left-out"
    check "the next one" build
    check "looks at what changed" says_watched
    check "and sees it" equal "$("$SHALE" cat seen:/etc/new)" copied
    check_fails "with the same files left out" 1 "left-out" "$SHALE" cat seen:/left-out
    rm "$b/left-out"
    check_fails "two watchers of one directory" 1 "being watched already" "$SHALE" watch "$b"
    # Others' watchers on this machine are none of our business: no --all.
    listed() {
        "$SHALE" watch --list --json | python3 -c '
import json, sys
print([w["pid"] for w in json.load(sys.stdin) if w["directory"] == sys.argv[1]])' \
            "$(realpath "$b")"
    }
    check "it is listed" equal "$(listed)" "[$pid]"
    check "for people, too" contains "$("$SHALE" watch --list)" "$(realpath "$b")"
    check_fails "what nobody watches" 1 "nobody watches $T" "$SHALE" watch --stop "$T"
    check "stop it" "$SHALE" watch --stop "$b"
    runs() {  # no zombie, which here nobody may reap
        [ -e "/proc/$1" ] && grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status"
    }
    check "its process is gone" wait_for 5 not runs "$pid"
    check "nor is it listed" equal "$(listed)" "[]"
    check_fails "twice" 1 "nobody watches" "$SHALE" watch --stop "$b"
    check_fails "flags that contradict" 1 "exclude each other" "$SHALE" watch --list --stop
    # A workspace that is removed and made again.
    mkdir "$T/work"
    old=$("$SHALE" watch --background "$T/work" 2> /dev/null)
    rm -r "$T/work"
    mkdir "$T/work"
    check "another directory at the same place" sh -c '"$1" watch --background "$2" > "$3"' - \
        "$SHALE" "$T/work" "$T/new"
    check "has another watcher" test "$(cat "$T/new")" != "$old"
    check "the old one is gone" wait_for 5 not runs "$old"
    rm -r "$T/work"
    check "what is not there any more can be named" "$SHALE" watch --stop "$T/work"
    check "and is watched no longer" wait_for 5 not runs "$(cat "$T/new")"
    mkdir "$T/work"
    old=$("$SHALE" watch --background "$T/work" 2> /dev/null)
    mv "$T/work" "$T/moved"
    check "nor is what was moved" wait_for 15 not runs "$old"
    pid=$("$SHALE" watch --background "$b" 2> "$T/watch.log")
    kill -9 "$pid"
    while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done
    check "one that was killed is not listed" equal "$(listed)" "[]"
    printf '6' >> "$b/etc/config"
    while "$SHALE" snapshot --json "$b" -o "$T/b.snap" | field incremental | grep -q True; do
        sleep 0.1
    done
    check "after the watcher's death all is walked" equal "$(snapshot | field incremental)" False
    check "and nothing was missed" "$SHALE" diff "$T/b.snap" "$b"
else
    echo "note: no watcher here: $(cat "$T/watch.log")"
fi

# Layers know whole seconds only.
printf 'x' > "$b/etc/timed"
touch -d '2021-03-04 05:06:07.25' "$b/etc/timed"
printf 'FROM scratch\nCOPY . /\n' > "$T/Dockerfile"
check "an image of the directory" "$SHALE" build -q -t same -f "$T/Dockerfile" "$b"
check "is equal to it" "$SHALE" diff --only etc same "$b"
touch -d '2021-03-04 05:06:08.25' "$b/etc/timed"
check_fails "until a second has passed" 1 "M etc/timed" "$SHALE" diff --lines --only etc same "$b"

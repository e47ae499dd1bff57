#!/usr/bin/env bash
# RUN after RUN. In one build each stands on what the one before left in its overlay. A stage that
# is built alone, after the one below it, stands on the files that an earlier build left, or, where
# they are gone, on a mount of the tree that the store has. All must come to the same.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/ctx
mkdir -p "$ctx/more/deep"
cp "$busybox" "$ctx/busybox"
echo copied > "$ctx/x"
echo deep > "$ctx/more/deep/file"
# Applets by link, as images of busybox have them.
cat > "$ctx/Dockerfile" <<'D'
FROM scratch AS s0
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
SHELL ["/bin/sh", "-euc"]

FROM s0 AS s1
RUN mkdir -p /d/a /d/b /keep && echo 1 > /d/a/f && echo 2 > /d/b/g && echo k > /keep/k
RUN ln /d/a/f /d/b/link && ln -s a /d/l && mkfifo /d/p && chmod 4755 /d/b/g

FROM s1 AS s2
RUN rm -r /d/b && mkdir /d/b && echo new > /d/b/h

FROM s2 AS s3
RUN mv /d/a /d/moved && chown 7:8 /d/moved/f && chmod 700 /keep

FROM s3 AS s4
COPY x /d/x
COPY more /keep/more
WORKDIR /w/o/r/k
RUN test "$(cat /d/moved/f)" = 1 && test "$(cat /keep/more/deep/file)" = deep && echo >> /d/x

FROM s4 AS s5
RUN rm /d/l && mkdir /d/l && echo in > /d/l/file && rm -r /keep && echo file > /keep
RUN test ! -e /keep/k && test -f /keep && test "$(stat -c %h /d/moved/f)" = 1

FROM s5 AS s6
COPY --from=s1 /d /from-s1
RUN mv /d/moved /d/again && cat /d/again/f /from-s1/b/link && rm -r /d/x /from-s1/a
RUN touch /d/empty && : > /d/again/f && chown -R 3:4 /d

FROM s6 AS s7
RUN stat -c %y /d/b/h /d/empty /d/again | cut -d. -f2 | cut -c1-9 > /fractions

# How many names an inode has, when one goes, and when they are copied up one by one.
FROM s7 AS s8
RUN mkdir /h && echo h > /h/1 && ln /h/1 /h/2 && ln /h/1 /h/3
FROM s8 AS s9
RUN rm /h/3
FROM s9 AS s10
RUN test "$(stat -c %h /h/1)" = 2
RUN chown -R 0:0 /h
FROM s10 AS s11
RUN cp -a /h /copy-of-h

# Where a mount point has to be made in a directory that the RUN before made.
FROM s11 AS s12
RUN mkdir /app && echo x > /app/x && rm -r /d/l
FROM s12 AS s13
RUN stat -c %Y /app /d > /before
RUN --mount=type=cache,target=/app/cache --mount=type=tmpfs,target=/d/l/x sleep 1.1; ls /app > /ls
FROM s13 AS s14
RUN stat -c %Y /app /d | cmp - /before && rm /before
D

all() { "$SHALE" --root "$T/$1" build --progress plain --network none "${@:2}" "$ctx"; }

check "all in one build" all one --target s14 -o "type=oci,tar=false,dest=$T/one.oci"
for stage in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
    check "stage $stage in a build of its own" \
        all each --target "s$stage" -o "type=oci,tar=false,dest=$T/each$stage.oci"
    "$SHALE" --root "$T/apart" prune --filter type=exec.unpacked -f > "$T/pruned" 2>&1
    check "stage $stage without what the others left" \
        all apart --target "s$stage" -o "type=oci,tar=false,dest=$T/apart$stage.oci"
done
for how in each14 apart14; do
    check "both are the same, times aside ($how)" equal \
        "$("$SHALE" diff --ignore mtime "oci:$T/one.oci" "oci:$T/$how.oci" 2>&1)" ""
done
for how in one each14 apart14; do
    check "no command saw a fraction of a second ($how)" \
        equal "$("$SHALE" cat "oci:$T/$how.oci:/fractions" | sort -u)" 000000000
done

# What is left for later: the directories that others stood on, and no other.
unpacked() { "$SHALE" --root "$T/$1" du --json |
    jq -r '.records[] | select(.type == "exec.unpacked") | .description'; }
check "a RUN on which another stood is left as files" contains "$(unpacked one)" 'RUN mkdir /h'
check "not the last one" not contains "$(unpacked one)" 'cmp - /before'
check "they are nobody else's" equal "$(stat -c %a "$T/one/unpacked")" 700

mkdir "$T/edit"
cp "$busybox" "$T/edit/busybox"
cat > "$T/edit/Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /lib/a && echo 1 > /lib/a/1 && chmod 1777 /lib/a && touch -d @7 /lib/a /lib
COPY source /source
RUN cat /source > /result && find /lib /source | sort >> /result
RUN stat -c '%n %a %Y' /lib/a >> /result
D
edit() {
    echo "$1" > "$T/edit/source"
    "$SHALE" --root "$T/later" build --progress plain --network none \
        -o "type=local,dest=$T/edit-out" "$T/edit" > "$T/log" 2>&1
}
used() { find "$T/later/unpacked" -name '*.lock' -newermt @100 | wc -l; }
expected() { printf '%s\n/lib\n/lib/a\n/lib/a/1\n/source\n/lib/a 1777 7' "$1"; }
check "a build" edit first
check "whose RUN is right" equal "$(cat "$T/edit-out/result")" "$(expected first)"
find "$T/later/unpacked" -name '*.lock' -exec touch -d @50 {} +
check "an edit of the source" edit second
check "stands on the files of the first build" test "$(used)" -ge 1
check "and is right" equal "$(cat "$T/edit-out/result")" "$(expected second)"
find "$T/later/unpacked" -name '*.lock' -exec touch -d @50 {} +
sed -i 's/ > .result &&/ > \/result;/' "$T/edit/Dockerfile"
check "an edit of the command" edit second
check "where the copy comes from the cache" contains "$(cat "$T/log")" CACHED
check "stands on them, too" test "$(used)" -ge 1
check "and is right" equal "$(cat "$T/edit-out/result")" "$(expected second)"
check "they go when they are told to" \
    "$SHALE" --root "$T/later" prune --filter type=exec.unpacked -f
check "and nothing of them is there" equal "$(ls "$T/later/unpacked")" ""
check "after which all is as before" edit third
check "and right" equal "$(cat "$T/edit-out/result")" "$(expected third)"

# A tree that two steps give, of which the one stands on what the other's layers do not have.
cat > "$T/edit/Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS src
COPY source /home/app/source
COPY Dockerfile /home/app/tests/data
FROM src AS clean
RUN rm -r /home/app/tests
FROM clean AS check
RUN ls /home/app
FROM base AS final0
COPY --from=clean /home/app /home/app
FROM final0 AS final
ARG X
RUN echo $X > /x
FROM src AS test
ARG X
RUN --mount=from=final,target=/final cat /home/app/tests/data > /sum && cat /final/x >> /sum
FROM scratch
COPY --from=check /bin/busybox /busybox
COPY --from=test /sum /sum
D
twice() { "$SHALE" --root "$T/later" build --progress plain --network none --build-arg "X=$1" \
    -o "type=local,dest=$T/edit-out" "${@:2}" "$T/edit"; }
check "a tree with layers of its own" twice 0 --target final -o type=image,name=final:1
for x in 1 2 3; do
    check "made in two ways ($x)" twice $x
    check "is read whole" equal "$(cat "$T/edit-out/sum")" "$(cat "$T/edit/Dockerfile"; echo $x)"
done

# A step, and a copy that takes it back.
printf '%s\n' 'FROM scratch' 'COPY busybox /bin/busybox' \
    'RUN ["/bin/busybox", "--install", "-s", "/bin"]' 'COPY source /d/f' \
    'RUN echo 2 > /d/f' 'RUN cat /d/f' 'COPY source /d/f' 'ARG X' 'RUN echo $X; cat /d/f > /sum' \
    > "$T/edit/Dockerfile"
for x in 1 2 3; do
    check "a copy that takes a step back ($x)" twice $x
    check "is what was copied" equal "$(cat "$T/edit-out/sum")" "$(cat "$T/edit/source")"
done

check "nothing is left in the store's scratch space" equal "$(ls "$T/one/tmp")" ""
check "nothing stays mounted" not grep -qF "$T" /proc/mounts

#!/usr/bin/env bash
# RUN after RUN. In one build each stands on what the one before left in its overlay; a stage that
# is built alone, after the one below it, stands on a mount of the tree that the store has. Both
# must come to the same.
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
done
check "both are the same, times aside" equal \
    "$("$SHALE" diff --ignore mtime "oci:$T/one.oci" "oci:$T/each14.oci" 2>&1)" ""
for how in one each14; do
    check "no command saw a fraction of a second ($how)" \
        equal "$("$SHALE" cat "oci:$T/$how.oci:/fractions" | sort -u)" 000000000
done
check "nothing is left in the store's scratch space" equal "$(ls "$T/one/tmp")" ""
check "nothing stays mounted" not grep -qF "$T" /proc/mounts

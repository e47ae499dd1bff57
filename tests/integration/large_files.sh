#!/usr/bin/env bash
# Large files that RUNs read: kept as plain files when a build is over, and shown from there by the
# next. Whatever a command does to such a file must come to the same as without.
. "$(dirname "$0")/../support/harness.sh"
needs_containers

ctx=$T/ctx
mkdir -p "$ctx"
cp "$busybox" "$ctx/busybox"
# A program of 8 MB, and one that is not read.
cp "$busybox" "$ctx/program"
head -c 8000000 /dev/urandom >> "$ctx/program"
head -c 8000000 /dev/urandom > "$ctx/unread"
cat > "$ctx/Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY --chmod=4751 --chown=3:4 program /usr/lib/deep/busybox
COPY unread /unread
RUN mkdir /usr/lib/plain && chmod 1777 /usr/lib && chmod 700 /usr/lib/deep

FROM base AS read
ARG ROUND
RUN md5sum /usr/lib/deep/busybox | cut -c1-32 > /sum && /usr/lib/deep/busybox true

FROM base AS seen
ARG ROUND
RUN stat -c '%n %a %u:%g %Y %F' /usr /usr/lib /usr/lib/deep > /stat && \
    stat -c '%n %a %u:%g %s %Y %h %F' /usr/lib/deep/busybox /unread >> /stat

FROM base AS shown
ARG ROUND
RUN grep -q ' / / .*datadir' /proc/self/mountinfo && echo yes > /shown || echo no > /shown

# A file of that name in the image is another file.
FROM base AS named
ARG ROUND HEX
COPY busybox /$HEX
RUN md5sum /usr/lib/deep/busybox /$HEX | cut -c1-32 > /sums

FROM base AS changed
ARG ROUND
RUN chown 9:9 /usr/lib/deep/busybox && chmod 755 /usr/lib/deep/busybox
RUN md5sum /usr/lib/deep/busybox | cut -c1-32 > /sum1 && echo more >> /usr/lib/deep/busybox
RUN mv /usr/lib/deep /usr/lib/moved && md5sum /usr/lib/moved/busybox | cut -c1-32 > /sum2
RUN rm /usr/lib/moved/busybox && ls -A /usr/lib/moved > /left && rm -r /usr/lib/moved

FROM base AS linked
ARG ROUND
RUN ln /usr/lib/deep/busybox /usr/lib/plain/other && stat -c %h /usr/lib/deep/busybox > /names
RUN cmp /usr/lib/deep/busybox /usr/lib/plain/other && cp -p /usr/lib/deep/busybox /copy

FROM base AS truncated
ARG ROUND
RUN head -c 100 /usr/lib/deep/busybox > /head && : > /usr/lib/deep/busybox
RUN test ! -s /usr/lib/deep/busybox
D

# into STORE TARGET ROUND: builds it there, as TARGET:STORE. What earlier RUNs left as files would
# be read instead.
into() {
    rm -rf "$T/$1/unpacked"
    "$SHALE" --root "$T/$1" build --target "$2" --build-arg "ROUND=$3" -t "$2:1" \
        --build-arg "HEX=$sum" \
        -o "type=oci,tar=false,dest=$T/$2.$1" "$ctx"
}
targets="read changed linked truncated named"
sum=$(sha256sum < "$ctx/program" | cut -c1-64)

# Each in a store of its own, whose mounts are the first.
for target in $targets shown; do
    check "$target, through a mount" into "plain-$target" "$target" 0
done
check "there, no root has plain files" equal "$("$SHALE" cat "oci:$T/shown.plain-shown:/shown")" no
check "what nobody read is not kept" [ ! -e "$T/plain-shown/contents" ]

check "a large file is read" into kept read 0
contents=$T/kept/contents
check "then it is kept, and no other" equal "$(ls "$contents")" "$sum"
check "as it is" cmp "$contents/$sum" "$ctx/program"
check "the next build has it" into kept shown 1
check "in its root" equal "$("$SHALE" cat "oci:$T/shown.kept:/shown")" yes
for target in $targets; do
    check "$target, from the file" into kept "$target" 1
    check "$target: comes to the same" equal "$("$SHALE" diff --ignore mtime \
        "oci:$T/$target.plain-$target" "oci:$T/$target.kept" 2>&1)" ""
done
check "the file is what it was" cmp "$contents/$sum" "$ctx/program"
check "with rounds of its own" equal "$("$SHALE" cat "oci:$T/read.kept:/sum")" \
    "$(md5sum < "$ctx/program" | cut -c1-32)"

check "names are looked at" into kept seen 1
"$SHALE" cat "oci:$T/seen.kept:/stat" > "$T/from-file"
rm -r "$contents"
check "and again, in the same tree without it" into kept seen 2
check "they look the same, times included" equal \
    "$("$SHALE" cat "oci:$T/seen.kept:/stat")" "$(cat "$T/from-file")"
check "five of them" equal "$(wc -l < "$T/from-file")" 5
check "it is kept again" into kept read 4

truncate -s 100 "$contents/$sum"
check "one that is cut short is not used" into kept read 2
check "and replaced" cmp "$contents/$sum" "$ctx/program"
check "a collection takes it" "$SHALE" --root "$T/kept" prune --force
check "whole" equal "$(ls "$contents")" ""
check "and a build goes on" into kept read 3
check "nothing is left in scratch space" equal "$(find "$T"/*/tmp -mindepth 1)" ""
check "nothing stays mounted" not grep -qF "$T" /proc/mounts

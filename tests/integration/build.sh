#!/usr/bin/env bash
# Builds for real, from nothing: the base is busybox copied into scratch, so no registry is needed.
# Judges of the result are other programs where they are installed: skopeo, umoci, buildah, docker.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/dockerd.sh"
needs_containers

ctx=$T/ctx
mkdir -p "$ctx/src/sub" "$ctx/.git"
cp "$busybox" "$ctx/busybox"
printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' > "$ctx/passwd"
printf 'root:x:0:\nappgroup:x:1001:\nextra:x:2002:app\n' > "$ctx/group"
echo 'one' > "$ctx/src/one.txt"
echo 'two' > "$ctx/src/sub/two.txt"
echo 'secret' > "$ctx/.git/config"
ln -s one.txt "$ctx/src/link"
printf '.git\n*.log\n' > "$ctx/.dockerignore"
echo noise > "$ctx/noise.log"
(cd "$ctx/src" && tar cf "$ctx/archive.tar" one.txt sub && gzip -k "$ctx/archive.tar")

cat > "$ctx/Dockerfile" <<'D'
ARG GREETING=hello
FROM scratch AS base
COPY busybox /bin/busybox
COPY passwd group /etc/
RUN ["/bin/busybox", "--install", "-s", "/bin"]

FROM base AS builder
ARG GREETING
WORKDIR /work
COPY src ./src
RUN echo "$GREETING from $(id -u)" > out.txt && cat src/one.txt src/sub/two.txt >> out.txt \
    && mkdir -p /cache && head -c 300000 /dev/zero > /cache/zeros && rm -r /work/src/sub

FROM base AS other
RUN echo other > /other.txt

FROM base
LABEL org.example.name="the app" stage=final
ENV PATH_COPY=$PATH A=1 B="two words"
WORKDIR /app
COPY --from=builder --chown=app:appgroup --chmod=640 /work/out.txt .
COPY --from=1 /cache /cache
COPY --from=other /other.txt /
ADD archive.tar /unpacked
ADD archive.tar.gz /unpacked-gz/
USER app
EXPOSE 8080 53/udp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=30s CMD true
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat /app/out.txt"]
D

# What build printed stays in last.log until the next build.
build() {
    local code=0
    "$SHALE" build --progress plain "$@" > "$T/last.log" 2>&1 || code=$?
    cat "$T/last.log"
    return "$code"
}
quiet() { "$SHALE" build -q "$@"; }
# The outcome of the step whose title matches $1 in the log of the last check.
outcome() {
    local n
    n=$(sed -n "s/^#\([0-9]*\) \[.*$1.*/\1/p" "$T/last.log" | head -1)
    sed -n "s/^#$n \(CACHED\|DONE\|ERROR\|CANCELED\).*/\1/p" "$T/last.log"
}

# --- the main path ------------------------------------------------------------------------------
check "a multi-stage build succeeds" build -t app:prod --iidfile "$T/iid1" "$ctx"
check "a second build succeeds" build -t app:prod --iidfile "$T/iid2" "$ctx"
cp "$T/last.log" "$T/second.log"
check "every step of it is cached" equal \
    "$(awk '/^#[0-9]+ \[.*[0-9]+\/[0-9]+\] /{n++} END{print n+0}' "$T/second.log")" \
    "$(grep -c ' CACHED$' "$T/second.log")"
# Mapping what libcurl and libarchive bring along takes longer than all the rest of such a build.
loaded() { LD_DEBUG=libs "$SHALE" "$@" 2>&1 | grep -o 'calling init: .*' | sed 's|.*/||'; }
check "and loads no library for what it does not do" sh -c "! grep -qE 'curl|archive' <<E
$(loaded build -q -t app:prod "$ctx")
E"
check "the others are loaded" grep -q libzstd <<< "$(loaded build -q -t app:prod "$ctx")"
check "both builds have one image ID" equal "$(cat "$T/iid1")" "$(cat "$T/iid2")"
check "a target comes from cache" build --target builder -t app:builder "$ctx"
check "the builder stage is found in any case" quiet --target BUILDER "$ctx"

cold=$T/cold-store
check "a cold build in another store works" \
    "$SHALE" --root "$cold" build -q -t app:prod --iidfile "$T/iid3" "$ctx"

m=$T/mnt
mkdir "$m"
check "the image can be mounted" "$SHALE" mount app:prod "$m"
check "COPY --from brought the builder's file" equal "$(head -1 "$m/app/out.txt")" "hello from 0"
check "--chown resolves names in the image" equal "$(stat -c %u:%g "$m/app/out.txt")" "1000:1001"
check "--chmod sets the mode" equal "$(stat -c %a "$m/app/out.txt")" 640
check "COPY --from by index" equal "$(stat -c %s "$m/cache/zeros")" 300000
check "zeros read as zeros" cmp -n 300000 "$m/cache/zeros" /dev/zero
check "a parallel stage contributed" equal "$(cat "$m/other.txt")" other
check "ADD unpacks a tar" equal "$(cat "$m/unpacked/sub/two.txt")" two
check "ADD unpacks a tar.gz" equal "$(cat "$m/unpacked-gz/one.txt")" one
check "WORKDIR was made" test -d "$m/app"
check "no mount point of the runtime leaked" absent "$m/proc"
check "no resolv.conf leaked" absent "$m/etc/resolv.conf"
check "the mount can be removed" "$SHALE" umount "$m"

inspect=$("$SHALE" inspect app:prod)
check "config: user" contains "$inspect" '"app"'
check "config: ports" contains "$inspect" '8080/tcp'
check "config: labels" contains "$inspect" 'the app'

check "a changed file misses" sh -c "echo three > '$ctx/src/one.txt'"
check "rebuild after a change" build -t app:prod "$ctx"
builder=$(outcome 'builder .*RUN') other=$(outcome 'other .*RUN')
check "its RUN ran again" equal "$builder" DONE
check "the other stage stayed cached" equal "$other" CACHED
echo unrelated > "$ctx/.git/HEAD"
check "an ignored file changes nothing" build --target builder -t app:builder "$ctx"
check "all its steps are cached" sh -c "! grep -q '^#[0-9]* [0-9.]* ' '$T/last.log'"

# --- early cutoff -------------------------------------------------------------------------------
e=$T/cutoff
mkdir "$e"
cp "$busybox" "$e/busybox"
cat > "$e/Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /bin/sh
FROM base AS generator
ARG NOISE
RUN echo same > /same.txt
FROM base
COPY --from=generator /same.txt /
RUN echo expensive > /expensive.txt
D
check "build before the cutoff" build --build-arg NOISE=1 -t cut:1 "$e"
check "build with another argument" build --build-arg NOISE=2 -t cut:2 "$e"
generator=$(outcome 'RUN echo same') expensive=$(outcome 'RUN echo expensive')
check "the generator ran again" equal "$generator" DONE
check "what copies its equal result is cached" equal "$expensive" CACHED

# --- judges --------------------------------------------------------------------------------
check "type=oci writes an archive" quiet --output "type=oci,dest=$T/app.oci.tar" -t app:prod "$ctx"
check "type=docker writes an archive" \
    quiet --output "type=docker,dest=$T/app.docker.tar" -t app:prod --iidfile "$T/iid4" "$ctx"
check "type=local writes a tree" quiet --output "type=local,dest=$T/local" "$ctx"
check "local output holds the file" test -s "$T/local/app/out.txt"
check "type=tar writes a tar" quiet --output "type=tar,dest=$T/tree.tar" "$ctx"
check "tar lists it" sh -c "tar tf '$T/tree.tar' | grep -qx app/out.txt"
check "a bare - is a tar on standard output" sh -c \
    "'$SHALE' build -q -o - '$ctx' 2>/dev/null | tar tf - | grep -qx app/out.txt"
for compression in gzip zstd uncompressed; do
    check "type=oci with compression=$compression" quiet \
        --output "type=oci,dest=$T/$compression.tar,compression=$compression" -t app:x "$ctx"
done
if command -v skopeo > /dev/null; then
    check "skopeo reads the OCI archive" skopeo inspect "oci-archive:$T/app.oci.tar"
    check "skopeo copies it to a directory" skopeo copy "oci-archive:$T/app.oci.tar" "dir:$T/dir"
    check "skopeo reads the docker archive" skopeo inspect "docker-archive:$T/app.docker.tar"
    for compression in gzip uncompressed; do
        check "skopeo copies $compression layers" \
            skopeo copy "oci-archive:$T/$compression.tar" "dir:$T/dir-$compression"
    done
else
    echo "note: skopeo is not installed; its checks did not run"
fi
if command -v umoci > /dev/null && command -v skopeo > /dev/null; then
    # umoci 0.4 knows gzip only.
    skopeo copy -q "oci-archive:$T/gzip.tar" "oci:$T/umoci:app" > /dev/null 2>&1
    check "umoci unpacks the image" umoci unpack --image "$T/umoci:app" "$T/bundle"
    # Its layer ends with the last byte of the file.
    printf 'no block' > "$T/inserted"
    check "umoci inserts a file" umoci insert --image "$T/umoci:app" --tag more "$T/inserted" /in/it
    check "which can be read" equal "$("$SHALE" cat "oci:$T/umoci:more:/in/it")" "no block"
    check "mount again" "$SHALE" mount app:prod "$m"
    check "the mount equals umoci's unpacking" "$SHALE" diff "$m" "$T/bundle/rootfs"
    check "unmount again" "$SHALE" umount "$m"
fi
if command -v buildah > /dev/null; then
    buildah_args="--root $T/buildah --runroot $T/buildah-run --storage-driver vfs"
    check "buildah pulls the OCI archive" \
        sh -c "buildah $buildah_args pull -q oci-archive:$T/app.oci.tar"
    buildah $buildah_args rmi -af > /dev/null 2>&1
fi

if start_dockerd; then
    check "docker loads the archive" docker_ load -i "$T/app.docker.tar"
    check "docker knows its name and ID" equal "$(cat "$T/iid4")" \
        "$(docker_ inspect -f '{{.Id}}' app:prod)"
    check "an archive of estargz layers" quiet -t app:estargz \
        --output "type=docker,dest=$T/estargz.tar,compression=estargz" "$ctx"
    check "docker loads estargz" docker_ load -i "$T/estargz.tar"
fi

# --- where results go ---------------------------------------------------------------------------
s=$T/small
mkdir "$s"
printf 'FROM scratch\nCOPY a /\n' > "$s/Dockerfile"
cp "$busybox" "$s/a"
mkfifo "$T/fifo"
mknod "$T/null" c 1 3
check "results go into devices" quiet --metadata-file "$T/null" -o "type=tar,dest=$T/null" "$s"
check "which stay devices" test -c "$T/null"
cat "$T/fifo" > "$T/through-fifo" &
check "a result goes into a pipe" quiet --iidfile "$T/fifo" "$s"
wait $!
check "which stays a pipe" test -p "$T/fifo"
check "its reader gets the ID" grep -q '^sha256:' "$T/through-fifo"
for flag in --iidfile --metadata-file --trace; do
    check_fails "$flag into a pipe that nobody reads" 1 "nobody reads the pipe $T/fifo" \
        timeout 60 "$SHALE" build -q "$flag" "$T/fifo" "$s"
done
check_fails "a build that fails says so all the same" 1 'target stage' \
    timeout 60 "$SHALE" build -q --trace "$T/fifo" --target nowhere "$s"
check "a process that the shell starts gets the ID" bash -c \
    "'$SHALE' build -q --iidfile >(cat > '$T/substituted') '$s' && sleep 1 &&
     grep -q '^sha256:' '$T/substituted'"
check "--iidfile /dev/stdout is the output" sh -c \
    "'$SHALE' build -q --iidfile /dev/stdout '$s' > '$T/redirected' &&
     grep -q sha256: '$T/redirected'"
check "/dev/stdout is still a link" test -L /dev/stdout
check "a build that succeeds leaves its ID" quiet --iidfile "$T/iid" "$s"
check_fails "one that fails" 1 "" quiet --iidfile "$T/iid" --target nowhere "$s"
check "does not leave that of another" absent "$T/iid"
check_fails "pushing needs a name" 1 "tag is needed when pushing" quiet --push "$s"
check "build at one level" quiet --compression-level 1 -t level:1 "$s"
check "build at another" quiet --compression-level 19 -t level:19 "$s"
check "a level alone has an effect" sh -c "'$SHALE' images --json level | python3 -c '
import json, sys
sizes = {i[\"tag\"]: i[\"compressedBytes\"] for i in json.load(sys.stdin)}
assert sizes[\"19\"] < sizes[\"1\"], sizes'"
check "rawjson is JSON to its end" sh -c \
    "'$SHALE' build --progress rawjson '$s' 2>&1 | python3 -c 'import json, sys
for line in sys.stdin: json.loads(line)'"
check "the Dockerfile alone on standard input" sh -c \
    "printf 'FROM scratch\nENV A=1\n' | '$SHALE' build -q -t stdin:1 -"
check_fails "has nothing to copy" 1 '"/a": not found' sh -c "'$SHALE' build -q - < '$s/Dockerfile'"

# --- images without a name ----------------------------------------------------------------------
id=$(quiet --label nameless=1 "$s")
check "an image without a name is listed" sh -c "'$SHALE' images | grep -q '^<none> *<none> *'"
short=${id#sha256:} short=${short:0:12}
check "its ID is known" sh -c "'$SHALE' images -q | grep -qx '$short'"
check "and leads to it" sh -c "'$SHALE' cat '$id:/a' | cmp - '$s/a'"
check "it can be given a name" "$SHALE" tag "$id" named:1
check "a repository can be listed alone" equal "$("$SHALE" images -q named)" "$short"
check "and it is nameless no more" sh -c "! '$SHALE' images | grep '^<none>' | grep -q '$short'"
check "rm takes the ID" sh -c "'$SHALE' rm '$id' | grep -q 'untagged: named:1'"
check_fails "which is gone then" 1 "no image" "$SHALE" rm "$id"
id=$(quiet --label nameless=2 "$s")
check "rm of a nameless image" "$SHALE" rm "$id"
"$SHALE" tag app:prod rm:1 && "$SHALE" tag app:prod rm:2
check_fails "a malformed name" 1 "invalid reference format" "$SHALE" rm rm:1 A:B:C rm:2
check "saves no other" equal "$("$SHALE" images -q rm)" ""

# --- mistakes --------------------------------------------------------------------------------
before=$(cat "$SHALE_ROOT/index.json")
bad() { printf '%b' "$2" > "$T/$1.Dockerfile"; }
bad unknown 'FROM scratch\nFNTRYPOINT x\n'
check_fails "unknown instruction" 1 "unknown instruction: FNTRYPOINT (did you mean ENTRYPOINT?)" \
    build -t bad -f "$T/unknown.Dockerfile" "$ctx"
check "it shows the line" grep -qF '>>> FNTRYPOINT x' "$T/last.log"
bad missing 'FROM scratch\nCOPY nothere /x\n'
check_fails "COPY of a missing file" 1 '"/nothere": not found' \
    build -t bad -f "$T/missing.Dockerfile" "$ctx"
check "it shows the place" grep -qF 'missing.Dockerfile:2' "$T/last.log"
bad cycle 'FROM scratch AS a\nCOPY --from=a /x /y\n'
check_fails "a stage that copies from itself" 1 'circular dependency detected on stage: a' \
    build -t bad -f "$T/cycle.Dockerfile" "$ctx"
bad later 'FROM scratch AS a\nCOPY --from=b /x /y\nFROM scratch AS b\nCOPY --from=a /x /y\n'
check_fails "stages that need each other" 1 'needs to be defined before current stage' \
    build -t bad -f "$T/later.Dockerfile" "$ctx"
check_fails "unknown target" 1 'target stage "bilder" could not be found (did you mean builder?)' \
    build --target bilder "$ctx"
bad ref 'FROM A:B:C\n'
check_fails "bad reference" 1 'failed to parse stage name "A:B:C"' \
    build -t bad -f "$T/ref.Dockerfile" "$ctx"
check_fails "Dockerfile missing" 1 'failed to read dockerfile' build -f "$T/no.Dockerfile" "$ctx"
check_fails "context missing" 1 'not found' build "$T/no-such-context"
bad down 'FROM localhost:1/x\n'
check_fails "registry down" 1 'localhost:1' build -t bad -f "$T/down.Dockerfile" "$ctx"
bad mountflag 'FROM scratch AS a\nRUN --mount=from=a,target=/x x\n'
check_fails "a mount from the stage itself" 1 'needs to be defined before current command' \
    build -t bad -f "$T/mountflag.Dockerfile" "$ctx"
check "with its line" grep -qF 'mountflag.Dockerfile:2' "$T/last.log"
cat > "$T/failing.Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/sh
RUN echo first && echo second >&2 && touch /made && exit 7
D
check_fails "a failing RUN" 1 'did not complete successfully: exit code: 7' \
    build -t bad -f "$T/failing.Dockerfile" "$ctx"
check "it shows the step" grep -qF ' > [2/2] RUN echo first' "$T/last.log"
check "it shows the last output" grep -qx 'second' "$T/last.log"
check "it shows the Dockerfile" grep -qF '>>> RUN echo first' "$T/last.log"
cat > "$T/notfound.Dockerfile" <<'D'
FROM scratch
COPY busybox /bin/sh
RUN ["/no/such/program"]
D
check_fails "a command that is not there" 1 '/no/such/program' \
    build -t bad -f "$T/notfound.Dockerfile" "$ctx"
mkdir "$T/evil"
python3 - "$T/evil/evil.tar" <<'P'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w") as archive:
    member = tarfile.TarInfo("../escaped.txt")
    member.size = 4
    archive.addfile(member, io.BytesIO(b"evil"))
P
printf 'FROM scratch\nADD evil.tar /x/\n' > "$T/evil/Dockerfile"
check_fails "an archive that climbs out" 1 '../escaped.txt' build -t bad "$T/evil"
tar -C "$T" -cf - evil/Dockerfile evil/evil.tar | head -c 1300 > "$T/evil/cut.tar"
printf 'FROM scratch\nADD cut.tar /x/\n' > "$T/evil/Dockerfile"
check_fails "an archive that is cut short" 1 'archive cut.tar: ' build -t bad "$T/evil"
check "no tag moved" equal "$(cat "$SHALE_ROOT/index.json")" "$before"

# --- a build that is killed ---------------------------------------------------------------------
printf 'FROM scratch\nCOPY busybox /bin/sh\nRUN echo reached; sleep 1000\n' > "$T/sleep.Dockerfile"
"$SHALE" build --progress plain -t bad -f "$T/sleep.Dockerfile" "$ctx" > "$T/killed.log" 2>&1 &
victim=$!
check "the step runs" wait_for 30 grep -q ' reached$' "$T/killed.log"
kill -KILL "$victim"
wait "$victim" 2> /dev/null
check "a killed build leaves no mount" equal "$(grep -c "$SHALE_ROOT" /proc/self/mountinfo)" 0
check "its command dies with it" wait_for 10 not pgrep -fx 'sleep 1000'
touch -d '2 minutes ago' "$SHALE_ROOT"/tmp/session-* 2> /dev/null
check "the next build succeeds" build --no-cache --target base -t base "$ctx"
check "it removed the dead one's cgroups" equal "$(find /sys/fs/cgroup -name "shale-$victim-*")" ""
check "nothing of the dead session is left" equal "$(ls -A "$SHALE_ROOT/tmp")" ""

# --- keys name what was made ---------------------------------------------------------------------
k=$T/keys
mkdir -p "$k/releases/v2/sub" "$k/data"
cp "$busybox" "$k/busybox"
cat > "$k/again.Dockerfile" <<'D'
FROM scratch AS made
COPY busybox /bin/sh
RUN cat /proc/uptime > /stamp
WORKDIR /app
RUN read stamp < /stamp && echo "$stamp" > /app/stamp

FROM scratch
COPY --from=made /stamp /app/stamp /
D
stamps_agree() {
    local stamp
    stamp=$("$SHALE" cat "$1:/stamp") && equal "$("$SHALE" cat "$2:/$3")" "$stamp"
}
both() { build "$@" --target made -t again:made -f "$k/again.Dockerfile" "$k"; }
check "a step that never gives the same" both
check "run again without the cache" both --no-cache
check "later steps saw what was made, not what was made before" stamps_agree again:made again:made \
    app/stamp
check "the stages after it too" build --no-cache-filter made -t again:final \
    -f "$k/again.Dockerfile" "$k"
check "the final stage took the new file" stamps_agree again:final again:final stamp
check "WORKDIR over it is up to date" both
check "and so is what a cached build shows" stamps_agree again:made again:made app/stamp

cat > "$k/documents.Dockerfile" <<'D'
FROM scratch AS base
COPY busybox /one
FROM scratch
ARG V=first
COPY --from=base /one <<EOF /d/
$V
EOF
D
check "a document beside --from" build -t doc:1 -f "$k/documents.Dockerfile" "$k"
check "with another variable" build --build-arg V=second -t doc:2 -f "$k/documents.Dockerfile" "$k"
check "has another body" equal "$("$SHALE" cat doc:2:/d/EOF)" second

# --- links of the context ------------------------------------------------------------------------
echo conf > "$k/releases/v2/app.conf"
echo text > "$k/releases/v2/sub/a.txt"
echo a > "$k/data/a" && echo b > "$k/data/b"
ln -s releases/v2 "$k/current"
ln -s data "$k/link"
ln -s ../data/b "$k/releases/b.txt"
printf 'FROM scratch\n%s\n' 'COPY current/app.conf /1' > "$k/l1.Dockerfile"
printf 'FROM scratch\n%s\n' 'COPY current/sub/*.txt /2/' > "$k/l2.Dockerfile"
printf 'FROM scratch\n%s\n%s\n' 'COPY data/a /a' 'COPY link /3/' > "$k/l3.Dockerfile"
printf 'FROM scratch\n%s\n' 'COPY releases/*.txt /4/' > "$k/l4.Dockerfile"
for n in 1 2 3 4; do
    check "COPY through links of the context, case $n" build -t "links:$n" \
        -f "$k/l$n.Dockerfile" "$k"
done
check "a file below a link" equal "$("$SHALE" cat links:1:/1)" conf
check "a pattern below a link" equal "$("$SHALE" cat links:2:/2/a.txt)" text
check "a link to what another COPY names a part of" equal "$("$SHALE" cat links:3:/3/b)" b
check "a match that is a link" equal "$("$SHALE" cat links:4:/4/b.txt)" b

# --- triggers ------------------------------------------------------------------------------------
printf 'FROM scratch AS base\nONBUILD COPY . /src\nFROM base\nCOPY busybox /bin/sh\n' \
    > "$k/child.Dockerfile"
check "a trigger that copies the context" build -t child -f "$k/child.Dockerfile" "$k"
check "copies all of it" equal "$("$SHALE" cat child:/src/data/b)" b

# --- requests that cannot be ---------------------------------------------------------------------
check_fails "an --add-host without an address" 1 'is no IP address' \
    build --add-host db:nowhere -t app:prod "$ctx"
check_fails "an entitlement nobody knows" 1 'invalid entitlement "bogus"' build --allow bogus "$ctx"
printf 'FROM scratch\nARG URL=https://example.com/a\nCOPY ${URL} /x\n' > "$k/url.Dockerfile"
check_fails "a URL for COPY behind a variable" 1 "source can't be a URL for COPY" \
    build -f "$k/url.Dockerfile" "$k"

#!/usr/bin/env bash
# What BuildKit's tests of its Dockerfile frontend check and no other script of ours does: where the
# Dockerfile lies, a context that changes, names and platforms of a layout, times, where mistakes
# are, triggers that need more, titles of steps. Nothing here asks a registry or a server.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for a private mount namespace"
for tool in jq tar; do command -v $tool > /dev/null || skip "needs $tool"; done
export TZ=UTC0

ctx=$T/ctx
o=$T/out
mkdir -p "$ctx/d" "$T/empty"
echo hello > "$ctx/f"
echo deep > "$ctx/d/x"

# What build printed stays in last.log until the next build.
build() {
    local code=0
    "$SHALE" build --progress plain "$@" > "$T/last.log" 2>&1 || code=$?
    cat "$T/last.log"
    return "$code"
}
# text FILE TEXT: writes a Dockerfile (with \n for line ends) into the scratch directory.
text() { printf '%b' "$2" > "$T/$1"; }
# over TEXT [FLAG...]: builds the text with the context and writes the result into $o.
over() {
    text Dockerfile.over "$1"
    rm -rf "$o"
    build -f "$T/Dockerfile.over" -o "type=local,dest=$o" "${@:2}" "$ctx"
}
# layout DIRECTORY FLAG...: builds into a directory that is an OCI layout.
layout() {
    rm -rf "$1"
    build -o "type=oci,tar=false,dest=$1" "${@:2}"
}
# blob LAYOUT DIGEST; and the manifest and the config of a layout's first image.
blob() { cat "$1/blobs/${2/://}"; }
manifest() { blob "$1" "$(jq -r '.manifests[0].digest' "$1/index.json")"; }
config() { blob "$1" "$(manifest "$1" | jq -r .config.digest)"; }
tree_of() { (cd "$1" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort); }

# --- COPY --link to the working directory --------------------------------------------------------
check "--link to ." over 'FROM scratch\nWORKDIR /w\nCOPY --link f .\nCOPY --link d .\n'
check "--link to . is the working directory" equal "$(tree_of "$o")" "w
w/f
w/x"
check "--link to nothing" over \
    'FROM scratch\nENV E=""\nWORKDIR /w/v\nCOPY --link f $E\nCOPY --link ["d/x", ""]\n'
check "--link to nothing is the working directory, too" equal "$(tree_of "$o")" "w
w/v
w/v/f
w/v/x"

# --- where the Dockerfile lies -------------------------------------------------------------------
mkdir "$T/same" "$T/apart" "$T/linked"
echo same > "$T/same/f"
text same/Dockerfile 'FROM scratch\nCOPY . /all/\n'
text apart/Dockerfile 'FROM scratch\nCOPY f /apart\n'
check "a Dockerfile in its context" build -o "$o-same" "$T/same"
check "the Dockerfile of the context is one of its files" equal "$(tree_of "$o-same/all")" \
    "Dockerfile
f"
check "a Dockerfile elsewhere" build -f "$T/apart/Dockerfile" -o "$o-apart" "$T/same"
check "the Dockerfile from elsewhere copies from the context" equal \
    "$(tree_of "$o-apart") $(cat "$o-apart/apart")" "apart same"
in_directory() { (cd "$1" && build "${@:2}"); }
check "paths relative to where one stands" in_directory "$T/apart" -f Dockerfile -o "$o-cwd" ../same
check "-f is relative to where one stands, not to the context" equal "$(tree_of "$o-cwd")" apart
cp "$T/same/f" "$T/linked/f"
text linked/Dockerfile.web 'FROM scratch\nCOPY f /web\n'
ln -s Dockerfile.web "$T/linked/Dockerfile"
check "a Dockerfile that is a link" build -o "$o-link" "$T/linked"
check "the Dockerfile's link was followed" equal "$(tree_of "$o-link")" web
ln -sf ../apart/Dockerfile "$T/linked/Dockerfile"
check_fails "no link out of the context is followed" 1 "which is not followed" \
    build -o "$o-link2" "$T/linked"

# --- a context that changes ----------------------------------------------------------------------
changing=$T/changing
mkdir -p "$changing/foo"
echo in > "$changing/foo/bar"
text changing/Dockerfile 'FROM scratch\nCOPY foo /\n'
check "a source that is a directory" build -t changing:1 "$changing"
rm -r "$changing/foo" && echo file > "$changing/foo"
check "the source is a file now" build -o "$o-file" "$changing"
check "a directory that became a file is copied as a file" equal \
    "$(tree_of "$o-file") $(cat "$o-file/foo")" "foo file"
rm "$changing/foo" && mkdir "$changing/foo" && echo new > "$changing/foo/other"
check "the source is a directory again" build -o "$o-dir" "$changing"
check "a file that became a directory is copied as one" equal "$(tree_of "$o-dir")" other

# --- layouts -------------------------------------------------------------------------------------
text Dockerfile.names 'FROM scratch\nCOPY f /\n'
check "a layout under several names" layout "$T/names" -f "$T/Dockerfile.names" -t one:v1 \
    -t example.org/two:v2 "$ctx"
check "a layout lists each name" equal "$(jq -r '.manifests[].annotations |
    .["io.containerd.image.name"] + " " + .["org.opencontainers.image.ref.name"]' \
    "$T/names/index.json" | sort)" "docker.io/library/one:v1 v1
example.org/two:v2 v2"
check "an archive under several names" build -f "$T/Dockerfile.names" \
    -o "type=oci,\"name=one:v1,example.org/two:v2\",dest=$T/names.tar" "$ctx"
check "an archive lists the same names" equal \
    "$(tar xOf "$T/names.tar" index.json | jq -Sc '[.manifests[].annotations]')" \
    "$(jq -Sc '[.manifests[].annotations]' "$T/names/index.json")"
check "a layout's names are of one image" equal \
    "$(jq '[.manifests[].digest] | unique | length' "$T/names/index.json")" 1
text Dockerfile.nothing 'FROM scratch\n'
check "platforms of nothing" layout "$T/nothing" -f "$T/Dockerfile.nothing" \
    --platform linux/amd64,linux/arm64 "$T/empty"
manifest "$T/nothing" > "$T/nothing.json"
check "an index lists empty images by platform" equal "$(jq -r '.manifests[].platform |
    .os + "/" + .architecture' "$T/nothing.json" | sort)" "linux/amd64
linux/arm64"
for digest in $(jq -r '.manifests[].digest' "$T/nothing.json"); do
    blob "$T/nothing" "$digest" | jq '.layers | length'
done > "$T/nothing.layers"
check "empty images have no layers" equal "$(cat "$T/nothing.layers")" "0
0"

# --- named contexts ------------------------------------------------------------------------------
cat > "$T/Dockerfile.base" <<'D'
FROM scratch
COPY f /f
ENV A=base
USER 7:8
WORKDIR /w
LABEL kept=yes
EXPOSE 80
ENTRYPOINT ["/f"]
CMD ["x"]
D
check "an old base" build -f "$T/Dockerfile.base" -t old:1 \
    --build-arg SOURCE_DATE_EPOCH=1000000000 "$ctx"
text Dockerfile.young 'FROM base\nCOPY d/x /y\n'
check "an image on an old base" layout "$T/young" -f "$T/Dockerfile.young" \
    --build-context base=docker-image://old:1 "$ctx"
config "$T/young" > "$T/young.json"
check "the time of an image is not its base's" test \
    "$(date -d "$(jq -r .created "$T/young.json")" +%s)" -gt 1500000000
check "the history keeps the times of the base" equal \
    "$(jq -r '.history[0].created' "$T/young.json" | cut -c 1-19)" 2001-09-09T01:46:40
check "the newest step has the time of the image" equal \
    "$(jq -r '.history[-1].created' "$T/young.json")" "$(jq -r .created "$T/young.json")"
check "a layout to build on" layout "$T/base" -f "$T/Dockerfile.base" -t base:1 "$ctx"
text Dockerfile.again 'FROM base\n'
check "a layout as the whole image" layout "$T/again" -f "$T/Dockerfile.again" \
    --build-context "base=oci-layout://$T/base" "$T/empty"
check "a layout's config is the same when it is written again" equal \
    "$(config "$T/again" | jq -S .config)" "$(config "$T/base" | jq -S .config)"
check "and it is a config" equal "$(config "$T/again" | jq -r '.config.Labels.kept')" yes
check "a layout's layers are the same when it is written again" equal \
    "$(config "$T/again" | jq -r '.rootfs.diff_ids[]')" \
    "$(config "$T/base" | jq -r '.rootfs.diff_ids[]')"

mkdir "$T/named"
echo used > "$T/named/used" && echo not > "$T/named/unused"
touch -a -d @946684800 "$T/named/used" "$T/named/unused"
text Dockerfile.part 'FROM scratch\nCOPY --from=base used /\n'
check "a part of a named context" build -f "$T/Dockerfile.part" --build-context "base=$T/named" \
    "$T/empty"
if [ "$(stat -c %X "$T/named/used")" -ne 946684800 ]; then
    check "a file of a named context that nobody uses is not read" equal \
        "$(stat -c %X "$T/named/unused")" 946684800
else
    echo "note: reading leaves no trace on this file system; what is read was not checked"
fi

# --- times ---------------------------------------------------------------------------------------
text Dockerfile.times 'FROM scratch\nCOPY f /f\nENV A=1\nWORKDIR /w\n'
check "an epoch as an argument" layout "$T/times" -f "$T/Dockerfile.times" \
    --build-arg SOURCE_DATE_EPOCH=1234567890 "$ctx"
check "the epoch is the time of the image and of its history" equal \
    "$(config "$T/times" | jq -r '[.created, .history[].created] | unique[]')" 2009-02-13T23:31:30Z
cat > "$T/Dockerfile.stage" <<'D'
ARG SOURCE_DATE_EPOCH=when
FROM scratch AS when
ADD http://127.0.0.1:1/file /
FROM scratch
COPY f /f
D
check_fails "an epoch that is a stage" 1 "127.0.0.1:1" build -f "$T/Dockerfile.stage" "$ctx"
check "an epoch as an argument instead of a stage" layout "$T/stage" -f "$T/Dockerfile.stage" \
    --build-arg SOURCE_DATE_EPOCH=1234567890 "$ctx"
check "the argument counts, the stage is not asked" equal \
    "$(config "$T/stage" | jq -r .created)" 2009-02-13T23:31:30Z
text Dockerfile.workdir 'FROM scratch\nWORKDIR /my/dir\n'
workdir() {
    layout "$1" -f "$T/Dockerfile.workdir" --build-arg SOURCE_DATE_EPOCH=1234567890 "$T/empty"
}
check "a working directory and an epoch" workdir "$T/workdir1"
check "prune before the same again" "$SHALE" prune -f --all
sleep 1.1
check "a working directory and an epoch, again" workdir "$T/workdir2"
check "the second build ran" sh -c "! grep -q CACHED '$T/last.log'"
check "a working directory is reproducible with an epoch" \
    cmp "$T/workdir1/index.json" "$T/workdir2/index.json"

# --- mistakes and their lines --------------------------------------------------------------------
cat > "$T/Dockerfile.lines" <<'D'
# a comment
FROM scratch AS one
ADD nothing /

FROM scratch AS two
COPY f \
    # a comment in between
    nothing \
    /d/
LABEL a=b

FROM scratch AS three
COPY <<E nothing /d/
body
E

FROM scratch AS empty
FROM scratch AS four
COPY --from=empty /nothing /
D
# marked: the numbers of the lines that the message marks.
marked() { sed -n 's/^ *\([0-9]*\) | >>> .*/\1/p' "$T/last.log" | tr '\n' ' '; }
maps() { # STAGE WANTED
    build -f "$T/Dockerfile.lines" --target "$1" "$ctx"
    equal "$(marked)" "$2"
}
check "line of ADD" maps one "3 "
check "lines of a continued COPY" maps two "6 7 8 9 "
check "lines of a COPY with a document" maps three "13 14 15 "
check "line of COPY --from" maps four "19 "
text Dockerfile.onbuild 'FROM scratch\nONBUILD COPY nothing /\n'
check "an image with a trigger" build -f "$T/Dockerfile.onbuild" -t trigger:1 "$T/empty"
check_fails "a trigger that fails" 1 '"/nothing": not found' over \
    '# comment\nFROM trigger:1\nLABEL a=b\n'
check "line of a trigger is that of its FROM" equal "$(marked)" "2 "
text Dockerfile.shared \
    'FROM scratch AS a\nCOPY nothing /\nFROM a AS b\nCOPY f /b\nFROM a\nCOPY --from=b / /\n'
check_fails "what several stages need" 1 '"/nothing": not found' build -f "$T/Dockerfile.shared" \
    "$ctx"
check "a mistake that several stages need is shown once" equal \
    "$(grep -c '^Dockerfile.shared:2:' "$T/last.log") $(marked)" "1 2 "

# --- triggers that need more ---------------------------------------------------------------------
text Dockerfile.leaf 'FROM scratch\nCOPY f /leaf\n'
check "an image that a trigger copies from" build -f "$T/Dockerfile.leaf" -t leaf:1 "$ctx"
text Dockerfile.inner 'FROM scratch\nONBUILD COPY --from=leaf:1 /leaf /inner\n'
check "an image whose trigger needs an image" build -f "$T/Dockerfile.inner" -t inner:1 "$T/empty"
text Dockerfile.outer 'FROM scratch\nONBUILD COPY --from=dep /inner /outer\n'
check "an image whose trigger needs a stage" build -f "$T/Dockerfile.outer" -t outer:1 "$T/empty"
check "a trigger that needs a stage with a trigger" over \
    'FROM inner:1 AS dep\nFROM outer:1\nCOPY f /own\n'
check "a trigger brought a stage, and that an image" equal "$(tree_of "$o") $(cat "$o/outer")" \
    "outer
own hello"
check "a layout whose trigger needs a stage" layout "$T/outer" -f "$T/Dockerfile.outer" "$T/empty"
check "a layout with a trigger as a base" over \
    'FROM scratch AS dep\nCOPY d/x /inner\nFROM base\n' \
    --build-context "base=oci-layout://$T/outer"
check "a layout's trigger copied from a stage of the child" equal "$(cat "$o/outer")" deep

# --- what a command is needed for ----------------------------------------------------------------
busybox=$(command -v busybox) || exit
[ -e /dev/fuse ] || exit
mkdir "$T/bb" && cp "$busybox" "$T/bb/sh"
cat > "$T/Dockerfile.mount" <<'D'
FROM scratch
COPY sh /bin/sh
ONBUILD RUN --mount=from=dep,target=/m cat /m/inner > /mounted
D
check "an image whose trigger mounts a stage" build -f "$T/Dockerfile.mount" -t mounting:1 "$T/bb"
check "a trigger that mounts a stage with a trigger" over 'FROM inner:1 AS dep\nFROM mounting:1\n'
check "a trigger's mount had what another trigger made" equal "$(cat "$o/mounted")" hello
cat > "$T/Dockerfile.nested" <<'D'
FROM inner:1 AS dep
COPY --from=bb sh /bin/sh
RUN cat /inner > /more && cp /more /inner
FROM mounting:1
RUN cat /mounted > /last
D
check "commands between triggers" build -f "$T/Dockerfile.nested" --build-context "bb=$T/bb" \
    -o "$o-nested" "$T/empty"
check "commands after triggers see what they made" equal "$(cat "$o-nested/last")" hello

text Dockerfile.start 'FROM scratch\nCOPY sh /bin/sh\n'
check "an image to start from" build -f "$T/Dockerfile.start" -t start:1 "$T/bb"
cat > "$T/Dockerfile.titles" <<'D'
FROM start:1 AS base
WORKDIR /out
RUN echo "base" > base
FROM scratch
LABEL a=b
COPY f /g
COPY --from=base --chmod=0644 /out /out
D
check "titles" build -f "$T/Dockerfile.titles" "$ctx"
sed -n 's/^#[0-9]* \(\[.*\)/\1/p' "$T/last.log" | sed 's/@sha256.*//' | LC_ALL=C sort -u \
    > "$T/titles"
check "titles name the stage, count its steps and show the instruction" equal \
    "$(grep -v '^\[internal' "$T/titles")" '[base 1/3] FROM docker.io/library/start:1
[base 2/3] WORKDIR /out
[base 3/3] RUN echo "base" > base
[stage-1 1/2] COPY f /g
[stage-1 2/2] COPY --from=base --chmod=0644 /out /out'
check "titles of what is no instruction" equal "$(grep '^\[internal' "$T/titles")" \
    "[internal] load .dockerignore
[internal] load build context
[internal] load build definition from Dockerfile.titles
[internal] load metadata for docker.io/library/start:1"
cat > "$T/Dockerfile.values" <<'D'
FROM scratch
ARG N=f
ENV V=x
workdir /w/$V
copy $N /w/
D
check "titles with values" build -f "$T/Dockerfile.values" "$ctx"
check "titles show values, and the instruction in upper case" \
    grep -qx '#[0-9]* \[2/2\] COPY f /w/' "$T/last.log"
check "of WORKDIR, too" grep -qx '#[0-9]* \[1/2\] WORKDIR /w/x' "$T/last.log"
cat > "$T/Dockerfile.run" <<'D'
FROM start:1
COPY <<E /f
text
E
RUN true && \
    # a comment in between
    exit 3

RUN true
D
check_fails "a command over several lines" 1 "exit code: 3" build -f "$T/Dockerfile.run" "$T/empty"
check "lines of a RUN" equal "$(marked)" "5 6 7 "

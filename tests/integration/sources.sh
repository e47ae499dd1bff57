#!/usr/bin/env bash
# Where files come from: ADD of URLs and git repositories, contexts that are no directory, named
# contexts. Servers are this machine's own: a small HTTP server and git's daemon on loopback.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/servers.sh"
for tool in python3 git jq tar; do command -v $tool > /dev/null || skip "needs $tool"; done
[ -x "$(git --exec-path)/git-daemon" ] || skip "needs git daemon"
unset SSH_AUTH_SOCK http_proxy https_proxy HTTP_PROXY HTTPS_PROXY 2>/dev/null || true
export HOME=$T TZ=UTC0

# --- the world ----------------------------------------------------------------------------------
web=$T/web
mkdir -p "$web" "$T/empty" "$T/git"
start_web_and_git "$web" "$T/git"

export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$T/gitconfig
git config --global user.name t && git config --global user.email t@example.org
git config --global init.defaultBranch main
commit() { # REPOSITORY MESSAGE, at a known time
    git -C "$1" add -A
    GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000' \
        git -C "$1" commit -q --allow-empty -m "$2"
}
git init -q "$T/lib" && echo library > "$T/lib/lib.txt" && commit "$T/lib" lib
git clone -q --bare "$T/lib" "$T/git/lib.git"
work=$T/work
git init -q "$work"
mkdir -p "$work/sub/dir" "$work/ignored"
echo one > "$work/one.txt"
echo deep > "$work/sub/dir/deep.txt"
echo kept > "$work/ignored/kept.txt"
printf '#!/bin/sh\n' > "$work/run.sh"; chmod 755 "$work/run.sh"; chmod 600 "$work/one.txt"
ln -s ../one.txt "$work/sub/link"; ln -s sub/dir "$work/inner"; ln -s /etc "$work/outer"
printf 'ignored\n' > "$work/.dockerignore"
printf 'FROM scratch\nCOPY . /all/\n' > "$work/Dockerfile"
printf 'FROM scratch\nCOPY . /sub/\n' > "$work/sub/Dockerfile"
(cd "$work" && tar cf packed.tar one.txt)
git -C "$work" -c protocol.file.allow=always submodule --quiet add "$T/git/lib.git" library
git -C "$work" config -f .gitmodules submodule.library.url ../lib.git
commit "$work" first
first=$(git -C "$work" rev-parse HEAD)
git -C "$work" tag light && git -C "$work" tag -a -m annotated v1
echo two > "$work/two.txt"; commit "$work" second
second=$(git -C "$work" rev-parse HEAD)
git -C "$work" branch feature/x "$first"
git clone -q --bare "$work" "$T/git/app.git"
git clone -q --bare "$work" "$web/dumb.git" && git -C "$web/dumb.git" update-server-info
repo=$daemon/app.git

# Unpacks the result into a directory: owners would be lost in an output of type local.
unpacked() {
    local out=$1
    shift
    rm -rf "$out"
    "$SHALE" build --progress plain -o "type=tar,dest=$T/out.tar" "$@" > "$T/last.log" 2>&1 &&
        mkdir "$out" && tar -C "$out" -xpf "$T/out.tar"
}
# Builds a Dockerfile given as text (default context: an empty directory) into a directory.
# usage: files DIRECTORY TEXT [FLAG...]
files() {
    local out=$1 text=$2
    shift 2
    printf '%b' "$text" > "$T/Dockerfile.files"
    unpacked "$out" -f "$T/Dockerfile.files" "$@" "$T/empty"
}
log() { cat "$T/last.log"; }
# Instructions over scratch, into $o; and those that must fail, with what they say.
o=$T/out
over() { files "$o" "FROM scratch\n$1\n" "${@:2}"; }
fails() { over "$@" || { log; return 1; }; }
# Any context and flags, into $o.
into() { unpacked "$o" "$@" || { log; return 1; }; }
list() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %U:%G\n' | LC_ALL=C sort); }
asked() { grep -c "$1" "$T/http.log"; }

# --- ADD of URLs --------------------------------------------------------------------------------
echo hello > "$web/file.txt" && touch -d @1000000000 "$web/file.txt"
echo index > "$web/index"
(cd "$work" && tar czf "$web/archive.tgz" --owner=7 --group=7 one.txt sub)
check "ADD of a URL" over "ADD $http/file.txt?x=/y $http/ /dest/\nADD $http/file.txt /named"
check "names, modes and owners" equal "$(list "$o")" "dest d 755 0:0
dest/__unnamed__ f 600 0:0
dest/file.txt f 600 0:0
named f 600 0:0"
check "the time is Last-Modified" equal "$(stat -c %Y "$o/dest/file.txt")" 1000000000
check "the builder says who it is" grep -q "GET /file.txt?x=/y 200 shale/" "$T/http.log"
: > "$T/http.log"
check "again, with another mode" over "ADD --chmod=640 --chown=3:4 $http/file.txt /f"
check "is no other download" equal "$(asked '^GET')$(asked '^HEAD /file.txt 304')" 01
check "but another file" equal "$(list "$o")" "f f 640 3:4"
echo changed > "$web/file.txt"
check "a change on the server" over "ADD $http/file.txt /f"
check "arrives" equal "$(cat "$o/f")" changed
check "archives stay as they are" over "ADD $http/archive.tgz /a/"
check "byte by byte" cmp "$o/a/archive.tgz" "$web/archive.tgz"
check "unless they are to be unpacked" over "ADD --unpack=true $http/archive.tgz /a"
check "with all that is in them" equal "$(list "$o" | grep -v '^a/sub')" "a d 755 0:0
a/one.txt f 600 7:7"
check "redirects" over "ADD $http/redirect/file.txt /d/"
check "keep the name that was asked for" equal "$(cat "$o/d/file.txt")" changed
check "a server that is busy at first" over "ADD $http/once-503/file.txt /f"
check "without validators" over "ADD $http/plain/file.txt /f"
check "the time is 1970" equal "$(stat -c %Y "$o/f")" 0
check_fails "a status that is no success" 1 "invalid response status 404" fails \
    "ADD $http/nothing /f"
check "it shows the line" grep -qF ">>> ADD $http/nothing /f" "$T/last.log"
check_fails "redirects in a circle" 1 "more than 10 redirects" fails "ADD $http/loop /f"

sum=$(sha256sum < "$web/file.txt" | cut -d' ' -f1)
sum512=$(sha512sum < "$web/file.txt" | cut -d' ' -f1)
check "a checksum" over "ARG SUM=sha512:$sum512\nADD --checksum=\$SUM $http/file.txt /f"
: > "$T/http.log"
check "known contents" over "ADD --checksum=sha256:$sum http://127.0.0.1:1/file.txt /g"
check "ask nobody" equal "$(wc -l < "$T/http.log")" 0
bad=sha256:$(printf 0%.0s $(seq 64))
check_fails "a wrong one" 1 "digest mismatch for $http/file.txt: sha256:$sum (expected: $bad)" \
    fails "ADD --checksum=$bad $http/file.txt /f"
check_fails "an old one" 1 "unsupported digest algorithm" fails \
    "ADD --checksum=md5:00 $http/file.txt /f"
check_fails "none at all" 1 "invalid checksum digest format" fails \
    "ADD --checksum=$sum $http/file.txt /f"
check_fails "of a local file" 1 "checksum requires HTTP(S) or Git sources" fails \
    "ADD --checksum=$bad f /f"
check_fails "of several" 1 "checksum can't be specified for multiple sources" \
    fails "ADD --checksum=$bad $http/file.txt $http/x /f"
check_fails "COPY takes no URL" 1 "source can't be a URL for COPY" fails "COPY $http/file.txt /f"
check_fails "nor a repository" 1 "source can't be a git ref for COPY" fails "COPY $repo /f"

# --- ADD of repositories ------------------------------------------------------------------------
check "ADD of a repository" over "ADD $repo /src"
check "modes, owners, links and submodules" equal \
    "$(list "$o" | grep -v '^src/\(sub\|ignored\)/')" "src d 755 0:0
src/.dockerignore f 644 0:0
src/.gitmodules f 644 0:0
src/Dockerfile f 644 0:0
src/ignored d 755 0:0
src/inner l 777 0:0
src/library d 755 0:0
src/library/lib.txt f 644 0:0
src/one.txt f 644 0:0
src/outer l 777 0:0
src/packed.tar f 644 0:0
src/run.sh f 755 0:0
src/sub d 755 0:0
src/two.txt f 644 0:0"
for form in "#light" "#v1" "#feature/x" "#refs/tags/v1" "#$first" "?tag=v1" "?branch=feature/x" \
    "?ref=light" "?commit=$first" "?ref=v1&checksum=${first:0:7}"; do
    check "of $form" over "ADD $repo$form /src"
    check "it is the first commit" absent "$o/src/two.txt"
done
check "a subdirectory" over "ADD $repo#main:sub/dir /d"
check "alone" equal "$(list "$o")" "d d 755 0:0
d/deep.txt f 644 0:0"
check "through a link inside" over "ADD $repo?subdir=inner /d"
check_fails "through a link outside" 1 'is not in the repository' fails "ADD $repo#:outer/ssl /d"
check_fails "that is not there" 1 'subdir "nothing" is not in the repository' fails \
    "ADD $repo#:nothing /d"
check "without submodules" over "ADD --chown=5:6 --exclude=sub $repo?submodules=0 /d"
check "with another owner, without what is excluded" equal \
    "$(ls "$o/d/library") $(stat -c %u:%g "$o/d/one.txt")" " 5:6"
check "which is absent" absent "$o/d/sub"
cloned() { git -C "$o/d" -c safe.directory='*' "$@"; }
check "with .git" over "ADD --keep-git-dir=true $repo#v1 /d"
check "it is a repository" equal "$(cloned log --format=%H)" "$first"
check "that is complete" cloned fsck --full
check "that knows its origin and tag" equal \
    "$(cloned config remote.origin.url) $(cloned describe)" "$repo v1"
check "and is clean" equal \
    "$(cloned status --porcelain | grep -v library)" ""
check "nothing in it says where it was fetched" sh -c "! grep -rq '$SHALE_ROOT' '$o/d/.git'"
mkdir "$T/bin"
cat > "$T/bin/git" <<S
#!/bin/sh
echo "\$*" >> "$T/git.args"
exec "$(command -v git)" "\$@"
S
chmod +x "$T/bin/git"
PATH=$T/bin:$PATH
check "with .git, by a URL that has a password" over "ADD --keep-git-dir=true \
    http://bob:hunter2@${http#http://}/dumb.git?submodules=false#main /d"
PATH=${PATH#*:}
check "git was asked" grep -q 'dumb\.git' "$T/git.args"
check "without the password in its arguments" sh -c "! grep -q hunter2 '$T/git.args'"
check "which stays out of the repository" sh -c "! grep -rq hunter2 '$o/d'"
check_fails "both ways at once" 1 "inconsistent keep-git-dir configuration" \
    fails "ADD --keep-git-dir=false $repo?keep-git-dir=1 /d"
check "times of the commit" over "ADD $repo?mtime=commit /d"
check "are set" equal "$(stat -c %Y "$o/d/one.txt")" 1600000000

check "a branch" over "ADD $repo#main /d"
check "of which one is sure" over "ADD --checksum=$second $repo#main /d"
check "has the same key" equal "$(grep -c ' CACHED$' "$T/last.log")" 2
check_fails "which it is not" 1 "expected checksum to match $first, got $second" \
    fails "ADD --checksum=$first $repo#main /d"
check_fails "which is none" 1 "invalid checksum foo for Git URL, expected hex commit hash" \
    fails "ADD --checksum=foo $repo /d"
check_fails "an unknown branch" 1 "repository does not contain ref nothing" fails \
    "ADD $repo#nothing /d"
check_fails "an unknown query" 1 'unexpected query "x"' fails "ADD $repo?x=1 /d"
check_fails "a repository that is not there" 1 "failed to fetch remote $daemon/no.git" fails \
    "ADD $daemon/no.git /d"
check "a server that only has files" over "ADD $http/dumb.git?submodules=false#v1 /d"
check "serves a tag" equal "$(cat "$o/d/one.txt")$(ls "$o/d/two.txt" 2>/dev/null)" one
: > "$T/http.log"
check "the same commit from elsewhere" over "ADD $repo?submodules=false#$first /d"
check "is known already" equal "$(grep -c ' CACHED$' "$T/last.log")" 2
check "sources may be mixed, in order" over "ADD $repo#light $http/file.txt $daemon/lib.git /d/"
check "each of its kind" equal "$(cat "$o"/d/one.txt "$o"/d/file.txt "$o"/d/lib.txt)" "one
changed
library"
git init -q --object-format=sha256 "$T/w256" && echo 256 > "$T/w256/f" && commit "$T/w256" x
git clone -q --bare "$T/w256" "$T/git/long.git" 2> /dev/null
printf 'FROM scratch\nCOPY f /\n' > "$T/Dockerfile.long"
check "SHA-256 repositories as contexts" into -f "$T/Dockerfile.long" "$daemon/long.git#main"
check "have their files" equal "$(cat "$o/f")" 256
check "SHA-256 repositories" over \
    "ADD $daemon/long.git /d\nADD $daemon/long.git#$(git -C "$T/w256" rev-parse HEAD) /e"
check "are read" equal "$(cat "$o/d/f" "$o/e/f")" "256
256"

# --- main contexts ------------------------------------------------------------------------------
ctx=$T/ctx
mkdir -p "$ctx/d" "$ctx/other"
echo a > "$ctx/a"; echo b > "$ctx/d/b"; echo .dockerignored > "$ctx/ignored"
cp "$web/archive.tgz" "$ctx/archive.tgz"; printf 'ignored\n' > "$ctx/.dockerignore"
printf 'FROM scratch\nCOPY . /all/\nADD archive.tgz /un/\n' > "$ctx/Dockerfile"
printf 'FROM scratch\nCOPY a /other\n' > "$ctx/other/Dockerfile"
wanted="$(cd "$ctx" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort)"
tree_of() { (cd "$1" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort); }
for format in '' -z -j -J --zstd; do
    tar -C "$ctx" -c $format -f "$T/ctx.tar" --owner=5 .
    check "a tar (${format:-plain}) on standard input" into - < "$T/ctx.tar"
    check "is the context, ignoring .dockerignore" equal "$(tree_of "$o/all")" "$wanted"
    check "its archives are unpacked, its files are root's" equal \
        "$(stat -c %u "$o/un/one.txt") $(stat -c %u "$o/all/a")" "7 0"
done
check "-f names a Dockerfile in it" into -f other/Dockerfile - < "$T/ctx.tar"
check "and that one is used" equal "$(tree_of "$o")" other
check_fails "which must be there" 1 "failed to read dockerfile: open nothing" sh -c \
    "'$SHALE' build -q -f nothing - < '$T/ctx.tar'"
check "a Dockerfile that lies elsewhere" into -f "$ctx/other/Dockerfile" - < "$T/ctx.tar"
check_fails "compressed, but no archive" 1 "holds no tar archive" sh -c \
    "gzip < '$ctx/a' | '$SHALE' build -q -"
check_fails "standard input twice" 1 "can't use stdin for both" sh -c \
    "'$SHALE' build -q -f - - < /dev/null"
python3 - "$T/evil.tar" <<'P'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w") as t:
    def add(name, kind=tarfile.REGTYPE, link="", data=b""):
        i = tarfile.TarInfo(name); i.type = kind; i.linkname = link; i.size = len(data)
        t.addfile(i, io.BytesIO(data))
    add("Dockerfile", data=b"FROM scratch\nCOPY . /all/\n")
    add("../escape", data=b"x")
P
check_fails "an archive that climbs out" 1 'escapes the root' sh -c \
    "'$SHALE' build -q - < '$T/evil.tar'"
cp "$T/ctx.tar" "$web/ctx.tar"; touch -d @1500000000 "$web/ctx.tar"
check "a URL of an archive" into "$http/ctx.tar"
check "is unpacked" equal "$(tree_of "$o/all")" "$wanted"
printf 'FROM scratch\nCOPY . /all/\n' > "$web/only"
check "a URL of a Dockerfile" into -f ignored "$http/only"
check "has itself as the context" equal "$(tree_of "$o/all")" context
check "a Dockerfile by URL" into -f "$http/only" "$ctx/d"
check "with a local context" equal "$(tree_of "$o/all")" b
mkdir -p "$T/lower" && printf 'FROM scratch\nCOPY . /l/\n' > "$T/lower/dockerfile"
check "a lower-case dockerfile" into "$T/lower"
check "also when named in full" into -f "$T/lower/Dockerfile" "$T/lower"
check "a repository" into "$repo#light"
check "with what .dockerignore names, without .git" equal \
    "$(cat "$o/all/ignored/kept.txt")$(ls -d "$o/all/.git" 2>/dev/null)" kept
check "a part of it" into "$repo#light:sub"
check "is the whole context" equal "$(tree_of "$o/sub")" "Dockerfile
dir
dir/deep.txt
link"
check "with .git on request" into --build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1 "$repo#main"
check "it is that commit" equal "$(git -C "$o/all" -c safe.directory='*' rev-parse HEAD)" "$second"
check "its .git is whole" git -C "$o/all" -c safe.directory='*' fsck --full
check "twice" sh -c "'$SHALE' build --progress plain -o '$o' '$repo#light' > '$T/last.log' 2>&1"
check "is cached" equal "$(grep -c ' CACHED$' "$T/last.log")" 2

# --- SOURCE_DATE_EPOCH --------------------------------------------------------------------------
check "the epoch of a repository" sh -c \
    "'$SHALE' build -q --build-arg SOURCE_DATE_EPOCH=context -t epoch:git '$repo'"
check "is the commit's time" contains "$("$SHALE" inspect epoch:git)" "2020-09-13T12:26:40Z"
check "the epoch of an archive" sh -c \
    "'$SHALE' build -q --build-arg SOURCE_DATE_EPOCH=context -t epoch:http '$http/ctx.tar'"
check "is Last-Modified" contains "$("$SHALE" inspect epoch:http)" "2017-07-14T02:40:00Z"
stage="FROM scratch AS when\nARG F=ctx.tar\nADD $http/\$F /\n"
stage="${stage}FROM scratch\nADD $http/file.txt /\n"
check "the epoch of a stage" files "$T/out" "$stage" --build-arg SOURCE_DATE_EPOCH=when
check "clamps times" equal "$(stat -c %Y "$T/out/file.txt")" 1500000000
check "as a default in the Dockerfile" files "$T/out" "ARG SOURCE_DATE_EPOCH=1400000000\n$stage"
check "clamps them, too" equal "$(stat -c %Y "$T/out/file.txt")" 1400000000
check "unless the command line says otherwise" files "$T/out" \
    "ARG SOURCE_DATE_EPOCH=1400000000\n$stage" --build-arg SOURCE_DATE_EPOCH=1300000000
check "which counts" equal "$(stat -c %Y "$T/out/file.txt")" 1300000000
tar -C "$ctx" -c --mtime=@1200000000 -f "$web/old.tar" .
check "of an archive without Last-Modified" "$SHALE" build -q -t epoch:old \
    --build-arg SOURCE_DATE_EPOCH=context "$http/plain/old.tar"
check "the newest file counts" contains "$("$SHALE" inspect epoch:old)" "2008-01-10T21:20:00Z"
check "also of one that has a name" over "ADD $http/file.txt /" \
    --build-context "when=$http/plain/old.tar" --build-arg SOURCE_DATE_EPOCH=when
check "in its context" equal "$(stat -c %Y "$o/file.txt")" 1200000000
touch -d @1100000000 "$web/old.tar"
check "or when the server says so" over "ADD $http/file.txt /" \
    --build-context "when=$http/old.tar" --build-arg SOURCE_DATE_EPOCH=when
check "the server's time" equal "$(stat -c %Y "$o/file.txt")" 1100000000
check "a directory has no time" into "$ctx/d" -f "$web/only" --build-arg SOURCE_DATE_EPOCH=context
check "so nothing is clamped" equal "$(stat -c %Y "$o/all/b")" "$(stat -c %Y "$ctx/d/b")"
check "unless it is reset" files "$T/out" "ARG SOURCE_DATE_EPOCH=1400000000\n$stage" --build-arg \
    SOURCE_DATE_EPOCH=
check_fails "a name of nothing" 1 "invalid SOURCE_DATE_EPOCH: nobody" fails "$stage" --build-arg \
    SOURCE_DATE_EPOCH=nobody
check_fails "a stage that does more" 1 "does not meet source-only requirements" \
    fails "FROM scratch AS when\nWORKDIR /x\nFROM scratch\n" --build-arg SOURCE_DATE_EPOCH=when

# --- named contexts -----------------------------------------------------------------------------
mkdir -p "$T/named/deep"
echo n > "$T/named/n"; echo secret > "$T/named/hidden"; echo x > "$T/named/deep/x"
echo hidden > "$T/named/.dockerignore"
check "a directory for --from" over "COPY --from=docker.io/library/named:latest . /n/" \
    --build-context named="$T/named"
check "has its own .dockerignore" equal "$(tree_of "$o/n")" ".dockerignore
deep
deep/x
n"
check "and a vertex" grep -q '\[context named\] load from client' "$T/last.log"
check "a directory for FROM" files "$o" "FROM named\nCOPY --from=named n /again\n" \
    --build-context named="$T/named"
check "is the root" equal "$(tree_of "$o")" ".dockerignore
again
deep
deep/x
n"
printf 'FROM scratch AS base\nCOPY nothing /\nFROM base\nCOPY --from=base n /m\n' \
    > "$T/Dockerfile.replaced"
check "a stage may be replaced" into \
    -f "$T/Dockerfile.replaced" --build-context base="$T/named" "$T/empty"
check "wherever it is used" equal "$(cat "$o/n" "$o/m")" "n
n"
check "what nobody uses is not looked at" over "ADD $http/file.txt /" \
    --build-context broken=docker-image://127.0.0.1:1/x
check "the target platform's goes first" files "$o" "FROM named\n" \
    --build-context "named=$T/empty" \
    --build-context "named::linux/$(dpkg --print-architecture)=$T/named"
check "it did" equal "$(cat "$o/n")" n
check "a repository" over "COPY --from=src one.txt /" --build-context "src=$repo#light"
check "gives its files" equal "$(tree_of "$o")" one.txt
check "a URL" over "COPY --from=src / /f/" --build-context "src=$http/ctx.tar"
check "is one file" cmp "$o/f/context" "$T/ctx.tar"
check "an image of the store" sh -c \
    "printf 'FROM scratch\nENV A=from-image\nLABEL l=1\nCOPY n /\n' |
    '$SHALE' build -q -t context-image:1 -f - '$T/named'"
printf 'FROM base\nCOPY --from=base n /m\n' > "$T/Dockerfile.image"
with_base() {
    "$SHALE" build -q -f "$T/Dockerfile.image" --build-context "base=$1" -t based:1 "$T/empty"
}
check "serves as a base" with_base docker-image://context-image:1
check "with its config" contains "$("$SHALE" inspect based:1)" A=from-image
check "scratch is an image, too" files "$o" "FROM base\nADD $http/file.txt /\n" --build-context \
    base=docker-image://scratch
check "an image as a layout" "$SHALE" build -q -f "$T/Dockerfile.image" \
    --build-context base=docker-image://context-image:1 \
    -o type=oci,tar=false,name=x:v7,dest="$T/layout" "$T/empty"
digest=$(jq -r '.manifests[0].digest' "$T/layout/index.json")
for reference in "$T/layout" "$T/layout:v7" "$T/layout@$digest"; do
    (export SHALE_ROOT=$T/other-store
     with_base "oci-layout://$reference" && "$SHALE" cat based:1:/m) > "$T/layout.out" 2>&1
    check "oci-layout://${reference#"$T/"} in an empty store" equal "$(tail -1 "$T/layout.out")" n
    rm -rf "$T/other-store"
done
check_fails "a layout without that tag" 1 'no image "no"; there are' with_base \
    "oci-layout://$T/layout:no"
check_fails "but for a directory that is not there" 1 "build context x '/nowhere': No such file" \
    fails "FROM scratch\n" --build-context x=/nowhere
check_fails "a file in place of a directory" 1 'passwd" is not a directory' \
    fails "COPY --from=x / /" --build-context x=/etc/passwd
check_fails "a name that is none" 1 'invalid build context "A B=' fails "FROM scratch\n" \
    --build-context "A B=$T"

# --- secrets, and mounts of RUN ------------------------------------------------------------------
export token='open sesame' header='Bearer open sesame'
check "a token for one host" over "ADD $http/private/file.txt /f" \
    --secret "id=HTTP_AUTH_TOKEN_${http#http://},env=token"
check "is sent" equal "$(cat "$o/f")" changed
check "as a header too" over "ADD $http/private/only /f" \
    --secret "id=HTTP_AUTH_HEADER_${http#http://},env=header"
check_fails "without it there is nothing" 1 "invalid response status 401" \
    fails "ADD $http/private/ctx.tar /f"

busybox=$(command -v busybox) || skip_rest=1
[ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip_rest=1
[ -z "${skip_rest:-}" ] || exit
mkdir "$T/bb" && cp "$busybox" "$T/bb/sh"
run="COPY --from=bb sh /bin/sh\nRUN"
check "RUN mounts a directory" over \
    "$run --mount=from=named,target=/m --mount=from=src,target=/s cat /m/n /s/one.txt > /got" \
    --build-context "bb=$T/bb" --build-context "named=$T/named" --build-context "src=$repo#light"
check "and a repository" equal "$(cat "$o/got")" "n
one"
printf "FROM scratch\n$run --mount=target=/c cat /c/one.txt > /got\n" > "$T/Dockerfile.mount"
check "RUN mounts a context that is a repository" into -f "$T/Dockerfile.mount" \
    --build-context "bb=$T/bb" "$repo#light"
check "as it is" equal "$(cat "$o/got")" one

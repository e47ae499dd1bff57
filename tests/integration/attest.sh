#!/usr/bin/env bash
# Statements about results, as other programs find them: skopeo in a registry, docker in an archive,
# jq in files. Commands, secrets, git repositories, downloads and a scanner image are here; what
# needs none of them is in the unit tests.
. "$(dirname "$0")/../support/harness.sh"
. "$(dirname "$0")/../support/servers.sh"
needs_containers
for tool in jq skopeo docker-registry git python3; do
    command -v $tool > /dev/null || skip "needs $tool"
done
[ -x "$(git --exec-path)/git-daemon" ] || skip "needs git daemon"
unset SSH_AUTH_SOCK http_proxy https_proxy HTTP_PROXY HTTPS_PROXY 2>/dev/null || true
export HOME=$T TZ=UTC0 GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$T/gitconfig
here=$(cd "$(dirname "$0")" && pwd)

ctx=$T/ctx
o=$T/out
mkdir -p "$ctx" "$T/web" "$T/git"
start_web_and_git "$T/web" "$T/git"
registry=$("$here/../../tools/dev" registry start "$T/registry") || exit 1
on_exit="\"$here/../../tools/dev\" registry stop \"$T/registry\"; $on_exit"
cp "$busybox" "$ctx/busybox"
cat > "$T/base" <<'D'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
D
# dockerfile NAME: the stages that standard input adds to the base.
dockerfile() { cat "$T/base" - > "$T/$1.Dockerfile"; }
build() {  # NAME FLAG...
    local code=0
    "$SHALE" build --progress plain -f "$T/$1.Dockerfile" "${@:2}" "$ctx" > "$T/last.log" 2>&1 ||
        code=$?
    cat "$T/last.log"
    return "$code"
}
said() { "$SHALE" inspect --format "$1" "$2" | jq -r "$3"; }  # KIND IMAGE FILTER

# --- what is said, and what is not ---------------------------------------------------------------
dockerfile app <<'D'
FROM base
ARG WHO=nobody
RUN --mount=type=secret,id=key --mount=type=secret,id=other,required=false \
    cat /run/secrets/key > /dev/null && echo $WHO > /who
RUN --network=none true
D
printf 'hush-hush-5309' > "$T/key"
check "an image with provenance" build app -t app --provenance=true --build-arg WHO=me \
    --secret "id=key,src=$T/key"
check "lists the secrets that commands were lent" equal "$(said provenance app \
    '.buildDefinition.externalParameters.request.secrets | map(.id) | join(" ")')" "key other"
check "and whether they had to be there" equal "$(said provenance app \
    '.buildDefinition.externalParameters.request.secrets[1].optional')" true
check "but never what they are" equal "$(grep -rl hush-hush-5309 "$SHALE_ROOT" | wc -l)" 0
dockerfile agent <<'D'
FROM base
RUN --mount=type=ssh true
D
check "a command that may be lent an agent" build agent -t agent --provenance=true
check "so are agents" equal "$(said provenance agent \
    '.buildDefinition.externalParameters.request.ssh | map(.id, .optional) | map(tostring) |
     join(" ")')" "default true"
check "it has the arguments" equal "$(said provenance app \
    '.buildDefinition.externalParameters.request.args["build-arg:WHO"]')" me
check "every command" equal "$(said provenance app \
    '[.buildDefinition.internalParameters.buildConfig.steps[] | select(.op.exec)] | length')" 3
check "what it may do on the network" equal "$(said provenance app \
    '[.buildDefinition.internalParameters.buildConfig.steps[].op.exec.network // empty] | last')" \
    none
check "and the lines of each" equal "$(said provenance app \
    '[.runDetails.metadata.buildkit_metadata.source.locations[].locations[].ranges[].start.line] |
     sort | map(tostring) | join(" ")')" "2 3 6 8"
check "it is not hermetic" equal "$(said provenance app .runDetails.metadata.buildkit_hermetic)" \
    false
printf 'FROM scratch\nCOPY busybox /b\n' > "$T/annotated.Dockerfile"
check "annotations of the index that comes of it" build annotated -t annotated \
    --provenance=true --annotation index:org.example.a=b
check "the index has its annotation" sh -c "cat '$SHALE_ROOT'/blobs/sha256/* 2>/dev/null |
    grep -aq '\"annotations\":{\"org.example.a\":\"b\"}'"
check_fails "without one there is none" 1 "index annotations" \
    build annotated -t annotated --annotation index:a=b
check "the small form" build app -t app --provenance=mode=min --build-arg WHO=me \
    --secret "id=key,src=$T/key"
check "says none of that" equal "$(said provenance app \
    '[.. | strings | select(test("WHO|key|RUN"))] | length')" 0
check "without attestations an image is one" build app -t bare --secret "id=key,src=$T/key" \
    --provenance=false --sbom=false
check "and has none" equal "$("$SHALE" inspect bare | jq 'has("attestations")')" false
check_fails "asking for what is not there says how to make it" 1 "shale build --sbom true" \
    "$SHALE" inspect --format sbom bare

# --- git and downloads ---------------------------------------------------------------------------
repository() {  # FORMAT
    rm -rf "$T/work"
    git init -q --object-format="$1" -b main "$T/work" &&
        echo hello > "$T/work/file" &&
        printf 'FROM scratch\nCOPY file /\n' > "$T/work/Dockerfile" &&
        git -C "$T/work" add . &&
        git -C "$T/work" -c user.name=a -c user.email=a@b.test commit -qm one &&
        git clone -q --bare "$T/work" "$T/git/$1.git" &&
        git -C "$T/work" rev-parse HEAD > "$T/commit"
}
echo data > "$T/web/data"
port=$(cat "$T/http.port")
for format in sha1 sha256; do
    url=$daemon/$format.git
    check "a repository of $format" repository $format
    check "as a context" "$SHALE" build -t git --provenance=mode=min "$url#main"
    check "is what the build was configured by ($format)" equal "$(said provenance git \
        '.buildDefinition.externalParameters.configSource |
         [.uri, .path, .digest[]] | join(" ")')" \
        "$url#main Dockerfile $(cat "$T/commit")"
    check "and what it depends on ($format)" equal "$(said provenance git \
        ".buildDefinition.resolvedDependencies[0].digest.$format")" "$(cat "$T/commit")"
    check "which is all there is ($format)" equal "$(said provenance git \
        '.runDetails.metadata | [.buildkit_completeness.resolvedDependencies, .buildkit_hermetic] |
         map(tostring) | join(" ")')" "true true"
done
dockerfile fetch <<D
FROM scratch
ADD http://user:pass@127.0.0.1:$port/data /data
ADD http://user:pass@127.0.0.1:$port/data /again
D
check "a download" build fetch -t fetch --provenance=mode=min
check "is listed once, without its password" equal "$(said provenance fetch \
    '.buildDefinition.resolvedDependencies |
     map([.uri, .digest.sha256] | join(" ")) | join(";")')" \
    "http://xxxxx:xxxxx@127.0.0.1:$port/data $(sha256sum < "$T/web/data" | cut -d ' ' -f 1)"

# --- bases of several platforms ------------------------------------------------------------------
cat > "$T/bases.Dockerfile" <<D
FROM $registry/base:1 AS amd64
FROM $registry/base:2 AS arm64
FROM \$TARGETARCH
D
printf 'FROM scratch\nENV A=b\n' > "$T/plain.Dockerfile"
check "a base for one" build plain -t "$registry/base:1" --push --platform linux/amd64
check "a base for another" build plain -t "$registry/base:2" --push --platform linux/arm64
check "an image on both" build bases -t both --provenance=mode=min \
    --platform linux/amd64,linux/arm64
check "lists for each the base it stands on, and not the other" equal "$("$SHALE" inspect both |
    jq -r '[.attestations[] | .platform + " " + (.statement.predicate.buildDefinition |
            .resolvedDependencies | map(.uri) | join(","))] | join(";")')" \
    "linux/amd64 pkg:docker/$registry/base@1?platform=linux%2Famd64;$(:
    )linux/arm64 pkg:docker/$registry/base@2?platform=linux%2Farm64"

# --- as others see it ----------------------------------------------------------------------------
check "pushed with provenance and packages" build app -t "$registry/app:1" --push --sbom=true \
    --provenance=mode=max --secret "id=key,src=$T/key"
check "skopeo finds the image" skopeo inspect --tls-verify=false "docker://$registry/app:1"
check "and copies all of it" skopeo copy --all --src-tls-verify=false \
    "docker://$registry/app:1" "oci:$T/copied:app"
blob() { cat "$T/copied/blobs/${1/://}"; }
index=$(blob "$(jq -r .manifests[0].digest "$T/copied/index.json")")
check "the index lists the image and what is said about it" equal \
    "$(jq -r '.manifests | map(.platform.os) | join(" ")' <<< "$index")" "linux unknown"
about=$(blob "$(jq -r .manifests[1].digest <<< "$index")")
check "in two statements" equal \
    "$(jq -r '.layers | map(.annotations["in-toto.io/predicate-type"]) | join(" ")' <<< "$about")" \
    "https://spdx.dev/Document https://slsa.dev/provenance/v1"
check "about the image" equal "$(blob "$(jq -r '.layers[0].digest' <<< "$about")" |
    jq -r '.subject[0].digest.sha256')" "$(jq -r '.manifests[0].digest' <<< "$index" | cut -d: -f2)"
check "a store takes the image and leaves the rest" env SHALE_ROOT="$T/other" "$SHALE" pull \
    "$registry/app:1"
check "which runs" equal "$(SHALE_ROOT=$T/other "$SHALE" cat "$registry/app:1:/who")" nobody
rm -rf "${T:?}/other"
check "as an archive" build app -t app --sbom=true -o "type=oci,dest=$T/app.tar" \
    --secret "id=key,src=$T/key"
check "that skopeo reads" skopeo inspect "oci-archive:$T/app.tar"

# --- files ---------------------------------------------------------------------------------------
check "a directory with provenance" build app -o "$o" --provenance=true --sbom=true \
    --secret "id=key,src=$T/key"
check "has it as a file" equal "$(jq -r .predicateType "$o/provenance.json")" \
    https://slsa.dev/provenance/v1
check "about every file" equal \
    "$(jq -r '.subject[] | select(.name == "who").digest.sha256' "$o/provenance.json")" \
    "$(sha256sum < "$o/who" | cut -d ' ' -f 1)"
check "beside the packages" equal "$(jq -r .predicate.spdxVersion "$o/sbom.spdx.json")" SPDX-2.3
check "a tar with provenance" build app -o "type=tar,dest=$T/out.tar" --provenance=true \
    --secret "id=key,src=$T/key"
check "has the file, too" tar -tf "$T/out.tar" provenance.json

# --- a scanner -----------------------------------------------------------------------------------
cat > "$ctx/scan" <<'S'
#!/bin/sh
set -e
emit() {
    printf '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"%s","subject":[],' "$TYPE"
    printf '"predicate":{"name":"%s","files":"%s","mode":"%s"}}' "$1" "$(ls "$2" | tr '\n' ' ')" \
        "$BUILDKIT_SCAN_MODE"
}
touch "$BUILDKIT_SCAN_SOURCE/x" 2> /dev/null && exit 3
core=$(basename "$BUILDKIT_SCAN_SOURCE")
emit "$core" "$BUILDKIT_SCAN_SOURCE" > "$BUILDKIT_SCAN_DESTINATION/$core.spdx.json"
for extra in ${BUILDKIT_SCAN_SOURCE_EXTRAS:+"$BUILDKIT_SCAN_SOURCE_EXTRAS"/*}; do
    name=$(basename "$extra")
    emit "$name" "$extra" > "$BUILDKIT_SCAN_DESTINATION/$name.spdx.json"
done
S
chmod +x "$ctx/scan"
for type in https://spdx.dev/Document https://elsewhere.test/; do
    dockerfile scanner <<D
FROM base
COPY scan /bin/scan
ENV TYPE=$type
ENTRYPOINT ["/bin/sh", "/bin/scan"]
D
    tag=$([ "$type" = https://spdx.dev/Document ] && echo good || echo strange)
    check "a scanner image ($tag)" build scanner -t "scanner:$tag"
done
dockerfile scanned <<'D'
FROM base AS helper
ARG BUILDKIT_SBOM_SCAN_STAGE=true
RUN echo > /helped
FROM scratch
COPY --from=helper /helped /result
D
names() { "$SHALE" inspect scanned | jq -r '[.attestations[].statement.predicate | .name + ":" +
    .files + .mode] | sort | join(";")'; }
check "is run over the result" build scanned -t scanned \
    --sbom=generator=scanner:good,MODE=quick --build-arg BUILDKIT_SBOM_SCAN_STAGE=false
check "which it sees, and is told its options" equal "$(names)" "sbom:result quick"
check "and over other stages and the context" build scanned -t scanned \
    --sbom=generator=scanner:good --build-arg BUILDKIT_SBOM_SCAN_CONTEXT=true
check "if they ask for it" equal "$(names)" \
    "sbom-context:busybox ;sbom-helper:bin helped ;sbom:result "
check "scanning is a step that is cached" grep -A1 'generating sbom' "$T/last.log"
check "what was scanned before" build scanned -t scanned --sbom=generator=scanner:good \
    --build-arg BUILDKIT_SBOM_SCAN_CONTEXT=true
check "is not scanned again" equal \
    "$(sed -n 's/^#\([0-9]*\) .*generating sbom.*/\1/p' "$T/last.log" |
    head -1 | xargs -I{} grep -c '^#{} CACHED' "$T/last.log")" 1
check_fails "a scanner that says something else" 1 "not https://spdx.dev/Document" \
    build scanned -t scanned --sbom=generator=scanner:strange
dockerfile idle <<'D'
FROM base
ENTRYPOINT ["/bin/true"]
D
check "a scanner that does nothing" build idle -t scanner:idle
check_fails "is told so" 1 "wrote no /run/out" build scanned -t x --sbom=generator=scanner:idle

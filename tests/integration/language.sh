#!/usr/bin/env bash
# The Dockerfile language from the command line: how arguments and commands are inherited, what the
# checks find and how they exit, what a mistake looks like, and the formatter. Nothing here runs a
# container or asks a registry.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for a private mount namespace"
ctx=$T/ctx
mkdir -p "$ctx/sub"
echo data > "$ctx/f"
echo more > "$ctx/sub/g"

# build_text TEXT [FLAG...]: builds the text (with \n for line ends) under the name "row".
build_text() {
    printf '%b' "$1" > "$T/Dockerfile.row"
    shift
    "$SHALE" build --progress plain -t row -f "$T/Dockerfile.row" "$@" "$ctx"
}
# member KEY: of the config of "row", as compact JSON; null if it is absent.
member() {
    "$SHALE" inspect row | python3 -c '
import json, sys
def find(node, key):
    if isinstance(node, dict):
        if key in node: return node[key]
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        found = find(child, key)
        if found is not None: return found
    return None
print(json.dumps(find(json.load(sys.stdin), sys.argv[1])))' "$1"
}

# --- ARG and ENV: what a later instruction sees --------------------------------------------------
# Every word of an instruction and every RUN sees the same variables, so a label tells.
resolves() {  # WHAT WANTED TEXT [FLAG...]
    local what=$1 wanted=$2 text=$3
    shift 3
    check "resolution: $what builds" build_text "$text\nLABEL seen=\"\${X-unset}\"\n" "$@"
    check "resolution: $what" equal "$(member seen)" "\"$wanted\""
}
resolves "global default" 1 'ARG X=1\nFROM scratch\nARG X'
resolves "command line over global default" 2 'ARG X=1\nFROM scratch\nARG X' --build-arg X=2
resolves "global is not in an undeclared stage" unset 'ARG X=1\nFROM scratch'
resolves "stage default hides the global" 3 'ARG X=1\nFROM scratch\nARG X=3'
resolves "bare ARG is unset" unset 'FROM scratch\nARG X'
resolves "empty default is set" '' 'FROM scratch\nARG X='
resolves "ENV after ARG wins" 2 'FROM scratch\nARG X=1\nENV X=2' --build-arg X=9
check "resolution: ENV after ARG is in the image" contains "$(member Env)" '"X=2"'
resolves "ARG after ENV wins in the build" 1 'FROM scratch\nENV X=2\nARG X=1'
check "resolution: ARG after ENV leaves the image alone" contains "$(member Env)" '"X=2"'
resolves "default for an empty argument" d 'FROM scratch\nARG X\nENV X=${X:-d}' --build-arg X=
resolves "arguments reach stages on top" 1 'FROM scratch AS base\nARG X=1\nFROM base'
resolves "TARGETARCH" arm64 'FROM scratch\nARG TARGETARCH\nENV X=$TARGETARCH' \
    --platform linux/arm64
resolves "undeclared build argument" unset 'FROM scratch' --build-arg X=1

# --- CMD and ENTRYPOINT: what is inherited -------------------------------------------------------
inherits() {  # WHAT CMD ENTRYPOINT TEXT
    check "inheritance: $1 builds" build_text "$4"
    check "inheritance: $1: Cmd" equal "$(member Cmd)" "$2"
    check "inheritance: $1: Entrypoint" equal "$(member Entrypoint)" "$3"
}
base='FROM scratch AS base\nCMD ["a"]\nFROM base\n'
inherits "ENTRYPOINT clears an inherited CMD" null '["e"]' "${base}ENTRYPOINT [\"e\"]\n"
inherits "CMD before ENTRYPOINT stays" '["c"]' '["e"]' "${base}CMD [\"c\"]\nENTRYPOINT [\"e\"]\n"
inherits "CMD after ENTRYPOINT stays" '["c"]' '["e"]' "${base}ENTRYPOINT [\"e\"]\nCMD [\"c\"]\n"
inherits "CMD keeps an inherited ENTRYPOINT" '["c"]' '["e"]' \
    'FROM scratch AS base\nENTRYPOINT ["e"]\nFROM base\nCMD ["c"]\n'
inherits "empty ENTRYPOINT clears both" null null \
    'FROM scratch AS base\nENTRYPOINT ["e"]\nCMD ["a"]\nFROM base\nENTRYPOINT []\n'
inherits "shell form" '["/bin/sh", "-c", "foo bar"]' null 'FROM scratch\nCMD foo bar\n'

# --- warnings in a build -------------------------------------------------------------------------
check_fails "a build warns and succeeds" 0 \
    "StageNameCasing: Stage name 'Final' should be lowercase (line 1)" \
    build_text 'FROM scratch AS Final\nCOPY f /\n'
check_fails "undefined variable" 0 \
    "Usage of undefined variable '\$DIR_ASSET' (did you mean \$DIR_ASSETS?) (line 3)" \
    build_text 'FROM scratch\nARG DIR_ASSETS=f\nLABEL a=$DIR_ASSET\n'
check "modifiers and RUN text are not undefined variables" sh -c "
    printf 'FROM scratch\nLABEL a=\${U:-x} b=\\\\\$V\n' > '$T/Dockerfile.ok' &&
    '$SHALE' build --check -f '$T/Dockerfile.ok' '$ctx'"
check_fails "a stage that is not reached is not judged" 0 '0 of 0 steps cached' \
    build_text 'FROM scratch AS a\nLABEL k v\nFROM scratch\nLABEL a=b\n'
check "and so there is no warning" sh -c "! grep -q LegacyKeyValue '$T/check.log'"
violation='lint violation found for rules: FromAsCasing'
check_fails "error=true fails the build in the end" 1 "$violation" \
    build_text '# check=error=true\nFROM scratch as a\n'
check_fails "BUILDKIT_DOCKERFILE_CHECK replaces the directive" 1 "$violation" \
    build_text '# check=skip=all\nFROM scratch as a\n' \
    --build-arg BUILDKIT_DOCKERFILE_CHECK=error=true
text='# check=error=true\nFROM scratch\n# check=skip=SecretsUsedInArgOrEnv it is public\n'
check "a comment silences one instruction" build_text "${text}ENV TOKEN=x\n"
check_fails "an ignored source is said to be one" 1 \
    'CopyIgnoredFile: Attempting to Copy file "f" that is excluded by .dockerignore (line 2)' \
    sh -c "cp -r '$ctx' '$T/ign' && echo f > '$T/ign/.dockerignore' &&
           printf 'FROM scratch\nCOPY f /\n' > '$T/ign/Dockerfile' &&
           '$SHALE' build --progress plain '$T/ign'"

check_fails "another frontend is said not to be used" 0 'syntax a/b:1 x is not implemented' \
    build_text '# syntax=a/b:1 x\nFROM scratch\nLABEL a=b\n'
check "Docker's own is" sh -c "'$SHALE' build -q - > '$T/check.log' 2>&1 <<D
# syntax=docker/dockerfile:1.7-labs
FROM scratch
LABEL a=b
D
! grep -q syntax '$T/check.log'"

# --- files of strangers ---------------------------------------------------------------------------
foreign=$T/foreign
mkdir "$foreign"
echo "topsecret42 word" > "$T/victim"
ln -s "$T/victim" "$foreign/Dockerfile"
check_fails "a Dockerfile that links out of the context is not read" 1 "which is not followed" \
    "$SHALE" build "$foreign"
"$SHALE" build "$foreign" > "$T/leak" 2>&1
ln -s ../victim "$foreign/other"
"$SHALE" build -f "$foreign/other" "$foreign" >> "$T/leak" 2>&1
echo "FROM scratch" > "$foreign/Dockerfile.web"
ln -s "$T/victim" "$foreign/.dockerignore"
"$SHALE" build -f "$foreign/Dockerfile.web" "$foreign" >> "$T/leak" 2>&1
check "and nothing of it is shown" sh -c "! grep -q topsecret '$T/leak'"
"$SHALE" build --check "$foreign" >> "$T/leak" 2>&1
rm "$foreign/.dockerignore"
"$SHALE" build --check "$foreign" >> "$T/leak" 2>&1
"$SHALE" build --call outline "$foreign" >> "$T/leak" 2>&1
check "nor by a check" sh -c "! grep -q topsecret '$T/leak'"
check "each says why" [ "$(grep -c 'not followed' "$T/leak")" -ge 6 ]
rm "$foreign/Dockerfile"
ln -s Dockerfile.web "$foreign/Dockerfile"
check_fails "one that links within is" 0 "Check complete" "$SHALE" build --check "$foreign"
mkfifo "$foreign/.dockerignore"
check_fails "a FIFO is no ignore file, and is not waited for" 1 "not a regular file" \
    timeout 20 "$SHALE" build "$foreign"

# --- --check and --call --------------------------------------------------------------------------
call() {  # TEXT FLAG...
    printf '%b' "$1" > "$T/Dockerfile.call"
    shift
    "$SHALE" build -f "$T/Dockerfile.call" "$@" "$ctx"
}
check_fails "--check of a clean file" 0 'Check complete, no warnings found.' \
    call 'FROM scratch\nCOPY f /\n' --check
check_fails "--check finds in all stages" 1 'Check complete, 2 warnings have been found!' \
    call 'FROM scratch AS a\nLABEL k v\nFROM scratch AS B\n' --check
check_fails "--check --target finds in the stages it needs" 1 '1 warning has been found' \
    call 'FROM scratch AS a\nLABEL k v\nFROM scratch AS B\n' --check --target b
check_fails "--check shows the place" 1 '     |                     ^' \
    call 'FROM scratch AS B\n' --check
check_fails "--check names the page of a rule" 1 \
    'WorkdirRelativePath - https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/' \
    call 'FROM scratch\nWORKDIR app\n' --check
check_fails "--check reports what a build would stop at" 1 \
    'unknown flag: --foo (did you mean from?)' \
    call 'FROM scratch\nCOPY --foo=x f /\n' --call check
check_fails "FROM with an argument nobody declared" 1 "FROM argument 'BAS' is not declared" \
    call 'FROM scratch${BAS}\n' --check
check_fails "default that makes no image name" 1 \
    'Default value for ARG $IMAGE results in empty or invalid base image name' \
    call 'ARG IMAGE\nFROM $IMAGE\n' --check --build-arg IMAGE=scratch
check_fails "--check reports what an instruction would be refused for" 1 'invalid signal: FOO' \
    call 'FROM scratch\nSTOPSIGNAL FOO\nEXPOSE abc\n' --check
check_fails "an unknown base silences what needs it" 0 'could not be read' \
    call 'FROM localhost:1/none\nLABEL a=$B\n' --check
json() {  # TEXT METHOD EXPRESSION: of the answer j
    call "$1" --call "$2,format=json" |
        python3 -c "import json, sys; j = json.load(sys.stdin); print($3)"
}
check "--call check as JSON" equal "$(json 'FROM scratch AS B\n' check \
    'j["warnings"][0]["ruleName"], j["warnings"][0]["location"]["ranges"][0]["start"]["line"]')" \
    "StageNameCasing 1"
check "a problem has its line in JSON, too" equal \
    "$(json 'FROM scratch\nFROM scratch AS a\nCOPY --from=a /x /y\n' check \
    'j["buildError"]["location"]["ranges"][0]["start"]["line"]')" 3
text='# base the base\nFROM scratch AS base\nFROM base AS dev\n'
check "--call targets" equal "$(json "$text" targets \
    '[(t["name"], t["base"], t.get("description"), t.get("default")) for t in j["targets"]]')" \
    "[('base', 'scratch', 'the base', None), ('dev', 'base', None, True)]"
text='ARG U=1\n# V the version\nARG V=2\nFROM scratch AS a\nARG V\nARG W=w\n'
text="${text}RUN --mount=type=secret,id=s,required --mount=type=ssh x\n"
check "--call outline" equal "$(json "$text" outline \
    '[(a["name"], a.get("value"), a.get("description")) for a in j["args"]]')" \
    "[('V', '2', 'the version'), ('W', 'w', None)]"
check "--call outline lists secrets" equal "$(json "$text" outline \
    '[s["name"] for s in j["secrets"] + j["ssh"]]')" "['s', 'default']"
check "--call subrequests.describe" contains \
    "$(call 'FROM scratch\n' --call subrequests.describe)" frontend.outline
check_fails "--call of something else" 1 \
    'unsupported request frontend.outlin (did you mean outline?)' \
    call 'FROM scratch\n' --call outlin

# --- mistakes ------------------------------------------------------------------------------------
text='FROM scratch\nFNTRYPOINT x\nRUN --mont=x y\n'
check_fails "all mistakes at once" 1 'Dockerfile.row:3:5' build_text "$text"
check_fails "the first too" 1 'unknown instruction: FNTRYPOINT (did you mean ENTRYPOINT?)' \
    build_text "$text"
check_fails "with carets" 1 '     |         ^^^^^^^^' build_text "$text"
check_fails "an expansion that fails points at its word" 1 '     |           ^^^^^^^' \
    build_text 'FROM scratch\nENV a=${b:=c}\n'
check_fails "a mistake of syntax in a stage that is not reached counts" 1 'unknown flag: --boo' \
    build_text 'FROM scratch AS a\nUSER --boo x\nFROM scratch\nLABEL a=b\n'
check "an expansion in a stage that is not reached does not" \
    build_text 'FROM scratch AS a\nENV a=${b:=c}\nFROM scratch\nLABEL a=b\n'

# --- the formatter -------------------------------------------------------------------------------
printf 'from  scratch  as a\ncopy   f \\\n  /x\n' > "$T/Dockerfile.fmt"
printf 'FROM scratch AS a\nCOPY f \\\n    /x\n' > "$T/wanted"
fmt() { "$SHALE" dockerfile fmt "$@"; }
check_fails "fmt --check of another form" 1 'is not in normal form' \
    fmt --check "$T/Dockerfile.fmt"
check "fmt prints" sh -c "'$SHALE' dockerfile fmt '$T/Dockerfile.fmt' | cmp - '$T/wanted'"
check "fmt --write" fmt --write "$T/Dockerfile.fmt"
check "fmt --write wrote the normal form" cmp "$T/Dockerfile.fmt" "$T/wanted"
check "fmt --check of the normal form" fmt --check "$T/Dockerfile.fmt"
check "fmt reads standard input" sh -c \
    "printf 'from a' | '$SHALE' dockerfile fmt - | grep -qx 'FROM a'"
check_fails "fmt shows mistakes" 1 ':2:1' sh -c \
    "printf 'FROM a\nFOO\n' | '$SHALE' dockerfile fmt -"
check "ast --json has places" equal "$("$SHALE" dockerfile ast --json "$T/wanted" | python3 -c '
import json, sys
copy = json.load(sys.stdin)["stages"][0]["instructions"][0]
begin = copy["operands"][1]["place"]["begin"]
print(copy["instruction"], copy["lines"]["last"], begin["column"])')" \
    "COPY 3 5"

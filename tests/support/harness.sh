# Sourced by the shell integration tests. Gives each a scratch directory with a store of its own,
# one way to check things, and a clean-up that also proves nothing was left behind.
#
#   SHALE   the program under test (first argument of the script)
#   T       scratch directory, removed at exit
#   check WHAT COMMAND...      the command must succeed
#   check_fails WHAT CODE TEXT COMMAND...  must exit with CODE and print TEXT (fixed string)
#   skip REASON                exits 77, meson's word for a skipped test
#   needs_containers           skips where a RUN of busybox cannot be; sets $busybox
#   wait_for SECONDS COMMAND...            until it succeeds; fails if it does not
set -u
SHALE=$(realpath "$1")
T=$(mktemp -d "${TMPDIR:-/tmp}/shale-test-XXXXXX")
export SHALE_ROOT=$T/store
unset BUILDKIT_PROGRESS DOCKER_DEFAULT_PLATFORM 2>/dev/null || true
unset SHALE_CONFIG NO_COLOR SOURCE_DATE_EPOCH 2>/dev/null || true
passed=0 failed=0

skip() {
    echo "SKIP: $1"
    rm -rf "$T"
    exit 77
}

needs_containers() {
    [ "$(id -u)" -eq 0 ] || skip "needs root for overlayfs and the OCI runtime"
    [ -e /dev/fuse ] || skip "needs /dev/fuse"
    busybox=$(command -v busybox) || skip "needs busybox (package busybox-static)"
}

check() {
    local what=$1
    shift
    if "$@" > "$T/check.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $what"
    else
        local code=$?
        failed=$((failed + 1))
        echo "FAIL $what (exit $code): $*"
        sed 's/^/     | /' "$T/check.log" | tail -30
    fi
}

check_fails() {
    local what=$1 want=$2 text=$3 code=0
    shift 3
    "$@" > "$T/check.log" 2>&1 || code=$?
    if [ "$code" -eq "$want" ] && { [ -z "$text" ] || grep -qF -- "$text" "$T/check.log"; }; then
        passed=$((passed + 1))
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what: exit $code (want $want), wanted to read: $text"
        sed 's/^/     | /' "$T/check.log" | tail -30
    fi
}

equal() { [ "$1" = "$2" ] || { printf 'got:    %s\nwanted: %s\n' "$1" "$2"; return 1; }; }
contains() { case "$1" in *"$2"*) ;; *) printf 'no "%s" in:\n%s\n' "$2" "$1"; return 1 ;; esac; }
not() { ! "$@"; }
wait_for() {
    local left=$(($1 * 10))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $((left -= 1)) -gt 0 ] || { echo "waited in vain for: $*"; return 1; }
        sleep 0.1
    done
}
absent() { [ ! -e "$1" ] && [ ! -L "$1" ] || { echo "$1 exists"; return 1; }; }

finish() {
    trap - EXIT
    [ -z "${on_exit:-}" ] || eval "$on_exit"
    # Ours are below our scratch directory; others' work on this machine is not our business.
    check "no mount is left behind" equal "$(grep -cF "$T" /proc/self/mountinfo)" 0
    # A run's directory is what its control groups are found by; without one there are none.
    check "no run is left behind" equal "$(ls -d "$SHALE_ROOT"/runtime/run-* 2>/dev/null)" ""
    check "no scratch is left in the store" equal "$(ls -A "$SHALE_ROOT/tmp" 2>/dev/null)" ""
    rm -rf --one-file-system "$T"
    echo "$passed passed, $failed failed"
    # With its status: a bare `exit` in a trap takes that of the command before the trap.
    [ "$failed" -eq 0 ] && exit 0
    exit 1
}
trap 'finish' EXIT
trap 'exit 130' INT TERM

#!/usr/bin/env bash
# The corpus of tests/differential: all of it against the results that were accepted, and the cases
# marked `lean:` against BuildKit itself where a dockerd starts.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root for overlayfs and the OCI runtime"
[ -e /dev/fuse ] || skip "needs /dev/fuse"
[ "$(uname -m)" = x86_64 ] || skip "what was accepted was made on x86-64"
command -v busybox > /dev/null || skip "needs busybox (package busybox-static)"

run=$(realpath "$(dirname "$0")/../differential/run.py")
code=0
TMPDIR=$T python3 "$run" --shale "$SHALE" > "$T/golden.log" 2>&1 || code=$?
grep -A 12 -e '^FAIL' -e '^Traceback' "$T/golden.log"
tail -n 3 "$T/golden.log"
[ "$code" -ne 77 ] || skip "results were accepted, not checked"
check "every case gives what was accepted" equal "$code" 0

code=0
TMPDIR=$T python3 "$run" --shale "$SHALE" --judge buildkit --lean > "$T/live.log" 2>&1 || code=$?
grep -A 12 -e '^FAIL' -e '^Traceback' "$T/live.log"
tail -n 3 "$T/live.log"
if [ "$code" -eq 3 ]; then
    echo "note: BuildKit does not work here; nothing was compared with it"
else
    check "the lean cases give what BuildKit gives" equal "$code" 0
fi

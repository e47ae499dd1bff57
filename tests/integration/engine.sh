#!/usr/bin/env bash
# The engine by itself, through the program: snapshot, diff, layer, apply. Its law: applying the
# layer of A and B to a copy of A gives B, down to modes, owners, xattrs, links, devices and times.
. "$(dirname "$0")/../support/harness.sh"
export XDG_CACHE_HOME=$T/cache
[ "$(id -u)" -eq 0 ] || skip "needs root to make owners and devices"
command -v python3 > /dev/null || skip "needs python3"
generate="$(dirname "$0")/../support/random_tree.py"
seed=${SHALE_SEED:-20261124}
echo "SHALE_SEED=$seed"

for round in 1 2 3 4 5 6 7 8; do
    a=$T/a$round b=$T/b$round c=$T/c$round
    check "round $round: trees" python3 "$generate" $((seed + round)) "$a" "$b"
    compression=$(echo zstd gzip uncompressed zstd | cut -d' ' -f$((round % 4 + 1)))
    check "round $round: layer ($compression)" \
        "$SHALE" layer "$a" "$b" -o "$T/layer" --compression "$compression"
    cp -a "$a" "$c"
    check "round $round: apply" "$SHALE" apply "$T/layer" "$c"
    check "round $round: B came out" "$SHALE" diff "$c" "$b"
    check "round $round: another snapshot of B is equal" \
        sh -c "'$SHALE' snapshot '$b' -o '$T/snap' && '$SHALE' diff '$T/snap' '$c'"
    "$SHALE" diff "$a" "$b" > "$T/changes"
    check_fails "round $round: A and B differ" 1 "" "$SHALE" diff "$a" "$b"
    check "round $round: the layer is the same again" sh -c "'$SHALE' layer '$a' '$b' \
        -o '$T/again' --compression $compression && cmp '$T/layer' '$T/again'"
    check "round $round: GNU tar reads it" sh -c "case $compression in
        zstd) tar --zstd -tf '$T/layer';; gzip) tar -tzf '$T/layer';; *) tar -tf '$T/layer';; esac"
done

check "equal trees have no difference" equal "$("$SHALE" diff "$T/a1" "$T/a1")" ""
check "diff --json is JSON" sh -c "'$SHALE' diff --json '$T/a1' '$T/b1' | python3 -m json.tool"
check "scratch is the empty tree" sh -c "'$SHALE' layer scratch '$T/a1' -o '$T/full' &&
    mkdir '$T/fresh' && '$SHALE' apply '$T/full' '$T/fresh'"
check_fails "a missing directory is trouble, not a difference" 2 "no-such" \
    "$SHALE" diff "$T/a1" "$T/no-such"

# --- damage and malice --------------------------------------------------------------------------
mkdir "$T/victim"
head -c 300 "$T/full" > "$T/cut"
check_fails "a truncated layer" 1 "" "$SHALE" apply "$T/cut" "$T/victim"
python3 - "$T" <<'P'
import io, sys, tarfile
top = sys.argv[1]
def archive(name, *members):
    with tarfile.open(f"{top}/{name}", "w") as tar:
        for path, kind, target in members:
            member = tarfile.TarInfo(path)
            member.type = kind
            member.linkname = target
            member.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"evil") if member.size else None)
archive("dotdot.tar", ("../escape", tarfile.REGTYPE, ""))
archive("hardlink.tar", ("l", tarfile.LNKTYPE, "../../etc/passwd"))
archive("symlink.tar", ("l", tarfile.SYMTYPE, "/"), ("l/escape", tarfile.REGTYPE, ""))
archive("up.tar", ("l", tarfile.SYMTYPE, "../.."), ("l/escape", tarfile.REGTYPE, ""))
P
check_fails "a member that climbs out" 1 "../escape" "$SHALE" apply "$T/dotdot.tar" "$T/victim"
check_fails "a hardlink that climbs out" 1 "etc/passwd" "$SHALE" apply "$T/hardlink.tar" "$T/victim"
"$SHALE" apply "$T/symlink.tar" "$T/victim" > /dev/null 2>&1
check "a member behind a link to / stays inside" absent /escape
rm -rf "$T/victim" && mkdir -p "$T/deep/victim"
"$SHALE" apply "$T/up.tar" "$T/deep/victim" > /dev/null 2>&1
check "a member behind a link upwards stays inside" absent "$T/escape"

#!/usr/bin/env bash
# Layers made again: whatever a store remembers of earlier layers, the blob is the one that an empty
# store gives, and other programs read it. zstd and tar judge where they are installed.
. "$(dirname "$0")/../support/harness.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root to keep owners"

ctx=$T/ctx
mkdir -p "$ctx"
python3 - "$ctx" <<'P'
import os, random, sys
rng = random.Random(1)
words = [("%x" % rng.getrandbits(40)) for _ in range(4000)]
for package in range(120):
    directory = f"{sys.argv[1]}/node_modules/p{package}/lib"
    os.makedirs(directory)
    for file in range(12):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(20, 1500)))
        open(f"{directory}/f{file}.js", "w").write(text)
open(f"{sys.argv[1]}/big.bin", "wb").write(rng.randbytes(9_000_000))
P
printf 'FROM scratch\nCOPY . /app/\n' > "$ctx/Dockerfile"
echo Dockerfile > "$ctx/.dockerignore"

build_in() { SHALE_ROOT=$T/$1 "$SHALE" build -q -t app:it "$ctx"; }
# Digests of the layers of app:it in store $1.
layers_in() {
    python3 - "$T/$1" <<'P'
import json, sys
blob = lambda d: json.load(open(f"{sys.argv[1]}/blobs/sha256/{d['digest'][7:]}"))
index = json.load(open(f"{sys.argv[1]}/index.json"))
print(" ".join(layer["digest"] for layer in blob(index["manifests"][0])["layers"]))
P
}
blob_in() { echo "$T/$1/blobs/sha256/$(layers_in "$1" | sed 's/sha256://')"; }
# A build in the store that has seen it all, and one in a store that has seen nothing.
same_as_cold() {
    build_in warm && rm -rf "$T/cold" && build_in cold &&
        equal "$(layers_in warm)" "$(layers_in cold)"
}

check "a first build succeeds" build_in warm
first=$(layers_in warm)
echo changed > "$ctx/node_modules/p60/lib/f3.js"
check "one changed file gives the layer of a cold build" same_as_cold
check "which is another layer" test "$(layers_in warm)" != "$first"

rm -r "$ctx/node_modules/p10"
echo new > "$ctx/node_modules/p20/lib/added.js"
printf 'inserted' | cat - "$ctx/big.bin" > "$T/big" && mv "$T/big" "$ctx/big.bin"
check "so do removed, added and shifted contents" same_as_cold

# Every frame of the last layer is damaged; none may be believed.
python3 - "$(blob_in warm)" <<'P'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
for at in range(5000, len(data) - 5000, 50_000):
    data[at] ^= 0xff
open(sys.argv[1], "wb").write(data)
P
echo again > "$ctx/node_modules/p70/lib/f1.js"
check "damaged frames are made again" same_as_cold

head -c 100000 /dev/urandom > "$T/warm/frame-index.db"
echo 'and again' > "$ctx/node_modules/p71/lib/f1.js"
check "so is a damaged index" same_as_cold

if command -v zstd > /dev/null; then
    listing=$(zstd -qdc "$(blob_in warm)" | tar tf - | grep -vc '/$')
    check "zstd and tar list every file" equal "$listing" \
        "$(find "$ctx" -type f ! -name Dockerfile | wc -l)"
    mkdir "$T/out"
    zstd -qdc "$(blob_in warm)" | tar xf - -C "$T/out"
    check "and extract what went in" diff -r "$ctx/node_modules" "$T/out/app/node_modules"
    check "large files included" cmp "$ctx/big.bin" "$T/out/app/big.bin"
fi

# ------------------------------------------------------------------------------------------------
# Names as long as a file system takes, and layers that go wrong.

long=$(printf 'n%.0s' $(seq 255))
mkdir "$T/a" "$T/b"
echo x > "$T/a/$long"
check "a layer removes the longest name" "$SHALE" layer "$T/a" "$T/b" -o "$T/gone"
check "apply it" "$SHALE" apply "$T/gone" "$T/a"
check "it is gone" equal "$(ls "$T/a")" ""
if busybox=$(command -v busybox) && { command -v crun || command -v runc; } > /dev/null; then
    cp "$busybox" "$T/b/busybox"
    cat > "$T/b/Dockerfile" <<D
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN >/$long
RUN mv /$long /${long%?}m
D
    check "RUNs that rename it" "$SHALE" build -q -t long "$T/b"
    check "leave an image that can be read" equal "$("$SHALE" cat "long:/${long%?}m")" ""
    check "and its layers, one by one" contains \
        "$("$SHALE" diff --lines scratch 'long#layer:4')" "A ${long%?}m"
fi

mkdir "$T/to"
echo precious > "$T/to/a"
python3 - "$T" <<'P'
import io, sys, tarfile
def write(name, *members):
    with tarfile.open(f"{sys.argv[1]}/{name}", "w") as tar:
        for member in members:
            info = tarfile.TarInfo(member)
            info.size = 5
            tar.addfile(info, io.BytesIO(b"evil\n"))
write("below.tar", "a", "a/b")
write("two.tar", "a", "c")
write("nothing.tar", "a", "d/.wh.")
P
head -c 1200 "$T/two.tar" > "$T/cut.tar"
gzip -k "$T/cut.tar"
check_fails "a member below a file" 1 'lies below "a"' "$SHALE" apply "$T/below.tar" "$T/to"
check_fails "a tar cut short" 1 "cut.tar" "$SHALE" apply "$T/cut.tar" "$T/to"
check_fails "in gzip, too" 1 "cut.tar.gz" "$SHALE" apply "$T/cut.tar.gz" "$T/to"
check_fails "a whiteout of nothing" 1 "whiteout of nothing" \
    "$SHALE" apply "$T/nothing.tar" "$T/to"
check "change nothing" equal "$(cd "$T/to" && ls && cat a)" "$(printf 'a\nprecious')"
check "a good one does" "$SHALE" apply "$T/two.tar" "$T/to"
check "all of it" equal "$(cat "$T/to/a" "$T/to/c")" "$(printf 'evil\nevil')"

check "a layer of nothing" "$SHALE" layer scratch scratch -o "$T/empty.tar.zst"
head -c 10240 /dev/zero > "$T/empty.tar"
head -c 10000 /dev/zero > "$T/zeros"
check "is an empty tree" "$SHALE" diff scratch "$T/empty.tar.zst"
check "as an empty tar is" "$SHALE" diff scratch "$T/empty.tar"
check_fails "but not any zeros" 2 "no tar file" "$SHALE" diff scratch "$T/zeros"

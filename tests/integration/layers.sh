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

#!/usr/bin/env python3
"""Judges layers that are read piecemeal, by their formats' documents and nothing of ours.

    seekable_layer.py zstd:chunked BLOB     footer, TOC, tar-split, every chunk
    seekable_layer.py estargz BLOB          footer, TOC, every chunk
    seekable_layer.py same-chunks BLOB BLOB two zstd:chunked layers cut their contents alike

Exits 1 with a message at the first thing that is not as it must be. Needs zstd(1).
"""
import base64
import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
import zlib


def require(truth, what):
    if not truth:
        sys.exit(f"not so: {what}")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def unzstd(data):
    return subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def gzip_member(data):
    return zlib.decompressobj(31).decompress(data)


def chunked_footer(blob):
    if blob[-8:] == b"GnUlInUx":  # the first generation: 40 bytes, no tar-split
        return struct.unpack("<4Q", blob[-40:-8]) + (0, 0, 0)
    require(blob[-8:] == b"GNUlInUx", "the footer's magic")
    return struct.unpack("<7Q", blob[-64:-8])


def chunked_toc(blob):
    offset, packed, plain, kind, *_ = chunked_footer(blob)
    require(kind == 1, "the footer's type")
    toc = unzstd(blob[offset:offset + packed])
    require(len(toc) == plain, "the size of the TOC")
    return json.loads(toc)


def contents(entries):
    """(reg entry, its chunk entries) of every file that has a content."""
    files = []
    for entry in entries:
        if entry["type"] == "reg" and entry.get("size"):
            files.append((entry, [entry]))
        elif entry["type"] == "chunk":
            files[-1][1].append(entry)
    return files


def check_tar_split(blob, toc):
    *_, offset, packed, plain = chunked_footer(blob)
    split = blob[offset:offset + packed]
    require(digest(split) == toc["tarSplitDigest"], "the digest of the tar-split")
    lines = unzstd(split)
    require(len(lines) == plain, "the size of the tar-split")
    tar = unzstd(blob)
    members = tarfile.open(fileobj=io.BytesIO(tar))
    names, again = [], b""
    for position, line in enumerate(lines.splitlines()):
        entry = json.loads(line)
        require(entry["position"] == position, "positions in the tar-split")
        if entry["type"] == 2:
            again += base64.b64decode(entry["payload"])
            continue
        names.append(entry["name"])
        if entry.get("size"):
            again += members.extractfile(entry["name"].rstrip("/")).read()
    require(again == tar, "the tar is what the tar-split makes of the contents")
    require(names == [e["name"] for e in toc["entries"] if e["type"] != "chunk"],
            "the TOC lists the tar's members")


def check_chunked(blob):
    toc = chunked_toc(blob)
    check_tar_split(blob, toc)
    for file, chunks in contents(toc["entries"]):
        whole = b""
        ends = [chunk["offset"] for chunk in chunks[1:]] + [file["endOffset"]]
        for chunk, end in zip(chunks, ends):
            data = unzstd(blob[chunk["offset"]:end])
            if len(chunks) > 1:
                require(chunk.get("chunkOffset", 0) == len(whole), f"offsets in {file['name']}")
                require(chunk["chunkSize"] == len(data), f"chunk sizes of {file['name']}")
                require(chunk["chunkDigest"] == digest(data), f"chunk digests of {file['name']}")
                require((chunk.get("chunkType") == "zeros") == (not any(data)),
                        f"zeros of {file['name']}")
            whole += data
        require(len(whole) == file["size"] and digest(whole) == file["digest"], file["name"])


def check_estargz(blob):
    footer = blob[-51:]
    require(footer[:4] == b"\x1f\x8b\x08\x04" and footer[10:16] == b"\x1a\0SG\x16\0"
            and footer[32:38] == b"STARGZ", "the footer")
    offset = int(footer[16:32], 16)
    table = tarfile.open(fileobj=io.BytesIO(gzip_member(blob[offset:])))
    member = table.next()
    require(member.name == "stargz.index.json" and table.next() is None, "the TOC's member")
    toc = json.loads(table.extractfile(member).read())
    names = [e["name"] for e in toc["entries"] if e["type"] != "chunk"]
    require(".no.prefetch.landmark" in names, "a landmark")
    for file, chunks in contents(toc["entries"]):
        whole = b""
        for chunk in chunks:
            require(chunk.get("chunkOffset", 0) == len(whole), f"offsets in {file['name']}")
            size = chunk.get("chunkSize") or file["size"] - len(whole)
            data = gzip_member(blob[chunk["offset"]:])[:size]
            require(chunk["chunkDigest"] == digest(data), f"chunk digests of {file['name']}")
            whole += data
        require(len(whole) == file["size"] and digest(whole) == file["digest"], file["name"])


def chunk_lists(blob):
    return {file["name"]: [(chunk.get("chunkOffset", 0), chunk.get("chunkSize", 0),
                            chunk.get("chunkDigest"), chunk.get("chunkType")) for chunk in chunks]
            for file, chunks in contents(chunked_toc(blob)["entries"])}


def main():
    what, *paths = sys.argv[1:]
    blobs = [open(path, "rb").read() for path in paths]
    if what == "same-chunks":
        require(chunk_lists(blobs[0]) == chunk_lists(blobs[1]), "the chunks are the same")
    elif what == "estargz":
        check_estargz(blobs[0])
    else:
        check_chunked(blobs[0])


main()

"""Archives from a few words per member, with what a plain `tar c` of a directory cannot hold.

    dir d 0755 1:2
    file d/f 0644 0:0 text to the end of the line
    link d/l -> f
    hard d/h = d/f
    fifo p 0600
    char c 0600 1,3
    xattr d/f user.x value          (of the member named before)
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile

MEMBER_TIME = 1_100_000_000


def member(words):
    kind, info = words[0], tarfile.TarInfo(words[1])
    info.mtime = MEMBER_TIME
    info.mode = 0o755 if kind == "dir" else 0o644
    text = ""
    if kind in ("link", "hard"):
        info.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
        info.mode = 0o777 if kind == "link" else 0o644
        info.linkname = words[3]
        return info, b""
    if len(words) > 2:
        info.mode = int(words[2], 8)
    if kind == "char":
        info.devmajor, info.devminor = map(int, words[3].split(","))
    elif len(words) > 3:
        owner, _, text = words[3].partition(" ")
        info.uid, info.gid = map(int, owner.split(":"))
    info.type = {"dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "fifo": tarfile.FIFOTYPE,
                 "char": tarfile.CHRTYPE}[kind]
    data = text.encode() + b"\n" if kind == "file" and "/.wh." not in words[1] else b""
    info.size = len(data)
    return info, data


def tar(lines):
    """The bytes of an uncompressed tar with these members."""
    members = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        if line.startswith("xattr "):
            _, name, key, value = line.split(" ", 3)
            assert members[-1][0].name == name, line
            members[-1][0].pax_headers["SCHILY.xattr." + key] = value
        else:
            info, data = member(line.split(" ", 3))
            for other, _ in members:  # names of one file agree on everything
                if info.type == tarfile.LNKTYPE and other.name == info.linkname:
                    info.mode, info.uid, info.gid = other.mode, other.uid, other.gid
            members.append((info, data))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zstd(data):
    """A frame of one raw block: Python has no compressor for it, and none is needed here."""
    assert len(data) < 1 << 17
    return (b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data)) +
            (len(data) << 3 | 1).to_bytes(3, "little") + data)


def make(kind, lines):
    data = tar(lines)
    if kind == "tar.gz":
        return gzip.compress(data, mtime=0)
    if kind == "tar.bz2":
        return bz2.compress(data)
    if kind == "tar.xz":
        return lzma.compress(data)
    if kind == "tar.zst":
        return zstd(data)
    return data

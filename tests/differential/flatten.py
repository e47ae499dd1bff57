"""An image as text: what is in its file system, its config and its history, one fact per line.

Read from a docker archive (`docker save`, `--output type=docker`), layer by layer, by these lines
and nothing else, so that no extraction tool and no file system of this machine has a say.
"""

import hashlib
import io
import json
import re
import tarfile

# Times after this one were made by the build; it is the moment Docker's first commit was two years
# away from, and a decade after everything that the corpus brings along.
MADE_BY_BUILD = 1_300_000_000
KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "dir",
         tarfile.SYMTYPE: "link", tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block",
         tarfile.FIFOTYPE: "fifo"}
XATTR = "SCHILY.xattr."
MARK = "bin/busybox"  # what has it stands on the base image


class Inode:
    def __init__(self, info, archive):
        self.kind = KINDS[info.type]
        self.mode = 0o777 if self.kind == "link" else info.mode & 0o7777
        self.uid, self.gid, self.mtime = info.uid, info.gid, int(info.mtime)
        self.xattrs = sorted((key[len(XATTR):], value) for key, value in info.pax_headers.items()
                             if key.startswith(XATTR))
        self.details = ""
        if self.kind == "file":
            digest = hashlib.sha256(archive.extractfile(info).read()).hexdigest()[:16]
            self.details = f"{info.size} {digest}"
        elif self.kind == "link":
            self.details = "-> " + info.linkname
        elif self.kind in ("char", "block"):
            self.details = f"{info.devmajor},{info.devminor}"

    def text(self):
        time = "now" if self.mtime > MADE_BY_BUILD else self.mtime
        words = [f"{self.kind:5}", f"{self.mode:04o}", f"{self.uid}:{self.gid}"]
        words += [self.details] * bool(self.details) + [f"mtime={time}"]
        return " ".join(words + [f"{key}={value!r}" for key, value in self.xattrs])


def clean(name):
    return name.removeprefix("./").strip("/")


def remove(tree, path, below_only=False):
    for key in [key for key in tree if key.startswith(path + "/") or not path]:
        del tree[key]
    if not below_only:
        tree.pop(path, None)


def apply_layer(tree, archive):
    members = [(clean(info.name), info) for info in archive]
    for path, _ in members:  # whiteouts speak of lower layers only
        folder, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            remove(tree, folder, below_only=True)
        elif name.startswith(".wh."):
            remove(tree, (folder + "/" if folder else "") + name[len(".wh."):])
    for path, info in members:
        if path in ("", ".") or path.rpartition("/")[2].startswith(".wh."):
            continue
        if info.type == tarfile.LNKTYPE:
            tree[path] = tree[clean(info.linkname)]
            continue
        inode = Inode(info, archive)
        if inode.kind != "dir" and path in tree:
            remove(tree, path)
        tree[path] = inode


def tree_lines(tree):
    names = {}
    for path in sorted(tree):
        names.setdefault(id(tree[path]), []).append(path)
    lines = {}
    for path in sorted(tree):
        first = names[id(tree[path])][0]
        lines[path] = tree[path].text() + (f" hardlink=/{first}" if first != path else "")
    return lines


def config_lines(config):
    """Keys that hold nothing say nothing, whichever way a builder writes that."""
    lines = [f"{key}: {config[key]}" for key in ("author", "os", "architecture") if config.get(key)]
    for key, value in sorted((config.get("config") or {}).items()):
        if value not in (None, "", False, {}) and not (key == "OnBuild" and value == []):
            lines.append(f"config {key}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}")
    return lines


def history_lines(config):
    lines = []
    for entry in config.get("history") or []:
        words = [entry.get("created_by", "")]
        words += ["(empty)"] * bool(entry.get("empty_layer"))
        words += [f"({key} {entry[key]})" for key in ("comment", "author") if entry.get(key)]
        text = json.dumps(" ".join(words), ensure_ascii=False)[1:-1]
        lines.append("history " + text.replace('\\"', '"'))
    return lines


def base(layers):
    """The tree lines of an image that is still a list of tars."""
    tree = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            apply_layer(tree, archive)
    return tree_lines(tree)


class Image:
    def __init__(self, path):
        tree = {}
        with tarfile.open(path) as archive:
            def read_json(name):
                return json.load(archive.extractfile(name))
            manifest = read_json("manifest.json")[0]
            config = read_json(manifest["Config"])
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(layer)) as layer_archive:
                    apply_layer(tree, layer_archive)
        self.files = tree_lines(tree)
        self.config, self.history = config_lines(config), history_lines(config)

    def lines(self, base, within=()):
        """As text, less what the patterns `within` match (all but their group); of an image that
        stands on `base`, only what is not as it is there."""
        def less(line):
            for pattern in within:
                line = re.sub(pattern, r"\1", line)
            return line

        files = {path: less(line) for path, line in self.files.items()}
        known = {path: less(line) for path, line in base.items()} if MARK in files else {}
        lines = [less(line) for line in self.config + self.history]
        lines += ["tree upon base"] * bool(known)
        for path in sorted(set(files) | set(known)):
            if path not in files:
                lines.append(f"gone  /{path}")
            elif files[path] != known.get(path):
                lines.append(f"/{path}: {files[path]}")
        return lines


def write_empty(path, config):
    """A docker archive of an image without layers."""
    with tarfile.open(path, "w") as archive:
        for name, value in (("config.json", config),
                            ("manifest.json", [{"Config": "config.json", "Layers": []}])):
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

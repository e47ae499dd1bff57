#!/usr/bin/env python3
"""Adds one image to an OCI layout directory: a new gzip layer on top of an earlier image, or alone.

This is deliberately a second, independent writer of the format that shale reads: base images come
out the way public registries serve them (gzip layers, an index with one platform per manifest), and
a mistake in shale's own writer cannot hide in the images that its tests start from.

usage: pack.py LAYOUT TAG ROOTFS [--from TAG] [--created-by TEXT] [--config JSON]
       pack.py LAYOUT TAG --same-as TAG
       pack.py LAYOUT TAG ROOTFS --unpack

ROOTFS becomes the layer. Names, owners and modes are taken as they are; times are clamped to
--epoch so that the same tree packs to the same bytes. --unpack makes ROOTFS from an image whose
layers remove nothing. --config is merged over the parent's
configuration ("Env" entries by variable name).
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime, timezone

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Layout:
    def __init__(self, path):
        self.path = path
        os.makedirs(os.path.join(path, "blobs", "sha256"), exist_ok=True)
        self._write("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        try:
            with open(os.path.join(path, "index.json"), encoding="utf-8") as file:
                self.index = json.load(file)
        except FileNotFoundError:
            self.index = {"schemaVersion": 2, "manifests": []}

    def _write(self, name, data):
        target = os.path.join(self.path, name)
        with open(target + ".tmp", "wb") as file:
            file.write(data)
        os.rename(target + ".tmp", target)

    def blob_path(self, digest):
        return os.path.join("blobs", "sha256", digest.removeprefix("sha256:"))

    def put(self, data, media_type):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self._write(self.blob_path(digest), data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put_json(self, value, media_type):
        return self.put(json.dumps(value, indent=1, sort_keys=True).encode(), media_type)

    def get_json(self, descriptor):
        with open(os.path.join(self.path, self.blob_path(descriptor["digest"])), "rb") as file:
            return json.load(file)

    def find(self, tag):
        for descriptor in self.index["manifests"]:
            if descriptor["annotations"]["org.opencontainers.image.ref.name"] == tag:
                return descriptor
        sys.exit(f"pack.py: no image {tag} in {self.path}")

    def image(self, tag):
        """(manifest, config) of the image that `tag` names."""
        manifest = self.get_json(self.get_json(self.find(tag))["manifests"][0])
        return manifest, self.get_json(manifest["config"])

    def tag(self, tag, descriptor):
        name = {"org.opencontainers.image.ref.name": tag}
        kept = [old for old in self.index["manifests"] if old["annotations"] != name]
        self.index["manifests"] = kept + [dict(descriptor, annotations=name)]
        self._write("index.json", json.dumps(self.index, indent=1).encode())


def pack_layer(layout, rootfs, epoch):
    """Streams tar through gzip into a blob; returns its descriptor and diff ID."""
    # GNU tar rather than tarfile: it keeps extended attributes (file capabilities) and hardlinks.
    command = ["tar", "--create", "--directory", rootfs, "--sort=name", "--numeric-owner",
               "--format=posix", "--pax-option=delete=atime,delete=ctime",
               "--xattrs", "--xattrs-include=security.capability",
               f"--mtime=@{epoch}", "--clamp-mtime", "."]
    temporary = os.path.join(layout.path, "layer.tmp")
    diff_id = hashlib.sha256()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar, open(temporary, "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, filename="", mtime=0) as packed:
            while piece := tar.stdout.read(1 << 20):
                diff_id.update(piece)
                packed.write(piece)
    if tar.returncode != 0:
        sys.exit(f"pack.py: tar of {rootfs} failed with {tar.returncode}")
    with open(temporary, "rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    size = os.path.getsize(temporary)
    os.rename(temporary, os.path.join(layout.path, layout.blob_path(digest)))
    return ({"mediaType": LAYER, "digest": digest, "size": size}, "sha256:" + diff_id.hexdigest())


def unpack(layout, tag, rootfs):
    os.mkdir(rootfs)
    for layer in layout.image(tag)[0]["layers"]:
        blob = os.path.join(layout.path, layout.blob_path(layer["digest"]))
        subprocess.run(["tar", "--extract", "--gzip", "--file", blob, "--directory", rootfs,
                        "--preserve-permissions", "--numeric-owner", "--xattrs",
                        "--xattrs-include=security.capability"], check=True)


def merge_config(base, changes):
    merged = dict(base)
    for key, value in changes.items():
        if key == "Env":
            variables = dict(pair.split("=", 1) for pair in base.get("Env", []) + value)
            merged["Env"] = [f"{name}={text}" for name, text in variables.items()]
        else:
            merged[key] = value
    return merged


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("layout")
    parser.add_argument("tag")
    parser.add_argument("rootfs", nargs="?")
    parser.add_argument("--same-as", help="only add a second tag")
    parser.add_argument("--unpack", action="store_true", help="the other way: image to ROOTFS")
    parser.add_argument("--from", dest="parent")
    parser.add_argument("--created-by", default="")
    parser.add_argument("--config", default="{}", help="fields of the image's run configuration")
    parser.add_argument("--architecture", default="amd64")
    parser.add_argument("--epoch", type=int, default=0)
    options = parser.parse_args()

    layout = Layout(options.layout)
    if options.same_as:
        layout.tag(options.tag, layout.find(options.same_as))
        return
    if not options.rootfs:
        parser.error("ROOTFS is missing")
    if options.unpack:
        unpack(layout, options.tag, options.rootfs)
        return
    created = datetime.fromtimestamp(options.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    platform = {"architecture": options.architecture, "os": "linux"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
    config = dict(platform, config={}, rootfs={"type": "layers", "diff_ids": []}, history=[])
    if options.parent:
        manifest, config = layout.image(options.parent)

    layer, diff_id = pack_layer(layout, options.rootfs, options.epoch)
    manifest["layers"].append(layer)
    config["rootfs"]["diff_ids"].append(diff_id)
    config["history"].append({"created": created, "created_by": options.created_by})
    config["created"] = created
    config["config"] = merge_config(config["config"], json.loads(options.config))
    manifest["config"] = layout.put_json(config, CONFIG)
    descriptor = layout.put_json(manifest, MANIFEST)
    index = {"schemaVersion": 2, "mediaType": INDEX,
             "manifests": [dict(descriptor, platform=platform)]}
    layout.tag(options.tag, layout.put_json(index, INDEX))


if __name__ == "__main__":
    main()

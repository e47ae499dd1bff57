"""The images that the corpus builds FROM, and a registry that serves them, in this process.

`base` is a static BusyBox with a few accounts. The others have what a Dockerfile of the corpus
could not make in its own first stage: a configuration that comes from an image, and layers with
whiteouts and hardlinks of other builders. The registry knows GET and nothing else; it listens on
loopback.
"""

import gzip
import hashlib
import http.server
import io
import json
import shutil
import subprocess
import tarfile
import threading

import archives

OLD = 1_000_000_000
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:the app:/home/app:/bin/sh
nogroup:x:1002:4242::/home/nogroup:/bin/sh
"""
GROUP = """root:x:0:
users:x:100:app
appgroup:x:1001:
extra:x:2002:app
"""
TREE = """dir old 0755 0:0
file old/keep 0644 0:0 keep
file old/drop 0644 0:0 drop
file old/owned 0640 1000:1001 owned
dir old/sub 0700 5:6
file old/sub/deep 0600 5:6 deep
link old/link -> sub
link old/dangling -> nowhere
link old/absolute -> /old/sub
hard old/twin = old/keep
fifo old/fifo 0622
char old/null 0666 1,3
dir sticky 1777 0:0
file bin/suid 4755 0:0 suid
xattr bin/suid user.kept yes
"""


def busybox_layer():
    program = shutil.which("busybox")
    if not program:
        raise FileNotFoundError("busybox is missing (package busybox-static)")
    applets = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        def add(name, kind, mode, data=b"", link=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.mtime = kind, mode, link, OLD
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("home", 0o755), ("home/app", 0o755),
                           ("root", 0o700), ("tmp", 0o1777), ("proc", 0o555), ("sys", 0o555),
                           ("dev", 0o755), ("run", 0o755)):
            add(name, tarfile.DIRTYPE, mode)
        with open(program, "rb") as file:
            add("bin/busybox", tarfile.REGTYPE, 0o755, file.read())
        for applet in applets:
            if applet != "busybox":
                add("bin/" + applet, tarfile.SYMTYPE, 0o777, link="busybox")
        for name, text in (("passwd", PASSWD), ("group", GROUP), ("hosts", ""),
                           ("hostname", ""), ("resolv.conf", "")):
            add("etc/" + name, tarfile.REGTYPE, 0o644, text.encode())
    return out.getvalue()


def images():
    """Name -> (layers as tars, configuration)."""
    base = busybox_layer()
    more = archives.tar(TREE.splitlines())
    erased = archives.tar(["dir old 0755 0:0", "file old/.wh.drop 0644 0:0 ",
                           "dir old/sub 0700 5:6", "file old/sub/.wh..wh..opq 0644 0:0 ",
                           "file old/sub/new 0644 0:0 new"])
    shell = {"Env": [PATH], "Cmd": ["sh"]}
    full = {"Env": [PATH, "FROM_BASE=yes", "EMPTY="], "User": "app", "WorkingDir": "/home/app",
            "Cmd": ["serve"], "Labels": {"org.example.base": "yes", "kept": "base"},
            "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/base-data": {}}, "StopSignal": "SIGINT",
            "Shell": ["/bin/sh", "-ec"], "Healthcheck": {"Test": ["CMD", "true"], "Retries": 3}}
    return {
        "base": ([base], shell),
        "layered": ([base, more, erased], shell),
        "configured": ([base], full),
        "with-entrypoint": ([base], {"Env": [PATH], "Entrypoint": ["entry"], "Cmd": ["arg"]}),
        "triggers": ([base], dict(shell, OnBuild=["RUN echo first > /first",
                                                  "COPY data/f /triggered",
                                                  "ENV TRIGGERED=yes"])),
        "bare": ([more], {}),
    }


class Registry:
    """Serves the images at .address until closed."""

    def __init__(self):
        self.names, blobs = images(), {}

        def put(data):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            blobs[digest] = data
            return {"digest": digest, "size": len(data)}

        manifests = {}
        for name, (layers, config) in self.names.items():
            packed = [dict(put(gzip.compress(layer, mtime=0)), mediaType=LAYER) for layer in layers]
            document = {
                "architecture": "amd64", "os": "linux", "config": config,
                "created": "2001-09-09T01:46:40Z",
                "history": [{"created": "2001-09-09T01:46:40Z", "created_by": f"layer {i}"}
                            for i in range(len(layers))],
                "rootfs": {"type": "layers", "diff_ids": [
                    "sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]}}
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": packed,
                        "config": dict(put(json.dumps(document).encode()), mediaType=CONFIG)}
            manifests[name] = json.dumps(manifest).encode()
            manifests[put(manifests[name])["digest"]] = manifests[name]

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                parts, kind, data = self.path.split("/"), "application/octet-stream", None
                if self.path == "/v2/":
                    data = b"{}"
                elif parts[-2] == "manifests":
                    kind = MANIFEST
                    data = manifests.get(parts[-1]) or manifests.get(parts[-3])
                elif parts[-2] == "blobs":
                    data = blobs.get(parts[-1])
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data or b"")))
                if data is not None:
                    self.send_header("Docker-Content-Digest",
                                     "sha256:" + hashlib.sha256(data).hexdigest())
                self.end_headers()
                if self.command == "GET" and data is not None:
                    self.wfile.write(data)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

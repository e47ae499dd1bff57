"""Other people's builders, whose results shale's are compared with: BuildKit inside a dockerd of
our own, and buildah. Neither needs more than its Debian package and this process's registry."""

import json
import os
import shutil
import subprocess
import threading
import time

import flatten
from builders import Builder

USER_XATTR = r"(.*) user\.\w+='[^']*'"


def docker_client():
    """A client that drives the daemon's own BuildKit: newer ones want a plugin for that."""
    candidates = [shutil.which("docker"), "/usr/bin/docker"]
    for program in dict.fromkeys(filter(None, candidates)):
        text = subprocess.run([program, "build", "--help"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False,
                              env={"DOCKER_BUILDKIT": "1", "PATH": os.environ["PATH"]}).stdout
        if "--secret" in text and "missing or broken" not in text:
            return program
    raise RuntimeError("no docker client with BuildKit support")


class BuildKit(Builder):
    name = "buildkit"
    # The one in Docker 20.10 forgets times of directories as soon as it writes below them, stores
    # no extended attribute but capabilities, and its history has no flags and other words for some.
    within = (r"^(dir .*) mtime=\w+", USER_XATTR, r"^(history (?:COPY|ADD))(?: --ch\w+=\S+)+")
    always = (r"history (ARG|EXPOSE|HEALTHCHECK) ",)

    def __init__(self, scratch, registry):
        super().__init__(scratch)
        if not shutil.which("dockerd"):
            raise RuntimeError("dockerd is missing")
        self.socket = "unix://" + os.path.join(self.scratch, "s")
        self.docker = [docker_client(), "-H", self.socket]
        self.daemon = None
        for driver in ("overlay2", "vfs"):
            if self.start(driver):
                break
        else:
            with open(os.path.join(self.scratch, "log"), encoding="utf-8") as log:
                raise RuntimeError("dockerd does not start here: " + log.read()[-400:])
        self.version = self.must(self.docker + ["version", "-f",
                                                "docker {{.Server.Version}}"]).strip()
        for image in registry.names:
            self.must(self.docker + ["pull", "-q", f"{registry.address}/{image}"])
            self.must(self.docker + ["tag", f"{registry.address}/{image}", image])

    def start(self, driver):
        def place(name):
            return os.path.join(self.scratch, name)
        with open(place("log"), "w", encoding="utf-8") as log:
            self.daemon = subprocess.Popen(
                ["dockerd", "--data-root", place("data"), "--exec-root", place("exec"), "-H",
                 self.socket, "--pidfile", place("pid"), "--iptables=false", "--ip6tables=false",
                 "--bridge=none", "--storage-driver", driver], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL)
        for _ in range(300):
            if self.daemon.poll() is not None:
                return False
            if self.run(self.docker + ["version"]).returncode == 0:
                return True
            time.sleep(0.2)
        self.close()
        return False

    def environment(self):
        return dict(super().environment(), DOCKER_BUILDKIT="1")

    def build_command(self, name):
        return self.docker + ["build", "--no-cache", "--progress", "plain", "--network",
                              "none", "-t", "case/" + name]

    def export(self, name, archive):
        """Docker cannot save an image without layers; what it says of such a one is all of it."""
        name = "case/" + name
        inspected = json.loads(self.must(self.docker + ["inspect", name]))[0]
        if inspected["RootFS"].get("Layers"):
            self.must(self.docker + ["save", "-o", archive, name])
        else:
            history = self.must(self.docker + ["history", "--no-trunc", "--format",
                                               "{{json .CreatedBy}} {{json .Comment}}", name])
            entries = [json.loads("[" + line.replace('" "', '","') + "]")
                       for line in reversed(history.splitlines())]
            flatten.write_empty(archive, {
                "author": inspected["Author"], "os": inspected["Os"],
                "architecture": inspected["Architecture"], "config": inspected["Config"],
                "history": [{"created_by": by, "comment": comment, "empty_layer": True}
                            for by, comment in entries]})
        self.run(self.docker + ["rmi", name])

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(60)
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            for point in sorted((line.split()[4] for line in mounts), reverse=True):
                if point.startswith(self.scratch + "/"):
                    subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)


class Buildah(Builder):
    name = "buildah"
    compares_history = False  # its entries are a text of its own, `/bin/sh -c #(nop) ...`
    # It names its container and itself; empty lists and a root that nobody set are nothing to it.
    always = (r"config (Hostname|ArgsEscaped): ", r"config (Entrypoint|Cmd): \[\]$",
              r'config WorkingDir: "/"$',
              r'config Labels: \{"io.buildah.version": "[^"]*"\}$')
    within = (r"^(dir .*) mtime=\w+", USER_XATTR,
              r'(config Labels: .*), "io.buildah.version": "[^"]*"',
              r'(config Labels: \{)"io.buildah.version": "[^"]*", ')

    def __init__(self, scratch, registry):
        super().__init__(scratch)
        if not shutil.which("buildah"):
            raise RuntimeError("buildah is missing")
        self.turn = threading.Lock()
        self.buildah = ["buildah", "--root", os.path.join(self.scratch, "root"), "--runroot",
                        os.path.join(self.scratch, "run"), "--storage-driver", "vfs"]
        self.version = self.must(["buildah", "--version"]).split(" (")[0].strip()
        for image in registry.names:
            self.must(self.buildah + ["pull", "-q", "--tls-verify=false",
                                      f"{registry.address}/{image}"])
            self.must(self.buildah + ["tag", f"{registry.address}/{image}", "localhost/" + image])

    def build(self, case, context):
        """One at a time: its storage loses layers when an equal image is removed meanwhile."""
        with self.turn:
            return super().build(case, context)

    def build_command(self, name):
        return self.buildah + ["bud", "--format", "docker", "--isolation", "chroot", "--pull-never",
                               "--network", "host", "-t", "localhost/case/" + name]

    def export(self, name, archive):
        self.must(self.buildah + ["push", "-q", "localhost/case/" + name,
                                  f"docker-archive:{archive}:case:latest"])
        self.run(self.buildah + ["rmi", "-f", "localhost/case/" + name])

    def close(self):
        subprocess.run(self.buildah + ["rm", "-a"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)


def judge(name, scratch, registry):
    return {"buildkit": BuildKit, "buildah": Buildah}[name](scratch, registry)

#!/usr/bin/env python3
"""Random edits between builds: nothing may be stale, and `why` must name the edit and nothing else.

usage: random_builds.py SHALE BUSYBOX DIRECTORY ROUNDS [SEED]

Every round makes one edit to a project (a file, a mode, an argument, an ignore rule, the base
image, a line of the Dockerfile), builds it with the cache, and again in a store that knows nothing.
Both must give the same root file system and the same config, times aside. Then every step that ran
again must be explained by that edit, or by a step that is.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile

NAMES = ["a.txt", "b.txt", "c.json", "sub/d.txt", "sub/e.json", "sub/deep/f.txt"]


class Project:
    """The input of a build, as values that can be edited one at a time."""

    def __init__(self, rng):
        self.rng = rng
        self.files = {f"{top}/{name}": (f"{top} {name}\n", 0o644)
                      for top in ("pkg", "src") for name in NAMES}
        self.archive = {"one.txt": "1", "dir/two.txt": "2"}
        self.arguments = {"LEFT": "l0", "RIGHT": "r0"}
        self.ignored = []
        self.base = 1
        self.env = "e0"
        self.workdir = "/work"
        self.texts = {"deps": "t0", "app": "t0", "bound": "t0"}
        self.chmod = ""
        self.fresh = 0

    def new_text(self):
        self.fresh += 1
        return f"v{self.fresh}-{self.rng.randrange(1 << 30)}"

    def dockerfile(self):
        return f"""FROM base AS deps
ARG LEFT
WORKDIR {self.workdir}
COPY pkg/*.json pkg/sub ./
RUN cat *.json > /deps; echo "$LEFT {self.texts['deps']}" >> /deps
FROM base AS app
ENV FLAVOUR={self.env}
COPY --from=deps /deps /deps
COPY {self.chmod}src /src
ADD data.tar /data
ARG RIGHT
RUN cat /deps /src/*.txt > /sum; echo "$RIGHT $FLAVOUR {self.texts['app']}" >> /sum
COPY . /all/
RUN --mount=type=bind,source=src,target=/mnt cat /mnt/sub/*.txt > /bound; echo {self.texts['bound']}
FROM scratch
COPY --from=app / /
ENV RIGHT=set
"""

    def write(self, directory):
        shutil.rmtree(directory, ignore_errors=True)
        for name, (text, mode) in self.files.items():
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, mode)
        with tarfile.open(os.path.join(directory, "data.tar"), "w") as archive:
            for name, text in self.archive.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        # Outside of the context: an edit of these two is not an edit of a file that is copied.
        with open(directory + ".Dockerfile", "w", encoding="utf-8") as file:
            file.write(self.dockerfile())
        with open(directory + ".Dockerfile.dockerignore", "w", encoding="utf-8") as file:
            file.write("".join(rule + "\n" for rule in self.ignored))

    # --- edits: each returns what `why` may say: a kind, and which subjects ----------------------

    def edit_content(self):
        name = self.rng.choice(sorted(self.files))
        self.files[name] = (self.new_text() + "\n", self.files[name][1])
        return "file", {name}

    def edit_mode(self):
        name = self.rng.choice(sorted(self.files))
        text, mode = self.files[name]
        self.files[name] = (text, 0o755 if mode == 0o644 else 0o644)
        return "file", {name}

    def add_file(self):
        name = self.rng.choice(["pkg", "src", "src/sub"]) + f"/new{self.fresh}.txt"
        self.files[name] = (self.new_text(), 0o644)
        return "file", {name}

    def remove_file(self):
        extra = [name for name in sorted(self.files) if "/new" in name]
        if not extra:
            return self.add_file()
        name = self.rng.choice(extra)
        del self.files[name]
        return "file", {name}

    def edit_archive(self):
        self.archive["one.txt"] = self.new_text()
        return "file", {"data.tar"}

    def edit_argument(self):
        name = self.rng.choice(sorted(self.arguments))
        self.arguments[name] = self.new_text()
        return "argument", {name}

    def edit_ignored(self):
        rule = self.rng.choice(["src/sub/deep", "**/b.txt", "pkg/sub/d.txt"])
        if rule in self.ignored:
            self.ignored.remove(rule)
        else:
            self.ignored.append(rule)
        last = rule.rsplit("/", 1)[-1]
        return "file", {name for path in self.files for name in (path, os.path.dirname(path))
                        if last in path}

    def edit_base(self):
        self.base = 3 - self.base
        return "base", {"base:latest", "base"}

    def edit_env(self):
        self.env = self.new_text()
        return "variable", {"FLAVOUR"}

    def edit_workdir(self):
        self.workdir = "/" + self.new_text()
        # WORKDIR's own step and what is named by it.
        return "instruction|setting", {"", "WORKDIR"}

    def edit_text(self):
        which = self.rng.choice(sorted(self.texts))
        self.texts[which] = self.new_text()
        return "instruction", {""}

    def edit_chmod(self):
        self.chmod = "" if self.chmod else "--chmod=700 "
        return "instruction", {""}

    def edit_nothing(self):
        return "", set()

    def edit(self):
        edits = [self.edit_content, self.edit_content, self.edit_mode, self.add_file,
                 self.remove_file, self.edit_archive, self.edit_argument, self.edit_ignored,
                 self.edit_base, self.edit_env, self.edit_workdir, self.edit_text,
                 self.edit_chmod, self.edit_nothing]
        chosen = self.rng.choice(edits)
        return chosen.__name__, *chosen()


class Shale:
    def __init__(self, program, root):
        self.program, self.root = program, root

    def run(self, *words):
        done = subprocess.run([self.program, "--root", self.root, *words], capture_output=True,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError(f"shale {' '.join(words)}: exit {done.returncode}\n"
                               + done.stderr.decode(errors="replace"))
        return done.stdout

    def build(self, project, directory, bases):
        arguments = [word for name, value in project.arguments.items()
                     for word in ("--build-arg", f"{name}={value}")]
        self.run("build", "--progress", "plain", "-t", "random", "-f", directory + ".Dockerfile",
                 "-o", f"type=tar,dest={directory}.tar", "-o", "type=image", *arguments,
                 "--build-context", f"base=oci-layout://{bases}/{project.base}:latest", directory)
        config = json.loads(self.run("inspect", "random"))
        return fingerprint(directory + ".tar"), environment(config)


def environment(inspected):
    """What of a config does not tell when it was made."""
    text = json.dumps(inspected)
    start = text.find('"Env"')
    return text[start:text.find("]", start)]


def fingerprint(path):
    """Everything in a tar but times."""
    entries = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            entries[member.name] = (
                member.type, member.mode, member.uid, member.gid, member.linkname,
                hashlib.sha256(content.read()).hexdigest() if content else "")
    return entries


def make_bases(shale, busybox, directory):
    for version in (1, 2):
        context = f"{directory}/base{version}"
        os.makedirs(context)
        shutil.copy(busybox, context + "/busybox")
        with open(context + "/Dockerfile", "w", encoding="utf-8") as file:
            file.write('FROM scratch\nCOPY busybox /bin/busybox\n'
                       'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n'
                       f"RUN echo {version} > /version\n")
        shale.run("build", "-q", "-o", f"type=oci,tar=false,dest={directory}/{version}",
                  "-t", "base:latest", context)


def check_causes(report, kinds, subjects):
    """Every cause is the edit, or a step that is explained by it."""
    missed = {step["step"] for step in report}
    seen = False
    for step in report:
        if not step["causes"]:
            raise AssertionError(f"step {step['step']} has no cause")
        for cause in step["causes"]:
            if cause.get("step") in missed:
                continue  # that one is explained, too
            if cause.get("step") and len(step["causes"]) > 1:
                continue  # of a cached step, whose own causes are listed beside
            seen = True
            if cause["kind"] not in kinds.split("|") or cause.get("subject", "") not in subjects:
                raise AssertionError(f"step {step['name']}: unexpected {cause}")
    if missed and not seen:
        raise AssertionError("nothing but steps that follow from steps")


def main():
    program, busybox, directory, rounds = sys.argv[1:5]
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 30)
    rng = random.Random(seed)
    warm = Shale(program, directory + "/warm")
    bases = directory + "/bases"
    make_bases(warm, busybox, bases)
    project = Project(rng)
    context = directory + "/context"
    edit, kinds, subjects = "first", "no-record", {""}
    for number in range(int(rounds)):
        if number > 0:
            edit, kinds, subjects = project.edit()
        project.write(context)
        cold = Shale(program, f"{directory}/cold{number}")
        try:
            cached = warm.build(project, context, bases)
            if cached != cold.build(project, context, bases):
                raise AssertionError("the cached build differs from a cold one")
            report = json.loads(warm.run("why", "--json"))
            if edit == "edit_nothing" and report:
                raise AssertionError("steps ran again although nothing changed")
            check_causes(report, kinds, subjects)
        except (AssertionError, RuntimeError) as error:
            print(f"seed {seed}, round {number}, {edit} {sorted(subjects)}: {error}")
            print(warm.run("why").decode())
            return 1
        finally:
            shutil.rmtree(cold.root, ignore_errors=True)
    print(f"{rounds} rounds, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

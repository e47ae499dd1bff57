"""The corpus: topic files of small Dockerfiles, one behaviour each, and the contexts they need.

A topic file (cases/TOPIC.cases) reads like this; what stands before the first case is given to all:

    # a comment
    -- data/f mode=640 --
    hello
    -- data/link -> f --
    === copy-file-to-name
    One sentence that says what the case shows.
    build: --build-arg X=1
    needs: heredoc
    fails: not found
    differs: buildah Why this judge gives something else.
    spare: buildkit Why it is not asked at all.
    ---
    FROM scratch
    COPY data/f /a
    -- only/here.txt --
    text of a file that only this case has

Files are `-- PATH [attribute...] --` and then their text. Attributes: `mode=OCTAL`,
`mtime=SECONDS`, `-> TARGET` (symlink), `= PATH` (hardlink), `fifo`, `noeol` (no newline at the
end), `crlf`, `big=BYTES` (that many zeros), `xattr=NAME:VALUE`, and `tar`, `tar.gz`, `tar.bz2`,
`tar.xz`, `tar.zst`: an archive, whose members the text lists (see archives.py). A PATH that ends
in `/` is a directory. In the text `\\e` at a line's start is dropped, so that it may begin with
`--` or `===`.
"""

import os
import re
import shlex

import archives

# Long ago, so that a time that a build kept can be told from one it made.
FILE_TIME = 1_000_000_000
HEADERS = ("build", "needs", "fails", "differs", "spare", "lean")
MARKER = re.compile(r"^-- (.+) --$")


class File:
    def __init__(self, path, attributes):
        self.path, self.lines = path, []
        self.target = self.twin = None
        self.flags, self.values = set(), {}
        words = iter(attributes)
        for word in words:
            if word == "->":
                self.target = next(words)
            elif word == "=":
                self.twin = next(words)
            elif "=" in word:
                key, value = word.split("=", 1)
                self.values[key] = value
            else:
                self.flags.add(word)

    def text(self):
        end = "\r\n" if "crlf" in self.flags else "\n"
        text = end.join(line.removeprefix("\\e") for line in self.lines)
        return (text if "noeol" in self.flags or not self.lines else text + end).encode()

    def write(self, root):
        path = os.path.join(root, self.path)
        os.makedirs(os.path.dirname(path.rstrip("/")), exist_ok=True)
        archive = next((flag for flag in self.flags if flag.startswith("tar")), None)
        if self.path.endswith("/"):
            os.makedirs(path, exist_ok=True)
        elif self.target is not None:
            os.symlink(self.target, path)
        elif self.twin is not None:
            os.link(os.path.join(root, self.twin), path)
        elif "fifo" in self.flags:
            os.mkfifo(path)
        else:
            data = archives.make(archive, self.lines) if archive else self.text()
            with open(path, "wb") as file:
                file.write(data + bytes(int(self.values.get("big", 0))))
        if self.target is None and self.twin is None:
            usual = "755" if self.path.endswith("/") else "644"
            os.chmod(path, int(self.values.get("mode", usual), 8))
        if "xattr" in self.values:
            name, value = self.values["xattr"].split(":", 1)
            os.setxattr(path, name, value.encode())


class Case:
    def __init__(self, topic, name, shared):
        self.topic, self.name = topic, name
        self.files = list(shared)
        self.says, self.options, self.needs, self.fails, self.lean = "", [], [], None, False
        self.differs, self.spare = {}, {}
        self.dockerfile = File("Dockerfile", [])

    def header(self, line):
        key, _, value = line.partition(":")
        value = value.strip()
        if key not in HEADERS or not line.startswith(key + ":"):
            self.says = (self.says + " " + line.strip()).strip()
        elif key == "build":
            self.options += shlex.split(value)
        elif key == "needs":
            self.needs += value.split()
        elif key in ("differs", "spare"):
            judge, _, reason = value.partition(" ")
            (self.differs if key == "differs" else self.spare)[judge] = reason
        elif key == "lean":
            self.lean = True
        else:
            self.fails = value

    def write(self, root):
        """The context below `root`, everything in it as old as FILE_TIME."""
        os.makedirs(root)
        for file in [self.dockerfile] + self.files:
            if file is not self.dockerfile or file.lines or file.flags:
                file.write(root)
        times = {os.path.normpath(os.path.join(root, file.path)): int(file.values["mtime"])
                 for file in self.files if "mtime" in file.values}
        for folder, _, names in os.walk(root, topdown=False):
            for path in [os.path.join(folder, name) for name in names] + [folder]:
                time = times.get(os.path.normpath(path), FILE_TIME)
                os.utime(path, (time, time), follow_symlinks=False)
        for folder, folders, _ in os.walk(root, topdown=False):
            for name in folders:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    os.utime(path, (FILE_TIME, FILE_TIME), follow_symlinks=False)


def read_topic(path):
    topic = os.path.splitext(os.path.basename(path))[0]
    shared, cases, into, heading = [], [], None, False
    with open(path, encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        marker = MARKER.match(line)
        if line.startswith("=== "):
            cases.append(Case(topic, line[4:].strip(), shared))
            into, heading = None, True
        elif heading and line == "---":
            into, heading = cases[-1].dockerfile, False
        elif heading:
            cases[-1].header(line)
        elif marker:
            name, *attributes = shlex.split(marker[1])
            into = File(name, attributes)
            if name == "Dockerfile":
                cases[-1].dockerfile = into
            else:
                (cases[-1].files if cases else shared).append(into)
        elif into is not None:
            into.lines.append(line)
        elif line and not line.startswith("#"):
            raise ValueError(f"{path}:{number}: text outside of a file: {line}")
    for case in cases:
        # One empty line sets cases apart; it belongs to neither.
        for file in [case.dockerfile] + case.files:
            if file not in shared and file.lines and file.lines[-1] == "":
                file.lines.pop()
    return cases


def read(directory):
    cases = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".cases"):
            cases += read_topic(os.path.join(directory, name))
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError("two cases are called " + ", ".join(twice))
    return cases

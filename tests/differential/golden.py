"""The accepted results, as text: golden/TOPIC.golden, one section per case.

    === copy-file-to-name
    buildkit: equal
    buildah: differs
    - a line that only shale has
    + a line that only buildah has
    | /a: file  0644 0:0 6 5891b5b522d5df08 mtime=1000000000

Lines with a bar are what shale must make. A judge's verdict is one it gave when the result was
accepted in its presence, with the lines in which it differs.
"""

import os


def accepting():
    return os.environ.get("SHALE_ACCEPT") == "1"


class Record:
    def __init__(self):
        self.lines, self.verdicts, self.differences = [], {}, {}

    def text(self):
        out = []
        for judge in sorted(self.verdicts):
            out.append(f"{judge}: {self.verdicts[judge]}")
            out += self.differences[judge]
        return out + ["| " + line for line in self.lines]


class Golden:
    def __init__(self, directory):
        self.directory, self.records = directory, {}
        for name in sorted(os.listdir(directory)):
            if name.endswith(".golden"):
                self.read(name)

    def read(self, name):
        record = judge = None
        with open(os.path.join(self.directory, name), encoding="utf-8") as file:
            for line in file.read().splitlines():
                if line.startswith("=== "):
                    record = self.records[line[4:]] = Record()
                elif line.startswith("| "):
                    record.lines.append(line[2:])
                elif line[:2] in ("- ", "+ "):
                    record.differences[judge].append(line)
                elif line:
                    judge, record.verdicts[judge] = line.split(": ", 1)
                    record.differences[judge] = []

    def accept(self, rows, cases):
        """Takes over what went well. Cases that did not run keep what was accepted before."""
        for row in rows:
            if row.problem:
                continue
            record = self.records.setdefault(row.case.name, Record())
            record.lines = row.lines
            for judge, word in row.verdicts.items():
                if word in ("equal", "listed", "skipped"):
                    record.verdicts[judge] = word
                    record.differences[judge] = row.differences[judge] if word == "listed" else []
        for topic in sorted({case.topic for case in cases}):
            names = [case.name for case in cases if case.topic == topic]
            path = os.path.join(self.directory, topic + ".golden")
            with open(path, "w", encoding="utf-8") as file:
                for name in names:
                    if name in self.records:
                        file.write("\n".join([f"=== {name}"] + self.records[name].text()) + "\n\n")

#!/usr/bin/env python3
"""Builds the corpus with shale and compares what comes out with what other builders make of it.

usage: run.py [--shale PROGRAM] [--judge buildkit|buildah]... [--only PATTERN] [--lean]
              [--jobs N] [--verbose] [--keep] [--json]

Without a judge shale is held against golden/, where the results that were accepted before are
written down together with what each judge said of them then. With judges, both build every case and
the images are compared: every file's type, mode, owner, size, content, link, hardlinks, xattrs and
device numbers, its time unless both made it during the build, the config key by key, and history.

A difference is fine where the case names its reason (`differs:`), and only as golden/ has it.
SHALE_ACCEPT=1 writes golden/ anew (with judges: also their verdicts) and exits with 77, so that
accepting never looks like passing. Exit status 1 says that something differs, 3 that a judge cannot
work here.
"""

import argparse
import concurrent.futures
import difflib
import fnmatch
import json
import os
import shutil
import sys
import tempfile

import bases
import builders
import corpus
import flatten
import golden
import judges
import notes

HERE = os.path.dirname(os.path.abspath(__file__))
NOTES = os.path.join(HERE, "../../docs/dockerfile-notes.md")
GOOD = ("equal", "listed", "skipped")


class Row:
    """One case and what every builder made of it."""

    def __init__(self, case):
        self.case, self.lines, self.problem, self.error = case, [], None, ""
        self.verdicts, self.differences = {}, {}

    def verdict(self, column, word, lines=()):
        self.verdicts[column], self.differences[column] = word, list(lines)


def difference(ours, theirs):
    changes = difflib.ndiff(ours, theirs)
    return [line[0] + " " + line[2:] for line in changes if line[0] in "-+"]


class Trial:
    def __init__(self, shale, judges, base, accepted, scratch):
        self.shale, self.judges, self.base = shale, judges, base
        self.accepted, self.scratch = accepted, scratch

    def description(self, builder, outcome):
        if outcome.image is None:
            return ["fails"]
        return builder.describe(outcome.image, self.base)

    def judge_shale(self, row, outcome):
        """What the case itself asks of shale, before anybody is compared with it."""
        row.error = outcome.error or ""
        if row.case.fails is None and outcome.error:
            row.problem = "shale failed"
        elif row.case.fails is not None and not outcome.error:
            row.problem = "shale did not fail"
        elif row.case.fails is not None and row.case.fails not in outcome.error:
            row.problem = f"shale failed, but not with: {row.case.fails}"

    def compare(self, row, judge, ours, context):
        case, missing = row.case, [word for word in row.case.needs if not judge.knows(word)]
        if missing or judge.name in case.spare:
            row.verdict(judge.name, "skipped",
                        ["unknown to it: " + " ".join(missing)] if missing
                        else [case.spare[judge.name]])
            return
        theirs = judge.build(case, context)
        mine = self.description(judge, ours)  # without what this judge has no word for
        found = difference(mine, self.description(judge, theirs))
        reason, record = case.differs.get(judge.name), self.accepted.get(case.name)
        if not found:
            row.verdict(judge.name, "unlisted" if reason else "equal",
                        ["it is listed, but there is no difference"] if reason else [])
        elif not reason:
            row.verdict(judge.name, "differs", found + (theirs.error or "").splitlines()[-6:])
        elif not golden.accepting() and (not record or record.differences.get(judge.name) != found):
            row.verdict(judge.name, "differs", ["not as golden/ has it:"] + found)
        else:
            row.verdict(judge.name, "listed", found)

    def run(self, case):
        row = Row(case)
        context = os.path.join(self.scratch, "contexts", case.name)
        try:
            case.write(context)
            outcome = self.shale.build(case, context)
            self.judge_shale(row, outcome)
            row.lines = self.description(self.shale, outcome)
            for judge in self.judges:
                self.compare(row, judge, outcome, context)
            if not self.judges and not golden.accepting():
                record = self.accepted.get(case.name)
                found = difference(row.lines, record.lines) if record else ["nothing accepted yet"]
                row.verdict("golden", "differs" if found else "equal", found)
        except Exception as error:  # a case must not end the run of the others
            row.problem = f"{type(error).__name__}: {error}"
        return row


def chosen(cases, options):
    return [case for case in cases
            if (case.lean or not options.lean) and
            fnmatch.fnmatch(f"{case.topic}/{case.name}", f"*{options.only or ''}*")]


def is_bad(row):
    return bool(row.problem) or any(word not in GOOD for word in row.verdicts.values())


def print_row(row, verbose):
    words = " ".join(f"{name}:{word}" for name, word in row.verdicts.items())
    print(f"{'FAIL' if is_bad(row) else 'ok  '} {row.case.topic}/{row.case.name}  {words}")
    if row.problem:
        print(f"       {row.problem}")
        for line in row.error.splitlines()[-8:]:
            print(f"       | {line}")
    for name, word in row.verdicts.items():
        if word not in GOOD or (verbose and word != "equal"):
            for line in row.differences[name]:
                print(f"       {name} {line}")
    sys.stdout.flush()


def print_summary(rows, columns, versions):
    print(f"\n{'':24}" + "".join(f"{word:>9}" for word in ("cases", *GOOD, "differ")))
    for name in columns:
        words = [row.verdicts.get(name) for row in rows]
        counts = [words.count(word) for word in GOOD]
        counts.append(sum(1 for row in rows if row.problem or row.verdicts.get(name) not in GOOD))
        label = versions.get(name, name)
        print(f"{label:24}" + "".join(f"{count:9}" for count in [len(rows)] + counts))


def as_json(rows):
    return [{"case": row.case.name, "topic": row.case.topic, "says": row.case.says,
             "problem": row.problem, "verdicts": row.verdicts, "differences": row.differences,
             "reasons": row.case.differs} for row in rows]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shale", default=os.path.join(HERE, "../../build/tools/shale/shale"))
    parser.add_argument("--judge", action="append", default=[], choices=("buildkit", "buildah"))
    parser.add_argument("--only", metavar="PATTERN", help="cases whose TOPIC/NAME contains it")
    parser.add_argument("--lean", action="store_true", help="only the cases marked `lean:`")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--verbose", action="store_true", help="show listed differences as well")
    parser.add_argument("--keep", action="store_true", help="leave contexts behind, and say where")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead")
    return parser.parse_args()


def main():
    options = arguments()
    every = corpus.read(os.path.join(HERE, "cases"))
    cases = chosen(every, options)
    store = golden.Golden(os.path.join(HERE, "golden"))
    scratch = tempfile.mkdtemp(prefix="shale-differential-")
    registry, tried = bases.Registry(), []
    try:
        tried.append(builders.Shale(scratch, os.path.realpath(options.shale), registry))
        try:
            for name in options.judge:
                tried.append(judges.judge(name, scratch, registry))
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 3
        trial = Trial(tried[0], tried[1:], flatten.base(registry.names["base"][0]),
                      store.records, scratch)
        rows = []
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for row in pool.map(trial.run, cases):
                rows.append(row)
                if not options.json:
                    print_row(row, options.verbose)
    finally:
        for builder in tried:
            builder.close()
        registry.close()
        if options.keep:
            print("contexts are in " + os.path.join(scratch, "contexts"), file=sys.stderr)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    if options.json:
        print(json.dumps(as_json(rows), indent=1, ensure_ascii=False))
    elif options.judge or not golden.accepting():
        print_summary(rows, options.judge or ["golden"],
                      {builder.name: builder.version for builder in tried})
    if golden.accepting():
        store.accept(rows, every)
        notes.update(NOTES, every, store.records, write=True)
        return 77
    noted = notes.update(NOTES, every, store.records, write=False)
    if not noted:
        print("docs/dockerfile-notes.md is not what the corpus says; accepting rewrites it")
    return 1 if any(map(is_bad, rows)) or not rows or not noted else 0


if __name__ == "__main__":
    sys.exit(main())

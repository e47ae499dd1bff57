#!/usr/bin/env python3
"""Builds the examples, and checks files, owners, configuration and programs of what came out.

usage: gallery.py SHALE quick|slow

The base images come from the registry at $SHALE_TEST_REGISTRY, which tools/test fills. `slow` has
the examples whose bases are expensive to make; it runs when they are there, which
`SHALE_TEST_SLOW=1 tools/test` sees to.
"""

import os
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True  # no __pycache__ among the sources
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gallery import Example, Failure, Shale, example_names, missing_bases  # noqa: E402

SKIPPED = 77


def mounts_of(folder):
    """Mounts on or from something in `folder`; others on this machine come and go."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line.split()[4] for line in file if folder in line]


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def __call__(self, what, problem):
        if problem is None:
            self.passed += 1
            print(f"ok   {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {what}\n     | {problem}", flush=True)

    def skip(self, name, reason):
        self.skipped += 1
        print(f"SKIP {name}: {reason}", flush=True)


def run(shale, registry, slow, report):
    reaches_npm = None
    for name in example_names():
        example = Example(name)
        if example.slow != slow:
            continue
        if missing := missing_bases(registry, example.bases):
            report.skip(name, f"{', '.join(missing)} not made; SHALE_TEST_SLOW=1 tools/test does")
            continue
        if example.npm and reaches_npm is None:
            reaches_npm = shale.find_npm()
        if example.npm and not reaches_npm:
            report.skip(name, "a step cannot reach the npm registry")
            continue
        try:
            example.build_and_check(
                shale, lambda what, problem: report(f"{name}: {what}", problem))
        except Failure as failure:
            report(name, str(failure))


def main():
    program, which = sys.argv[1:]
    registry = os.environ.get("SHALE_TEST_REGISTRY")
    for reason, applies in {
            "needs root for mounts and the OCI runtime": os.geteuid() != 0,
            "needs /dev/fuse": not os.path.exists("/dev/fuse"),
            "needs base images; tools/test serves them": not registry}.items():
        if applies:
            print(f"SKIP: {reason}")
            sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a timeout cleans up, too
    report = Report()
    scratch = tempfile.mkdtemp(prefix="shale-gallery-")
    try:
        shale = Shale(os.path.abspath(program), scratch, registry)
        run(shale, registry, which == "slow", report)
        left = os.path.join(shale.store, "tmp")
        if os.path.isdir(left):
            report("no scratch is left in the store", " ".join(os.listdir(left)) or None)
        report("no mount is left behind", " ".join(mounts_of(scratch)) or None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{report.passed} passed, {report.failed} failed, {report.skipped} skipped")
    built_nothing = report.passed <= 2 and report.skipped
    sys.exit(1 if report.failed else SKIPPED if built_nothing else 0)


if __name__ == "__main__":
    main()

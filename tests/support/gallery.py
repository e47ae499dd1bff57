"""The examples under examples/ as a test sees them: what each builds from, and what must come out.

What is expected of examples/NAME stands in tests/integration/gallery/NAME.toml:

  pattern = "..."          the pattern it shows, for people
  bases = [...]            the images its FROM lines name
  stages = [...]           the stages whose sizes are worth comparing with the result's
  npm = true               whether its steps need the npm registry (default false)
  slow = true              whether the default test run leaves it out (default false)
  [[build]]                one or more; the first is the example as it stands
    target, args           of the build
    absent_stages = [...]  stages that it must not look at
    [build.files]          path -> "MODE UID:GID", or "absent"
    [build.config]         key of the image's configuration -> value; of Env, what it must contain
    [[build.run]]          command, input (optional), prints: a part of its standard output

Used by tools/gallery, which measures as well, and by tests/integration/gallery.py.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
import tomllib
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INDEX = "application/vnd.oci.image.index.v1+json"  # what tools/bases pushes
EXPECTATIONS = os.path.join(ROOT, "tests", "integration", "gallery")


class Failure(Exception):
    """A command of shale that failed, with the end of what it printed."""


class Shale:
    """The program with a store of its own, and the bases from a registry on loopback."""

    def __init__(self, program, scratch, registry):
        self.program = program
        self.scratch = scratch
        self.network = []
        config = os.path.join(scratch, "config.json")
        mirror = [f"http://{registry}"]
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"mirrors": {"docker.io": mirror, "mcr.microsoft.com": mirror}}, file)
        self.store = os.path.join(scratch, "store")
        self.environment = dict(os.environ, SHALE_ROOT=self.store, SHALE_CONFIG=config)

    def __call__(self, *arguments, stdin=None):
        """Standard output and standard error of a command that must succeed."""
        done = subprocess.run([self.program, *arguments], env=self.environment, text=True,
                              input=stdin or "", capture_output=True, check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().split("\n")
            raise Failure(f"shale {' '.join(arguments)}: exit {done.returncode}\n"
                          + "\n".join("    " + line for line in said[-25:]))
        return done.stdout, done.stderr

    def build(self, folder, tag, target=None, args=()):
        """Builds and returns (image ID, log)."""
        iid = os.path.join(self.scratch, "iid")
        command = ["build", "--progress", "plain", "--iidfile", iid, "-t", tag, *self.network]
        if target:
            command += ["--target", target]
        for arg in args:
            command += ["--build-arg", arg]
        log = "".join(self(*command, folder))
        with open(iid, encoding="utf-8") as file:
            return file.read().strip(), log

    @contextlib.contextmanager
    def mounted(self, image):
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            self("mount", image, folder)
            try:
                yield folder
            finally:
                self("umount", folder)

    def images(self):
        return {f"{image['repository']}:{image['tag']}": image
                for image in json.loads(self("images", "--json")[0])}

    def find_npm(self):
        """Chooses a network by which a step reaches the npm registry; False if there is none."""
        probe = os.path.join(self.scratch, "probe")
        os.makedirs(probe, exist_ok=True)
        with open(os.path.join(probe, "Dockerfile"), "w", encoding="utf-8") as file:
            file.write("FROM node:18\nRUN npm ping --fetch-retries=0 --fetch-timeout=15000\n")
        for network in [], ["--network", "host"]:
            self.network = network
            with contextlib.suppress(Failure):
                self.build(probe, "gallery/probe")
                return True
        return False


def missing_bases(registry, bases):
    """Those that the registry on loopback does not serve."""
    def serves(name):
        repository, _, tag = name.rpartition(":")
        domain, _, rest = repository.partition("/")
        repository = rest if "." in domain else f"library/{repository}"
        request = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{tag}",
                                         headers={"Accept": INDEX}, method="HEAD")
        try:
            with urllib.request.urlopen(request):
                return True
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
    return [name for name in bases if not serves(name)]


class Example:
    def __init__(self, name):
        self.name = name
        self.folder = os.path.join(ROOT, "examples", name)
        with open(os.path.join(EXPECTATIONS, f"{name}.toml"), "rb") as file:
            table = tomllib.load(file)
        self.pattern = table.pop("pattern")
        self.bases = table.pop("bases")
        self.stages = table.pop("stages")
        self.npm = table.pop("npm", False)
        self.slow = table.pop("slow", False)
        self.builds = table.pop("build")
        if table:
            raise ValueError(f"{name}.toml: unknown keys {', '.join(table)}")

    def tag(self, what="result"):
        return f"gallery/{self.name}:{what}"

    def build_and_check(self, shale, report):
        """Builds everything twice and checks it; report(what, problem or None) hears of each
        check. Returns the seconds that the first build took without and with a cache."""
        seconds = None
        for number, build in enumerate(self.builds):
            tag = self.tag(f"result{number or ''}")
            arguments = dict(target=build.get("target"), args=build.get("args", ()))
            what = " ".join([arguments["target"] or "", *arguments["args"]]).strip() or "default"
            start = time.monotonic()
            first, log = shale.build(self.folder, tag, **arguments)
            built = time.monotonic()
            again, cached_log = shale.build(self.folder, tag, **arguments)
            seconds = seconds or (built - start, time.monotonic() - built)
            report(f"{what}: builds", None)
            report(f"{what}: comes from cache the second time", not_cached(cached_log)
                   or (None if first == again else f"{again} instead of {first}"))
            for stage in build.get("absent_stages", ()):
                seen = re.search(rf"^#\d+ \[{re.escape(stage)} .*", log, re.MULTILINE)
                report(f"{what}: {stage} is not looked at", seen and seen.group())
            self.check_files(shale, tag, build.get("files", {}), what, report)
            self.check_config(shale, tag, build.get("config", {}), what, report)
            for run in build.get("run", ()):
                self.check_run(shale, tag, run, what, report)
        return seconds

    @staticmethod
    def check_files(shale, tag, files, what, report):
        if not files:
            return
        with shale.mounted(tag) as root:
            for path, wanted in files.items():
                try:
                    status = os.lstat(root + path)
                    got = f"{status.st_mode & 0o7777:o} {status.st_uid}:{status.st_gid}"
                except FileNotFoundError:
                    got = "absent"
                report(f"{what}: {path} is {wanted}", None if got == wanted else f"it is {got}")

    @staticmethod
    def check_config(shale, tag, wanted, what, report):
        config = json.loads(shale("inspect", tag)[0])["config"]["config"] if wanted else {}
        for key, value in wanted.items():
            got = config.get(key)
            right = set(value) <= set(got or ()) if key == "Env" else got == value
            report(f"{what}: {key} is {json.dumps(value)}",
                   None if right else f"it is {json.dumps(got)}")

    @staticmethod
    def check_run(shale, tag, run, what, report):
        title = f"{what}: {' '.join(run['command'])} prints {run['prints']!r}"
        try:
            output, errors = shale("shell", tag, "--", *run["command"], stdin=run.get("input"))
        except Failure as failure:
            report(title, str(failure))
            return
        report(title, None if run["prints"] in output else f"it printed: {output}{errors}")


def not_cached(log):
    """What a build did that it should have found in the cache."""
    summary = re.search(r"^shale: (\d+) of (\d+) steps cached", log, re.MULTILINE)
    if not summary:
        return "the build printed no summary"
    return None if summary[1] == summary[2] else summary.group()


def example_names():
    return sorted(name.removesuffix(".toml") for name in os.listdir(EXPECTATIONS))

"""What builders have in common, and shale: a case goes in, an image or words of an error come out.

shale is on trial; the judges are in judges.py. All of them start from the same base images, RUN
without a network (but buildah), and hand over what they made as a docker archive.
"""

import os
import re
import shutil
import subprocess
import tempfile

import archives
import flatten

# What a judge may be too old for, and the least Dockerfile that tells.
FEATURES = {
    "heredoc": "FROM scratch\nCOPY <<EOF /x\nx\nEOF\n",
    "link": "FROM scratch\nCOPY --link Dockerfile /x\n",
    "parents": "FROM scratch\nCOPY --parents Dockerfile /x/\n",
    "exclude": "FROM scratch\nCOPY --exclude=x Dockerfile /x/\n",
    "symbolic-chmod": "FROM base\nCOPY --chmod=u=r,go= Dockerfile /x\n"
                      "RUN test $(stat -c %a /x) = 400\n",
    "chmod": "FROM base\nCOPY --chmod=600 Dockerfile /x\n"
             "RUN test $(stat -c %a /x) = 600\n",
    "pattern-modifiers": "FROM scratch\nENV A=a/b\nENV B=${A#*/} C=${A/a/b}\n",
    "required-modifiers": "FROM scratch\nENV A=a B=${PATH?x}\n",
    # buildah 1.28 removes the directories that it mounted over.
    "run-mount": "FROM base\nRUN --mount=type=tmpfs,target=/home true\nRUN test -d /home\n",
    "run-network": "FROM base\nRUN --network=none true\n",
    "unpack": "FROM scratch\nADD --unpack=false Dockerfile /x\n",
    "zstd": "FROM base\nADD archive /x\nRUN test -d /x\n",
    "start-interval": "FROM scratch\nHEALTHCHECK --start-interval=1s CMD x\n",
}


class Outcome:
    """What came of one build: an image, or the words it failed with."""

    def __init__(self, image=None, error=None):
        self.image, self.error = image, error


class Builder:
    """What a judge writes, or leaves out, whatever the case: no line of a description that matches
    one of `always` is compared with its, and no text that matches one of `within`."""

    name = version = None
    compares_history = True
    always = within = ()

    def describe(self, image, base):
        lines = image.lines(base, self.within)
        if not self.compares_history:
            lines = [line for line in lines if not line.startswith("history ")]
        return [line for line in lines
                if not any(re.match(pattern, line) for pattern in self.always)]

    def __init__(self, scratch):
        self.scratch = os.path.join(scratch, self.name)
        os.makedirs(self.scratch)
        self.features, self.bases = {}, {}

    def run(self, command, **options):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=600,
                              env=self.environment(), check=False, **options)

    def must(self, command):
        result = self.run(command)
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{result.stdout}")
        return result.stdout

    def environment(self):
        kept = ("PATH", "HOME", "TMPDIR", "LANG")
        return {key: os.environ[key] for key in kept if key in os.environ}

    def knows(self, feature):
        if feature not in self.features:
            with tempfile.TemporaryDirectory(dir=self.scratch) as context:
                with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as file:
                    file.write(FEATURES[feature])
                with open(os.path.join(context, "archive"), "wb") as file:
                    file.write(archives.make("tar.zst", ["file f"]))
                result = self.run(self.build_command("probe") + [context], cwd=context)
                self.features[feature] = result.returncode == 0
        return self.features[feature]

    def build(self, case, context):
        archive = os.path.join(self.scratch, case.name + ".tar")
        result = self.run(self.build_command(case.name) + case.options + [context], cwd=context)
        if result.returncode:
            return Outcome(error=result.stdout)
        try:
            self.export(case.name, archive)
            return Outcome(image=flatten.Image(archive))
        finally:
            if os.path.exists(archive):
                os.unlink(archive)

    def close(self):
        pass


class Shale(Builder):
    name = "shale"

    def __init__(self, scratch, program, registry):
        super().__init__(scratch)
        self.shale = [program, "--root", os.path.join(self.scratch, "store")]
        self.archives = os.path.join(self.scratch, "out")
        os.makedirs(self.archives)
        self.version = self.must([program, "--version"]).strip()
        for image in registry.names:
            self.must(self.shale + ["pull", "-q", f"{registry.address}/{image}"])
            self.must(self.shale + ["tag", f"{registry.address}/{image}:latest", image])

    def build_command(self, name):
        out = os.path.join(self.archives, name + ".tar")
        return self.shale + ["build", "--progress", "plain", "--network", "none", "-t",
                             "case/" + name, "-o",
                             f"type=docker,dest={out},compression=uncompressed"]

    def build(self, case, context):
        """A build that fails must leave no image: no archive, and no name in the store."""
        outcome = super().build(case, context)
        if outcome.error:
            with open(os.path.join(self.scratch, "store/index.json"), encoding="utf-8") as file:
                named = f"case/{case.name}:latest" in file.read()
            if named or os.path.exists(os.path.join(self.archives, case.name + ".tar")):
                raise RuntimeError("the build failed and left an image: " + outcome.error)
        return outcome

    def export(self, name, archive):
        os.rename(os.path.join(self.archives, name + ".tar"), archive)

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)

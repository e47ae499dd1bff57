#!/usr/bin/env python3
"""Checks what a compiler does not: who includes whom, how files are laid out, whether links lead
anywhere. Meson runs it as the suite `tidy`, one test per check; every finding is one line with a
path and a line number, and any finding fails the check.

usage: check_tree.py [--root DIR] [--build DIR] CHECK...

  edges    include lines against tools/rooms.toml, and private headers across folders
  text     line length, white space, opening comments, file length, promises without an issue
  built    every .cpp is named by a meson.build, so that no test is silently left out
  words    words from the file that $SHALE_FORBIDDEN_WORDS names, one a line; nothing if unset
  links    relative links in Markdown files, with their anchors
  scripts  shell and Python scripts parse
  format   clang-format-14 would change nothing        (skipped, 77, where it is not installed)
  headers  every header compiles alone: one that a source file includes before anything else has
           done so, the others are tried here          (needs --build, a configured build directory)
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

SKIPPED = 77  # Meson's exit code for "skipped"
COLUMNS = 100
LONG_PROSE = 150  # lines from which a file opens with a paragraph, not a phrase
LONGEST = {".cpp": 600, ".hpp": 300}  # lines from which the opening comment gives a reason
REASON = re.compile(r"\b(long(er)?|one file)\b[^.]*\bbecause\b", re.IGNORECASE | re.DOTALL)
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
SCRIPT_SUFFIXES = {"", ".sh", ".py", ".build", ".ini", ".toml", ".txt"}


def project_files(root):
    """Every file that is or could be committed, relative to `root`, sorted."""
    listing = subprocess.run(["git", "-c", f"safe.directory={root}", "-C", root, "ls-files", "-z",
                              "--cached", "--others", "--exclude-standard"],
                             capture_output=True, check=False)
    if listing.returncode == 0:
        names = {name.decode() for name in listing.stdout.split(b"\0") if name}
    else:  # a release archive has no .git
        names = set()
        for folder, folders, files in os.walk(root):
            if folder == root:  # src/build is a room, build/ and build-asan/ are not
                folders[:] = [f for f in folders if not f.startswith(("build", ".git", ".cache"))]
            names.update(os.path.relpath(os.path.join(folder, file), root) for file in files)
    return sorted(name for name in names
                  if os.path.isfile(os.path.join(root, name))
                  and not os.path.islink(os.path.join(root, name)))


class Tree:
    def __init__(self, root):
        self.root = root
        self.names = project_files(root)

    def path(self, name):
        return os.path.join(self.root, name)

    def lines(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as file:
            return file.read().split("\n")

    def sources(self, *folders):
        """C++ files, all of them or those under `folders`."""
        return [name for name in self.names if name.endswith((".cpp", ".hpp"))
                and (not folders or name.startswith(tuple(f + "/" for f in folders)))]

    def is_script(self, name):
        with open(self.path(name), "rb") as file:
            return file.read(2) == b"#!"


# ---------------------------------------------------------------------------------------- edges

def room_of(name):
    """The room that a source file belongs to; a door belongs to the room it opens."""
    parts = name.split("/")
    if parts[:2] == ["include", "shale"]:
        return parts[2].removesuffix(".hpp")
    return parts[1] if parts[0] == "src" else parts[0]


def check_edges(tree):
    with open(tree.path("tools/rooms.toml"), "rb") as file:
        rules = tomllib.load(file)
    for name in tree.sources("include", "src", "fuse", "tools"):
        room = room_of(name)
        if room not in rules["doors"]:
            yield f"{name}:1: room '{room}' is not in tools/rooms.toml"
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if match := INCLUDE.match(line):
                problem = include_problem(tree, rules, name, room, *match.groups())
                if problem:
                    yield f"{name}:{number}: {problem}"
            code = line.split("//", maxsplit=1)[0]
            for word, rooms in rules["names"].items():
                if room not in rooms and re.search(rf"\b{re.escape(word)}\b", code):
                    yield f"{name}:{number}: only {', '.join(rooms)} may use {word}"


def include_problem(tree, rules, name, room, bracket, target):
    if target.startswith("shale/"):
        door = target.removeprefix("shale/").removesuffix(".hpp")
        if bracket == '"':
            return f'doors are included as <{target}>'
        if door not in rules["doors"]:
            return f"there is no door {target}"
        if door != room and door not in rules["doors"][room]:
            return f"{room} may not include {target}"
        return None
    if bracket == '"':
        if "/" in target:
            return f'private header "{target}" belongs to another folder'
        if name.startswith("include/"):
            return f'a door includes the private header "{target}"'
        if not os.path.isfile(os.path.join(os.path.dirname(tree.path(name)), target)):
            return f'no private header "{target}" in this folder'
        return None
    for pattern, rooms in rules["third_party"].items():
        if fnmatch.fnmatchcase(target, pattern):
            if name.startswith("include/"):
                return f"<{target}> stops at the door: private files only"
            if room not in rooms:
                return f"<{target}> belongs to {', '.join(rooms)}"
    return None


# ---------------------------------------------------------------------------------------- text

def opening_comment(lines):
    comment = []
    for line in lines:
        if not line.startswith("//"):
            break
        comment.append(line.removeprefix("//").strip())
    return comment


def check_text(tree):
    for name in tree.names:
        suffix = os.path.splitext(name)[1]
        is_source = suffix in (".cpp", ".hpp")
        if not is_source and suffix not in SCRIPT_SUFFIXES:
            continue
        if os.path.basename(name) == "LICENSE" or is_data(name):
            continue
        if not is_source and suffix == "" and not tree.is_script(name):
            continue
        lines = tree.lines(name)
        yield from layout_problems(name, lines)
        if is_source:
            # A .cpp beside a header of its name is introduced there; a test by its test names.
            introduced = (name.startswith("tests/")
                          or (suffix == ".cpp" and name[:-3] + "hpp" in tree.names))
            yield from source_problems(name, suffix, lines, introduced)


def is_data(name):
    """Inputs of tests are whatever they need to be."""
    return bool(re.match(r"tests/(golden|compat|fuzz/(corpus|[a-z_]*corpus))/", name))


def layout_problems(name, lines):
    if lines[-1] != "":
        yield f"{name}:{len(lines)}: no newline at the end of the file"
    elif len(lines) > 2 and lines[-2] == "":
        yield f"{name}:{len(lines) - 1}: empty line at the end of the file"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS and 'R"(' not in line:  # documents in tests stay in one piece
            yield f"{name}:{number}: {len(line)} columns, {COLUMNS} is the limit"
        if line != line.rstrip():
            yield f"{name}:{number}: white space at the end of the line"
        if "\t" in line and not name.endswith("Makefile"):
            yield f"{name}:{number}: tab"
        # The marks are put together here so that this file does not find itself.
        for mark in ("TO" + "DO", "FIX" + "ME", "XX" + "X"):
            if re.search(rf"(?<!\.)\b{mark}\b(?!\(#\d+\))", line):
                yield f"{name}:{number}: {mark} without an issue: write {mark}(#123)"


def source_problems(name, suffix, lines, introduced):
    comment = opening_comment(lines)
    if not comment and not introduced:
        yield f"{name}:1: no comment that says what the file is for"
    length = len(lines) - 1
    if length > LONG_PROSE and len(" ".join(comment)) < 120 and not introduced:
        yield f"{name}:1: {length} lines and no opening paragraph"
    if length > LONGEST[suffix] and not REASON.search(" ".join(comment)):
        yield (f"{name}:1: {length} lines; split it, or let the opening comment say "
               f"'one file because ...'")
    if suffix == ".hpp":
        if "#pragma once" not in lines:
            yield f"{name}:1: no #pragma once"
        for number, line in enumerate(lines, 1):
            if re.match(r"\s*using namespace\b", line):
                yield f"{name}:{number}: using namespace in a header"


# ---------------------------------------------------------------------------------------- built

def check_built(tree):
    recipes = {os.path.dirname(name): "\n".join(tree.lines(name))
               for name in tree.names if os.path.basename(name) == "meson.build"}
    for name in tree.sources():
        if not name.endswith(".cpp"):
            continue
        folder, file = os.path.split(name)
        # A folder may be built by the recipe of a folder above it.
        while folder and folder not in recipes:
            folder, _, _ = folder.rpartition("/")
        # By name, by stem, or by what stands before the suffix of harnesses and benchmarks.
        stem = file.removesuffix(".cpp")
        listed = "|".join(map(re.escape, {file, stem, re.sub("_(fuzz|bench)$", "", stem)}))
        if not re.search(rf"['/]({listed})'", recipes.get(folder, "")):
            yield f"{name}:1: no meson.build builds this file"


# ---------------------------------------------------------------------------------------- words

def check_words(tree):
    source = os.environ.get("SHALE_FORBIDDEN_WORDS")
    if not source:
        return
    with open(source, encoding="utf-8") as file:
        words = [word.strip() for word in file if word.strip()]
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    for name in tree.names:
        if match := words and pattern.search(name):
            yield f"{name}:1: the name contains '{match.group()}'"
        for number, line in enumerate(tree.lines(name), 1):
            if match := words and pattern.search(line):
                yield f"{name}:{number}: contains '{match.group()}'"


# ---------------------------------------------------------------------------------------- links

def heading_anchors(lines):
    """The anchors that GitHub gives to headings."""
    anchors, fenced, seen = set(), False, {}
    for line in lines:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if fenced or not re.match(r"#{1,6} ", line):
            continue
        slug = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


def markdown_links(lines):
    fenced = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if not fenced:
            for match in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
                yield number, match.group(1)


def check_links(tree):
    for name in (n for n in tree.names if n.endswith(".md") and not is_data(n)):
        for number, link in markdown_links(tree.lines(name)):
            if re.match(r"[a-z]+:", link):
                continue  # another site; this check must not need a network
            path, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not os.path.exists(tree.path(target)):
                yield f"{name}:{number}: {link} leads nowhere"
            elif anchor and target.endswith(".md") \
                    and anchor not in heading_anchors(tree.lines(target)):
                yield f"{name}:{number}: {link}: no such heading"


# ---------------------------------------------------------------------------------------- tools

def check_scripts(tree):
    for name in tree.names:
        if not tree.is_script(name) or is_data(name):
            continue
        first = tree.lines(name)[0]
        if "python" in first:
            try:
                compile("\n".join(tree.lines(name)), name, "exec")
            except SyntaxError as error:
                yield f"{name}:{error.lineno}: {error.msg}"
        elif re.search(r"\b(ba|da)?sh\b", first):
            shell = "bash" if "bash" in first else "sh"
            result = subprocess.run([shell, "-n", tree.path(name)], capture_output=True, text=True,
                                    check=False)
            if result.returncode != 0:
                yield f"{name}:1: {result.stderr.strip()}"
        if not os.access(tree.path(name), os.X_OK):
            yield f"{name}:1: starts with #! and is not executable"


def check_format(tree):
    tool = shutil.which("clang-format-14")
    if not tool:
        print("clang-format-14 is not installed")
        sys.exit(SKIPPED)
    for name in tree.sources():
        result = subprocess.run([tool, "--dry-run", "-Werror", "--style=file", tree.path(name)],
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            first = result.stderr.split("\n", maxsplit=1)[0]
            line = re.search(r":(\d+):\d+:", first)
            yield f"{name}:{line.group(1) if line else 1}: not formatted; tools/dev fmt does it"


def compile_commands(build):
    """Compiler and flags that decide whether a header parses, from the build's own commands."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    compiler, flags = None, {}
    for entry in commands:
        words = shlex.split(entry["command"])
        start = next(i for i, word in enumerate(words) if not word.endswith("ccache"))
        compiler = compiler or words[start]
        for word in words[start + 1:]:
            if word.startswith("-I"):
                flags["-I" + os.path.join(entry["directory"], word[2:])] = True
            elif word.startswith(("-D", "-std=", "-W", "-pthread")) and "-fPIC" not in word:
                flags[word] = True
        # -isystem takes the next word.
        for first, second in zip(words, words[1:]):
            if first == "-isystem":
                flags["-isystem" + os.path.join(entry["directory"], second)] = True
    # Private headers must not reach each other across folders, so the folders stay out.
    return compiler, [flag for flag in flags if "/src/" not in flag]


def first_includes(tree):
    """The headers that some source file of every build includes before any other line of code."""
    headers = set()
    for name in tree.sources("src", "fuse", "tools", "tests"):
        code = next((line for line in tree.lines(name)
                     if line.strip() and not line.lstrip().startswith("//")), "")
        match = INCLUDE.match(code)
        if name.endswith(".cpp") and match:
            bracket, target = match.groups()
            folder = "include" if bracket == "<" else os.path.dirname(name)
            headers.add(os.path.normpath(os.path.join(folder, target)))
    return headers


def check_headers(tree, build):
    compiler, flags = compile_commands(build)
    command = [compiler, *flags, "-O0", "-c"]
    if ccache := shutil.which("ccache"):
        command.insert(0, ccache)
    scratch = os.path.join(build, "headers-alone")
    os.makedirs(scratch, exist_ok=True)

    def compile_alone(name):
        # Under a lasting name, and compiled rather than parsed: so ccache can remember it.
        unit = os.path.join(scratch, name.replace("/", "-") + ".cpp")
        with open(unit, "w", encoding="utf-8") as file:
            file.write(f'#include "{tree.path(name)}"\n')
        result = subprocess.run([*command, unit, "-o", unit + ".o"], capture_output=True, text=True,
                                check=False)
        if result.returncode == 0:
            return None
        errors = [line for line in result.stderr.split("\n") if "error" in line]
        return f"{name}:1: does not compile alone: {(errors or [result.stderr])[0]}"

    compiled = first_includes(tree)
    headers = [name for name in tree.sources() if name.endswith(".hpp") and name not in compiled]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(compile_alone, headers))


def main():
    checks = {"edges": check_edges, "text": check_text, "built": check_built,
              "words": check_words, "links": check_links, "scripts": check_scripts,
              "format": check_format, "headers": check_headers}
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.dirname(here))
    parser.add_argument("--build")
    parser.add_argument("checks", nargs="+", choices=checks)
    options = parser.parse_args()

    tree = Tree(os.path.abspath(options.root))
    findings = []
    for check in options.checks:
        if check == "headers":
            if not options.build:
                parser.error("headers needs --build")
            findings += checks[check](tree, options.build)
        else:
            findings += checks[check](tree)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings in {len(tree.names)} files")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

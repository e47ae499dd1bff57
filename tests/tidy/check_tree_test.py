#!/usr/bin/env python3
"""check_tree.py finds what it promises to find: each case is a small project with one mistake."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, "tools", "check_tree.py")
SOURCE = "// Says what the file is for.\n"
HEADER = SOURCE + "#pragma once\n"


class CheckTree(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = scratch.name
        with open(os.path.join(ROOT, "tools", "rooms.toml"), encoding="utf-8") as file:
            self.write("tools/rooms.toml", file.read())

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def run_check(self, *checks, **environment):
        result = subprocess.run([sys.executable, TOOL, "--root", self.root, *checks],
                                capture_output=True, text=True, check=False,
                                env=dict(os.environ, **environment))
        self.assertEqual(result.stderr, "")
        *findings, _summary = result.stdout.splitlines()
        self.assertEqual(result.returncode, 1 if findings else 0, result.stdout)
        return findings

    def assert_finds(self, check, *expected, **environment):
        findings = self.run_check(check, **environment)
        self.assertEqual(len(findings), len(expected), findings)
        for finding, start in zip(findings, expected):
            self.assertTrue(finding.startswith(start), f"{finding!r} is not {start!r}...")

    # ------------------------------------------------------------------ edges

    def test_listed_edges_pass(self):
        self.write("src/walk/a.cpp", SOURCE + "#include <shale/base.hpp>\n#include <shale/io.hpp>\n"
                   "#include <shale/walk.hpp>\n#include <vector>\n")
        self.assert_finds("edges")

    def test_an_upward_edge_is_found(self):
        self.write("src/walk/a.cpp", SOURCE + "#include <shale/layer.hpp>\n")
        self.assert_finds("edges", "src/walk/a.cpp:2: walk may not include shale/layer.hpp")

    def test_a_door_is_held_to_its_room(self):
        self.write("include/shale/oci.hpp", HEADER + "#include <shale/store.hpp>\n")
        self.assert_finds("edges", "include/shale/oci.hpp:3: oci may not include shale/store.hpp")

    def test_fuse_sees_only_the_mount(self):
        self.write("fuse/a.cpp", SOURCE + "#include <shale/mount.hpp>\n#include <shale/oci.hpp>\n")
        self.assert_finds("edges", "fuse/a.cpp:3: fuse may not include shale/oci.hpp")

    def test_an_unknown_room_is_found(self):
        self.write("src/drawer/a.cpp", SOURCE)
        self.assert_finds("edges", "src/drawer/a.cpp:1: room 'drawer' is not")

    def test_private_headers_stay_in_their_folder(self):
        self.write("src/tar/pax.hpp", HEADER)
        self.write("src/layer/a.cpp", SOURCE + '#include "../tar/pax.hpp"\n#include "pax.hpp"\n')
        self.assert_finds("edges", 'src/layer/a.cpp:2: private header "../tar/pax.hpp" belongs',
                          'src/layer/a.cpp:3: no private header "pax.hpp"')

    def test_third_party_headers_stay_in_their_room(self):
        for target, wrong in (("fuse_lowlevel.h", "mount"), ("liburing.h", "snapshot"),
                              ("archive.h", "layer"), ("curl/curl.h", "build"),
                              ("sqlite3.h", "build"), ("nlohmann/json.hpp", "mount")):
            with self.subTest(target):
                self.write(f"src/{wrong}/a.cpp", SOURCE + f"#include <{target}>\n")
                self.assert_finds("edges", f"src/{wrong}/a.cpp:2: <{target}> belongs to")
                os.remove(os.path.join(self.root, f"src/{wrong}/a.cpp"))

    def test_third_party_headers_stop_at_the_door(self):
        self.write("include/shale/oci.hpp", HEADER + "#include <nlohmann/json.hpp>\n")
        self.assert_finds("edges", "include/shale/oci.hpp:3: <nlohmann/json.hpp> stops at the door")

    def test_build_does_not_choose_the_transport(self):
        self.write("src/build/a.cpp", SOURCE + "// curl_transport\nauto t = curl_transport();\n")
        self.assert_finds(
            "edges", "src/build/a.cpp:3: only http, registry, tools may use curl_transport")

    # ------------------------------------------------------------------ text

    def test_layout(self):
        self.write("src/io/a.cpp", SOURCE + "int x; \n\tint y;\n//" + "x" * 99 + "\nint z;")
        self.assert_finds("text", "src/io/a.cpp:5: no newline", "src/io/a.cpp:2: white space",
                          "src/io/a.cpp:3: tab", "src/io/a.cpp:4: 101 columns")

    def test_columns_are_characters_not_bytes(self):
        self.write("src/io/a.cpp", SOURCE + "//" + "é" * 98 + "\n")
        self.assert_finds("text")

    def test_a_promise_needs_an_issue(self):
        mark = "TO" + "DO"
        self.write("src/io/a.cpp", SOURCE + f"// {mark}: later\n// {mark}(#12): later\n")
        self.assert_finds("text", f"src/io/a.cpp:2: {mark} without an issue")

    def test_files_say_what_they_are_for(self):
        self.write("src/io/a.cpp", "int x;\n")
        self.write("src/io/b.hpp", SOURCE + "using namespace std;\n")
        self.assert_finds("text", "src/io/a.cpp:1: no comment", "src/io/b.hpp:1: no #pragma once",
                          "src/io/b.hpp:2: using namespace")

    def test_long_files_give_a_reason(self):
        body = "int x();\n" * 600
        prose = ("//" + " word" * 13 + "\n") * 2
        self.write("src/io/a.cpp", SOURCE + body)
        self.write("src/io/b.cpp", prose + body)
        self.write("src/io/c.cpp", prose + "// One file because the states share a table.\n" + body)
        self.assert_finds("text", "src/io/a.cpp:1: 601 lines and no opening paragraph",
                          "src/io/a.cpp:1: 601 lines; split it",
                          "src/io/b.cpp:1: 602 lines; split it")

    # ------------------------------------------------------------------ built

    def test_every_source_is_built(self):
        self.write("meson.build", "")
        self.write("tests/unit/io/meson.build", "files('a_test.cpp')\n")
        self.write("tests/unit/io/a_test.cpp", SOURCE)
        self.write("tests/unit/io/test.cpp", SOURCE)
        self.write("tests/fuzz/meson.build", "foreach t : ['tar']\n")
        self.write("tests/fuzz/tar_fuzz.cpp", SOURCE)
        self.write("tests/fuzz/toc_fuzz.cpp", SOURCE)
        self.assert_finds("built", "tests/fuzz/toc_fuzz.cpp:1: no meson.build builds",
                          "tests/unit/io/test.cpp:1: no meson.build builds")

    # ------------------------------------------------------------------ headers

    def test_headers_that_nothing_includes_first_are_compiled(self):
        broken = HEADER + "inline std::size_t size();\n"
        self.write("src/io/alone.hpp", broken)
        self.write("src/io/second.hpp", broken)
        self.write("src/io/fine.hpp", HEADER + "#include <cstddef>\ninline std::size_t size();\n")
        # The compiler of the build sees this one fail, so nobody needs to look again.
        self.write("src/io/first.hpp", broken)
        self.write("src/io/first.cpp", SOURCE + '#include "first.hpp"\n#include "second.hpp"\n')
        command = {"directory": self.root, "file": "first.cpp",
                   "command": "c++ -std=c++20 -o first.o -c first.cpp"}
        self.write("build/compile_commands.json", json.dumps([command]))
        findings = self.run_check("--build", os.path.join(self.root, "build"), "headers")
        self.assertEqual([finding.split(": ")[0] for finding in findings],
                         ["src/io/alone.hpp:1", "src/io/second.hpp:1"])

    # ------------------------------------------------------------------ words, links, scripts

    def test_words_come_from_the_environment(self):
        self.write("docs/a.md", "made at Initech\n")
        self.write("list", "initech\n")
        self.assert_finds("words", SHALE_FORBIDDEN_WORDS="")
        self.assert_finds("words", "docs/a.md:1: contains 'Initech'", "list:1:",
                          SHALE_FORBIDDEN_WORDS=os.path.join(self.root, "list"))

    def test_links_lead_somewhere(self):
        self.write("README.md", "[a](docs/a.md) [b](docs/b.md) [h](docs/a.md#two-words)\n"
                   "[n](docs/a.md#three) [self](#top) [web](https://example.org/x)\n"
                   "```\n[code](nowhere)\n```\n# Top\n")
        self.write("docs/a.md", "# Two words\n")
        self.assert_finds("links", "README.md:1: docs/b.md leads nowhere",
                          "README.md:2: docs/a.md#three: no such heading")

    def test_scripts_parse_and_run(self):
        self.write("tools/a", "#!/bin/sh\nif true\n", 0o755)
        self.write("tools/b", "#!/bin/sh\ntrue\n", 0o644)
        self.write("tools/c.py", "#!/usr/bin/env python3\ndef f(:\n", 0o755)
        self.assert_finds("scripts", "tools/a:1: ", "tools/b:1: starts with #!", "tools/c.py:2: ")


if __name__ == "__main__":
    unittest.main()

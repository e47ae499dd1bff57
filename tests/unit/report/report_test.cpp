// What people read: the tree of changes with its sizes and reasons, and text line by line.
#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/report.hpp>

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace shale::report {
namespace {

using diff::compare;
using diff::to_text;
using snapshot::EntrySpec;
using snapshot::Tree;
using snapshot::TreeBuilder;

EntrySpec file(std::string_view content, std::uint32_t mode = 0644) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = mode;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    return spec;
}

Tree tree_of(const std::map<std::string, EntrySpec>& entries) {
    TreeBuilder builder;
    for (const auto& [path, spec] : entries)
        builder.put(path, spec);
    return builder.finish();
}

std::string text(const Tree& before, const Tree& after) {
    return to_tree_text(compare(before, after), before, after);
}

TEST(TreeText, IndentsAndNamesReasons) {
    EntrySpec owned = file("aaa", 0600);
    owned.uid = 7;
    owned.xattrs = {{"user.k", "v"}};
    const Tree before = tree_of({{"etc/passwd", file("aaa")}, {"old/x", file("12345")}});
    const Tree after = tree_of({{"etc/passwd", owned}, {"new", file("1234567")}});
    EXPECT_EQ(text(before, after),
              "  etc/\n"
              "M   passwd  mode 0644 -> 0600, owner 0:0 -> 7:0, xattr +user.k\n"
              "A new       7 B\n"
              "D old/      1 file, 5 B\n");
}

TEST(TreeText, AddedDirectoryIsOneLineUnlessUnfolded) {
    const Tree before = tree_of({}), after = tree_of({{"d/e/f", file("1")}, {"d-", file("22")}});
    const auto changes = compare(before, after);
    EXPECT_EQ(to_tree_text(changes, before, after), "A d/  1 file, 1 B\nA d-  2 B\n");
    EXPECT_EQ(to_tree_text(changes, before, after, {}, {false, false}),
              "A d/     1 file, 1 B\nA   e/   1 file, 1 B\nA     f  1 B\nA d-     2 B\n");
}

TEST(TreeText, TypeTargetAndTimeAreTold) {
    EntrySpec link;
    link.type = FileType::Symlink;
    link.mode = 0777;
    link.link_target = "one";
    EntrySpec other_link = link;
    other_link.link_target = "two";
    EntrySpec later = file("t");
    later.mtime_ns = 1'000'000'000;
    const Tree before = tree_of({{"l", link}, {"t", file("t")}, {"x", link}});
    const Tree after = tree_of({{"l", other_link}, {"t", later}, {"x", file("")}});
    EXPECT_EQ(text(before, after), "M l  -> two, was one\n"
                                   "M t  time 1970-01-01T00:00:00Z -> 1970-01-01T00:00:01Z\n"
                                   "M x  file, was a symbolic link, mode 0777 -> 0644\n");
}

TEST(TreeText, HostileNamesCannotWriteToTheTerminal) {
    const Tree before = tree_of({}), after = tree_of({{"a\x1b[2J\n", file("")}});
    EXPECT_EQ(text(before, after).find('\x1b'), std::string::npos);
    EXPECT_EQ(text(before, after), "A a\\x1b[2J\\x0a  0 B\n");
}

TEST(Reasons, IgnoredOnesDropTheChangesThatHaveNoOther) {
    EntrySpec changed = file("x", 0600);
    changed.gid = 5;
    changed.mtime_ns = 9;
    const Tree before = tree_of({{"f", file("x")}}), after = tree_of({{"f", changed}});
    for (int mask = 0; mask < 8; ++mask) {
        const Ignored ignored{(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0};
        const auto changes = without(compare(before, after), before, after, ignored);
        ASSERT_EQ(changes.size(), mask == 7 ? 0u : 1u) << mask;
        if (mask == 7) continue;
        const auto reasons = reasons_of(changes[0], before, after, ignored);
        EXPECT_EQ(reasons.mtime, !ignored.mtime);
        EXPECT_EQ(reasons.mode, !ignored.mode);
        EXPECT_EQ(reasons.owner, !ignored.owner);
        EXPECT_FALSE(reasons.content || reasons.type || reasons.xattrs);
    }
}

TEST(Reasons, AFractionCountsOnlyIfBothTimesHaveOne) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    const auto is_change = [](std::int64_t a, std::int64_t b, bool fractions) {
        EntrySpec old_file = file("x"), new_file = file("x");
        old_file.mtime_ns = a;
        new_file.mtime_ns = b;
        const Tree before = tree_of({{"f", old_file}}), after = tree_of({{"f", new_file}});
        Ignored ignored;
        ignored.fractions = fractions;
        return !without(compare(before, after), before, after, ignored).empty();
    };
    EXPECT_TRUE(is_change(5 * kSecond, 5 * kSecond + 1, false));
    EXPECT_FALSE(is_change(5 * kSecond, 5 * kSecond + 1, true));
    EXPECT_FALSE(is_change(6 * kSecond - 1, 5 * kSecond, true));
    EXPECT_TRUE(is_change(6 * kSecond - 1, 6 * kSecond, true)) << "another second";
    EXPECT_TRUE(is_change(5 * kSecond + 1, 5 * kSecond + 2, true)) << "both have fractions";
    EXPECT_FALSE(is_change(-5 * kSecond, -4 * kSecond - 1, true)) << "before 1970";
    EXPECT_TRUE(is_change(-5 * kSecond, -5 * kSecond - 1, true));
}

TEST(OnlyBelow, APathKeepsWholeComponents) {
    const Tree before = tree_of({});
    const Tree after = tree_of({{"a/b", file("1")}, {"a/bc", file("2")}, {"ab", file("3")}});
    const auto all = compare(before, after);
    EXPECT_EQ(to_text(only_below(all, after, "a"), after), "A a\nA a/b\nA a/bc\n");
    EXPECT_EQ(to_text(only_below(all, after, "/a/b/"), after), "A a/b\n");
    EXPECT_EQ(only_below(all, after, "").size(), all.size());
}

// ---------------------------------------------------------------------------------------------

TEST(UnifiedText, IsWhatDiffPrints) {
    EXPECT_EQ(unified_text("a\nb\nc\n", "a\nB\nc\n", "a/f", "b/f"),
              "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    EXPECT_EQ(unified_text("", "x\n", "/dev/null", "b/f"),
              "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n");
    EXPECT_EQ(unified_text("x", "x\n", "a", "b"),
              "--- a\n+++ b\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n");
    EXPECT_EQ(unified_text("same\n", "same\n", "a", "b"), "");
}

std::string lines_of(std::mt19937& random, std::size_t count) {
    std::string text;
    for (std::size_t at = 0; at < count; ++at)
        text += std::string(1, static_cast<char>('a' + random() % 4)) + "\n";
    return text;
}

// Applies a unified diff, checking every context and removed line.
std::string patched(const std::string& before, const std::string& patch) {
    std::vector<std::string> lines, out;
    for (std::size_t at = 0; at < before.size(); at = before.find('\n', at) + 1)
        lines.push_back(before.substr(at, before.find('\n', at) + 1 - at));
    std::size_t next = 0;
    for (std::size_t at = 0; at < patch.size(); at = patch.find('\n', at) + 1) {
        const std::string line = patch.substr(at, patch.find('\n', at) + 1 - at);
        if (line.starts_with("---") || line.starts_with("+++")) continue;
        if (line.starts_with("@@")) {
            std::size_t from = 0, count = 1;
            std::sscanf(line.c_str(), "@@ -%zu,%zu", &from, &count);
            const std::size_t begin = line.find(",0 ") < line.find('+') ? from : from - 1;
            while (next < begin)
                out.push_back(lines.at(next++));
        } else if (line[0] == '+') {
            out.push_back(line.substr(1));
        } else {
            EXPECT_EQ(lines.at(next), line.substr(1));
            if (line[0] == ' ') out.push_back(lines[next]);
            ++next;
        }
    }
    for (; next < lines.size(); ++next)
        out.push_back(lines[next]);
    std::string text;
    for (const auto& line : out)
        text += line;
    return text;
}

TEST(UnifiedText, PatchingGivesTheOtherText) {
    std::mt19937 random(20261126);
    for (int round = 0; round < 300; ++round) {
        const auto before = lines_of(random, random() % 40),
                   after = lines_of(random, random() % 40);
        const auto patch = unified_text(before, after, "a", "b");
        EXPECT_EQ(patch.empty(), before == after);
        ASSERT_EQ(patched(before, patch), after) << before << "--\n" << after << "--\n" << patch;
    }
}

TEST(UnifiedText, TextsWithNothingInCommonAreReplaced) {
    std::string before, after;
    for (int at = 0; at < 5000; ++at) {
        before += "a" + std::to_string(at) + "\n";
        after += "b" + std::to_string(at) + "\n";
    }
    EXPECT_EQ(patched(before, unified_text(before, after, "a", "b")), after);
}

TEST(ChangeJson, EscapesAndKeepsBrokenUtf8Exact) {
    const Tree before = tree_of({}),
               after = tree_of({{"q\"\t\xc3\xa9\xff \xc2\x9b\x7f", file("")}});
    const std::string json = to_json(compare(before, after), before, after);
    EXPECT_NE(json.find("\"path\":\"q\\\"\\u0009\xc3\xa9\\ufffd \\u009b\\u007f\""),
              std::string::npos)
        << json;
    EXPECT_NE(json.find("\"path_hex\":\"712209c3a9ff20c29b7f\""), std::string::npos) << json;
    EXPECT_EQ(to_json({}, before, after), "[]\n");
}

// The text says where a link leads, and which device it is; so must this.
TEST(ChangeJson, SaysWhatEntriesAre) {
    EntrySpec link, other, device;
    link.type = other.type = FileType::Symlink;
    link.link_target = "/x";
    other.link_target = "/y\xff";
    device.type = FileType::BlockDevice;
    device.device_major = 8;
    device.device_minor = 1;
    device.xattrs = {{"user.a", "b"}};
    const Tree before = tree_of({{"l", link}}), after = tree_of({{"l", other}, {"sda1", device}});
    const std::string json = to_json(compare(before, after), before, after);
    for (const char* part :
         {"\"target\":\"/x\"", "\"target\":\"/y\\ufffd\",\"target_hex\":\"2f79ff\"",
          "\"device\":\"8:1\"", "\"xattrs\":{\"user.a\":\"62\"}"})
        EXPECT_NE(json.find(part), std::string::npos) << part << "\n" << json;
}

TEST(ChangeJson, WhatIsIgnoredIsNoReason) {
    EntrySpec old = file("a"), changed = file("b", 0600);
    changed.uid = 1;
    changed.mtime_ns = 1'000'000'000;
    const Tree before = tree_of({{"f", old}}), after = tree_of({{"f", changed}});
    const auto changes = compare(before, after);
    EXPECT_NE(to_json(changes, before, after)
                  .find("\"content_changed\":true,\"metadata_changed\":true,"
                        "\"reasons\":[\"content\",\"mode\",\"owner\",\"time\"]"),
              std::string::npos);
    EXPECT_NE(to_json(changes, before, after, {.mtime = true, .mode = true, .owner = true})
                  .find("\"content_changed\":true,\"metadata_changed\":false,"
                        "\"reasons\":[\"content\"]"),
              std::string::npos);
}

}  // namespace
}  // namespace shale::report

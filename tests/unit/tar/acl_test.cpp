// ACLs as other programs write them: text in a PAX record.
#include "archives.hpp"

#include <gmock/gmock.h>

namespace shale::tar {
namespace {

using namespace testing;
using namespace std::string_literals;

// One member with the record `keyword`, which is as long as the one of ours that it replaces.
std::string archive_with(MemberType type, const std::string& keyword, const std::string& text) {
    Item item;
    item.member.path = "a";
    item.member.type = type;
    item.member.mode = 0674;
    const std::string own = "SCHILY.xattr.";
    item.member.xattrs = {{std::string(keyword.size() - own.size(), 'x'), text}};
    std::string bytes = archive_of({item});
    const auto at = bytes.find(own + "x");
    bytes.replace(at, keyword.size(), keyword);
    return bytes;
}

Member read_back(MemberType type, const std::string& keyword, const std::string& text) {
    return read_archive(archive_with(type, keyword, text)).at(0).member;
}

constexpr auto kAccess = "SCHILY.acl.access", kDefault = "SCHILY.acl.default";
const std::string kText =
    "user::rw-\nuser:1234:rwx\ngroup::r--\ngroup:99:r--\nmask::rwx\nother::r--\n";
// As getfattr shows it for the file that GNU tar wrote that text for.
const std::string kBinary =
    "\x02\0\0\0"
    "\x01\0\x06\0\xff\xff\xff\xff\x02\0\x07\0\xd2\x04\0\0\x04\0\x04\0\xff\xff\xff\xff"
    "\x08\0\x04\0\x63\0\0\0\x10\0\x07\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff"s;

TEST(Acl, TextBecomesTheAttributeAndTheModeKeepsTheMask) {
    const auto member = read_back(MemberType::Regular, kAccess, kText);
    EXPECT_EQ(member.mode, 0674u);
    ASSERT_EQ(member.xattrs.size(), 1u);
    EXPECT_EQ(member.xattrs[0].name, "system.posix_acl_access");
    EXPECT_EQ(member.xattrs[0].value, kBinary);
}

TEST(Acl, DefaultsAreOfDirectories) {
    const auto directory = read_back(MemberType::Directory, kDefault, kText);
    EXPECT_EQ(directory.mode, 0674u);
    ASSERT_EQ(directory.xattrs.size(), 1u);
    EXPECT_EQ(directory.xattrs[0].name, "system.posix_acl_default");
    EXPECT_EQ(directory.xattrs[0].value, kBinary);
    EXPECT_TRUE(read_back(MemberType::Regular, kDefault, kText).xattrs.empty());
}

// bsdtar writes both.
TEST(Acl, OneThatIsThereAsAnAttributeStays) {
    Item item;
    item.member.path = "a";
    item.member.mode = 0640;
    item.member.xattrs = {{"system.posix_acl_access", kBinary}, {"xxxx", kText}};
    std::string bytes = archive_of({item});
    const std::string keyword = kAccess;
    bytes.replace(bytes.find("SCHILY.xattr.xxxx"), keyword.size(), keyword);
    const auto member = read_archive(bytes).at(0).member;
    ASSERT_EQ(member.xattrs.size(), 1u);
    EXPECT_EQ(member.xattrs[0].value, kBinary);
    EXPECT_EQ(member.mode, 0674u) << "with the mask, as the attribute has it";
}

TEST(Acl, NamesWithoutANumberLeaveTheNarrowerMode) {
    const auto member = read_back(MemberType::Regular, kAccess,
                                  "user::rw-\nuser:joe:rwx\ngroup::r--\nmask::rwx\nother::---\n");
    EXPECT_TRUE(member.xattrs.empty());
    EXPECT_EQ(member.mode & 070, 040u);
}

TEST(Acl, WhatTheKernelWouldRefuseIsLeftOut) {
    // The first has names and no mask, the second an ID that libarchive cannot hold.
    for (const char* text :
         {"user::rw-\nuser:1:rwx\ngroup::r--\nother::---\n",
          "user::rw-\nuser:4000000000:rwx\ngroup::r--\nmask::rwx\nother::---\n", "rubbish", ""})
        EXPECT_TRUE(read_back(MemberType::Directory, kDefault, text).xattrs.empty()) << text;
}

}  // namespace
}  // namespace shale::tar

#include "users.hpp"

#include <shale/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace shale::build {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:\n12:x:46:46::/home/number:\n"
    "ghost:x:4294967295:7::/home/ghost:\n";
constexpr std::string_view kGroup = "root:x:0:\nappgroup:x:1001:\nextra:x:2002:app\n34:x:47:\n";

// One layer blob, in memory.
class OneBlob final : public oci::BlobSource {
  public:
    std::uint64_t blob_size(const Digest&) override { return bytes.size(); }
    void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
        if (offset + out.size() > bytes.size()) fail(ErrorKind::Corrupt, "blob ends early");
        std::copy_n(as_bytes(bytes).begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                    out.begin());
    }
    std::string bytes;
};

// An image with the two account files.
struct Accounts : testing::Test {
    OneBlob blob;
    std::unique_ptr<snapshot::Tree> tree;
    std::unique_ptr<layer::ContentReader> contents;
    std::string unknown;

    void SetUp() override {
        const std::map<std::string, std::string_view> files{{"etc/group", kGroup},
                                                            {"etc/passwd", kPasswd}};
        snapshot::TreeBuilder builder;
        snapshot::EntrySpec directory;
        directory.type = FileType::Directory;
        directory.mode = 0755;
        builder.put("etc", directory);
        for (const auto& [path, text] : files) {
            snapshot::EntrySpec spec;
            spec.type = FileType::Regular;
            spec.mode = 0644;
            spec.size = text.size();
            spec.content = codec::sha256(text);
            builder.put(path, spec);
        }
        tree = std::make_unique<snapshot::Tree>(builder.finish());
        write_layer(files);
    }

    void write_layer(const std::map<std::string, std::string_view>& files) {
        const layer::OpenContent open = [&](std::string_view path, const snapshot::Entry&) {
            auto rest = std::make_shared<std::string_view>(files.at(std::string(path)));
            return [rest](MutableBytes out) {
                const auto count = std::min(out.size(), rest->size());
                std::copy_n(as_bytes(*rest).begin(), count, out.begin());
                rest->remove_prefix(count);
                return count;
            };
        };
        const auto empty = snapshot::TreeBuilder().finish();
        const auto written = layer::write_layer(diff::compare(empty, *tree), *tree, open, {},
                                                [&](Bytes bytes) { blob.bytes += as_text(bytes); });
        layer::ContentIndex index;
        index.add(written.blob, written.toc);
        contents = std::make_unique<layer::ContentReader>(std::move(index), blob);
    }

    std::string owner(std::string_view chown) {
        const auto owner = resolve_chown(*tree, *contents, chown, &unknown);
        return std::to_string(owner.uid) + ":" + std::to_string(owner.gid);
    }
    // uid:gid groups home
    std::string user(std::string_view text) {
        const auto found = resolve_user(*tree, *contents, text);
        std::string groups;
        for (const auto gid : found.groups)
            groups += (groups.empty() ? "" : ",") + std::to_string(gid);
        return std::to_string(found.uid) + ":" + std::to_string(found.gid) + " " + groups + " " +
               found.home;
    }
};

TEST_F(Accounts, NamesOfChownAreThoseOfTheImage) {
    EXPECT_EQ(owner("app:extra"), "1000:2002");
    EXPECT_EQ(owner("app:7"), "1000:7");
    EXPECT_EQ(owner("7:extra"), "7:2002");
    EXPECT_EQ(owner("app:root"), "1000:0");
    EXPECT_EQ(unknown, "");
}

TEST_F(Accounts, UserAloneBringsItsGroup) {
    EXPECT_EQ(owner("app"), "1000:1001");
    EXPECT_EQ(owner("1000"), "1000:1000");
    EXPECT_EQ(owner("root"), "0:0");
}

TEST_F(Accounts, AnEmptyGroupBesideANumberIsRoot) {
    EXPECT_EQ(owner("5:"), "5:0");
    EXPECT_EQ(owner("app:"), "1000:1001");
}

TEST_F(Accounts, NobodyOwnsAsTheLargestNumberOfAll) {
    EXPECT_EQ(owner("4294967294:4294967294"), "4294967294:4294967294");
    for (const std::string text :
         {"4294967295", "5:4294967295", "ghost", "4294967296", "5:99999999999"})
        EXPECT_THROW(owner(text), Error) << text;
}

TEST_F(Accounts, EitherPartOfAUserMayBeEmpty) {
    EXPECT_EQ(user(""), "0:0 0 /root");
    EXPECT_EQ(user("app"), "1000:1001 1001,2002 /home/app");
    EXPECT_EQ(user("app:"), "1000:1001 1001,2002 /home/app");
    EXPECT_EQ(user("1000:"), "1000:1001 1001,2002 /home/app");
    EXPECT_EQ(user("77:"), "77:0 0 /");
    EXPECT_EQ(user(":appgroup"), "0:1001 1001 /root");
    EXPECT_EQ(user(":"), "0:0 0 /root");
    EXPECT_EQ(user("app:extra"), "1000:2002 2002 /home/app");
}

TEST_F(Accounts, DigitsOfAUserAreANumberWhateverSomebodyIsCalled) {
    EXPECT_EQ(user("12"), "12:0 0 /");
    EXPECT_EQ(user("0:34"), "0:34 34 /root");
}

// (uid_t)-1 is "as it is" to the kernel: who asks for it would stay root.
TEST_F(Accounts, UsersBeyondTheRangeAreRefused) {
    EXPECT_EQ(user("2147483647:2147483647"), "2147483647:2147483647 2147483647 /");
    for (const std::string text : {"4294967295", "2147483648", "4294967295:5", "1000:4294967295",
                                   "app:2147483648", "ghost", "99999999999"}) {
        try {
            user(text);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Invalid) << error.what();
            EXPECT_NE(std::string(error.what()).find(text.substr(0, 4)), std::string::npos);
        }
    }
}

TEST_F(Accounts, UnknownUserIsRootAndNamed) {
    EXPECT_EQ(owner("nobody"), "0:0");
    EXPECT_EQ(unknown, "nobody");
}

TEST_F(Accounts, UnknownGroupLeavesThatOfTheUser) {
    EXPECT_EQ(owner("app:nobody"), "1000:1001");
    EXPECT_EQ(unknown, "nobody");
}

}  // namespace
}  // namespace shale::build

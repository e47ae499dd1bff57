// What an operand that names nothing may have meant: names in a tree, and in a directory.
#include "missing_operand.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shale::build {
namespace {

class MissingOperand : public ::testing::Test {
  protected:
    std::string in_tree(std::string_view operand) const {
        return hint_for_missing(operand, tree_, {});
    }

    const snapshot::Tree tree_ = [] {
        snapshot::TreeBuilder builder;
        for (const char* path : {"app.py", "Makefile", "src/main.c", "abc"}) {
            snapshot::EntrySpec file;
            file.type = FileType::Regular;
            builder.put(path, file);
        }
        return builder.finish();
    }();
};

TEST_F(MissingOperand, ANameThatIsNearlyRightIsProposed) {
    EXPECT_EQ(in_tree("ap.py"), " (did you mean \"/app.py\"?)");
    EXPECT_EQ(in_tree("./src/mian.c"), " (did you mean \"/src/main.c\"?)");
    EXPECT_EQ(in_tree("/scr/main.c"), "") << "three letters can be anything";
    EXPECT_EQ(in_tree("makefile"), " (did you mean \"/Makefile\"?)");
    EXPECT_EQ(in_tree("ABC"), " (did you mean \"/abc\"?)");
    EXPECT_EQ(in_tree("xyz"), "");
    EXPECT_EQ(in_tree("nothing/like/it"), "");
    EXPECT_EQ(in_tree("app.py/below"), "");
    EXPECT_EQ(in_tree("app.*"), "");
    EXPECT_EQ(in_tree("app.py"), "") << "it is there; something else is wrong";
}

TEST_F(MissingOperand, OneThatWouldLeadOutIsToldSo) {
    EXPECT_EQ(in_tree("../other/app.py"),
              " (\"../other/app.py\" leads no further than the top of what is copied from)");
    EXPECT_EQ(in_tree("src/../ap.py"), " (did you mean \"/app.py\"?)");
}

TEST_F(MissingOperand, ADirectoryHasNamesThatWereNotWalkedAndLinksStayWithinIt) {
    const TempDir outside, context;
    write_file_atomic(outside.path() + "/secret-file", as_bytes("x"));
    write_file_atomic(context.path() + "/not-walked", as_bytes("x"));
    ASSERT_EQ(::symlink(outside.path().c_str(), (context.path() + "/link").c_str()), 0);
    const auto hint = [&](std::string_view operand) {
        return hint_for_missing(operand, tree_, context.path());
    };
    EXPECT_EQ(hint("not-walkd"), " (did you mean \"/not-walked\"?)");
    EXPECT_EQ(hint("ap.py"), "") << "what was walked is not asked";
    EXPECT_EQ(hint("link/secret-fil"), "");
    EXPECT_EQ(hint_for_missing("ap.py", tree_, context.path() + "/gone"), "");
}

}  // namespace
}  // namespace shale::build

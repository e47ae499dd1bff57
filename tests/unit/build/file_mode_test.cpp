#include "file_mode.hpp"

#include <shale/base.hpp>

#include <gtest/gtest.h>

namespace shale::build {
namespace {

struct Case {
    const char* name;
    const char* text;
    std::uint32_t before;
    bool is_directory;
    std::uint32_t after;
};

class ModeChangeTable : public testing::TestWithParam<Case> {};

TEST_P(ModeChangeTable, AppliesAsChmodDoes) {
    const auto& c = GetParam();
    EXPECT_EQ(ModeChange::parse(c.text).apply(c.before, c.is_directory), c.after) << c.name;
}

INSTANTIATE_TEST_SUITE_P(Modes, ModeChangeTable,
                         testing::Values(Case{"octal", "0644", 0777, false, 0644},
                                         Case{"short octal", "7", 0644, false, 7},
                                         Case{"zero", "0", 0644, false, 0},
                                         Case{"set-id", "4755", 0, false, 04755},
                                         Case{"plus x", "+x", 0644, false, 0755},
                                         Case{"user only", "u+x", 0644, false, 0744},
                                         Case{"minus", "go-rwx", 0755, false, 0700},
                                         Case{"equals", "u=rw,go=r", 0777, false, 0644},
                                         Case{"X on a plain file", "a+X", 0644, false, 0644},
                                         Case{"X on an executable", "a+X", 0744, false, 0755},
                                         Case{"X on a directory", "a+X", 0644, true, 0755},
                                         Case{"usual pair", "u=rwX,go=rX", 0600, true, 0755},
                                         Case{"copy group from user", "g=u", 0640, false, 0660},
                                         Case{"two operations", "u+w-x", 0555, false, 0655},
                                         Case{"setuid", "u+s", 0755, false, 04755},
                                         Case{"sticky", "+t", 0777, true, 01777},
                                         Case{"clear", "o=", 0777, false, 0770}));

TEST(ModeChange, RejectsWhatChmodWould) {
    for (const std::string text : {"64a", "10000", "8", "", "u", "+q", "u+x,", "x", "99"}) {
        try {
            ModeChange::parse(text);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Invalid);
            EXPECT_NE(std::string(error.what()).find("invalid chmod parameter: '" + text + "'"),
                      std::string::npos);
        }
    }
}

}  // namespace
}  // namespace shale::build

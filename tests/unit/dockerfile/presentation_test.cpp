// Source excerpts as they are printed before an error.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

TEST(Excerpt, TwoLinesOfContextAroundOneLine) {
    const File file = parse_good("FROM a\nRUN 1\nRUN 2\nRUN 3\nRUN 4\nRUN 5\nRUN 6\n");
    EXPECT_EQ(excerpt(file, {4, 4}), "Dockerfile:4\n"
                                     "--------------------\n"
                                     "   2 |     RUN 1\n"
                                     "   3 |     RUN 2\n"
                                     "   4 | >>> RUN 3\n"
                                     "   5 |     RUN 4\n"
                                     "   6 |     RUN 5\n"
                                     "--------------------\n");
}

TEST(Excerpt, OneLineOfContextAroundSeveral) {
    const File file = parse_good("FROM a\nRUN 1 \\\n 2\r\nRUN 3\nRUN 4\n");
    EXPECT_EQ(excerpt(file, {2, 3}), "Dockerfile:2\n"
                                     "--------------------\n"
                                     "   1 |     FROM a\n"
                                     "   2 | >>> RUN 1 \\\n"
                                     "   3 | >>>  2\n"
                                     "   4 |     RUN 3\n"
                                     "--------------------\n");
}

TEST(Excerpt, EndsOfTheFile) {
    const File file = parse("FROM a\nRUN false\n", "build/Prod.Dockerfile").file;
    EXPECT_EQ(excerpt(file, {2, 2}), "build/Prod.Dockerfile:2\n"
                                     "--------------------\n"
                                     "   1 |     FROM a\n"
                                     "   2 | >>> RUN false\n"
                                     "   3 |     \n"
                                     "--------------------\n");
    EXPECT_EQ(excerpt(parse_good("FROM a"), {1, 1}), "Dockerfile:1\n"
                                                     "--------------------\n"
                                                     "   1 | >>> FROM a\n"
                                                     "--------------------\n");
}

TEST(Excerpt, OfNoPlaceIsEmpty) {
    const File file = parse_good("FROM a\n");
    EXPECT_EQ(excerpt(file, {}), "");
    EXPECT_EQ(excerpt(file, {7, 9}), "");
    EXPECT_NE(excerpt(file, {1, 99}), "");
}

}  // namespace
}  // namespace shale::dockerfile

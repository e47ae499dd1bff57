// Names that remove other names, and names that only look as if they did.
#include "archives.hpp"

namespace shale::tar {
namespace {

struct Case {
    const char* path;
    WhiteoutKind kind;
    const char* victim;
};

TEST(Whiteout, IsRecognisedByItsName) {
    for (const Case& c : std::initializer_list<Case>{
             {"", WhiteoutKind::None, ""},
             {"etc/passwd", WhiteoutKind::None, ""},
             {"etc/x.wh.y", WhiteoutKind::None, ""},
             {".whale", WhiteoutKind::None, ""},
             {".wh.x", WhiteoutKind::Whiteout, "x"},
             {"a/b/.wh.c", WhiteoutKind::Whiteout, "a/b/c"},
             {"a/.wh...c", WhiteoutKind::Whiteout, "a/..c"},
             {".wh..wh..opq", WhiteoutKind::Opaque, ""},
             {"a/b/.wh..wh..opq", WhiteoutKind::Opaque, "a/b"},
             {".wh..wh.aufs", WhiteoutKind::Whiteout, ""},
             {".wh..wh.plnk/1.2", WhiteoutKind::Whiteout, ""},
         }) {
        const Whiteout found = classify_whiteout(c.path);
        EXPECT_EQ(found.kind, c.kind) << c.path;
        EXPECT_EQ(found.path, c.victim) << c.path;
    }
}

TEST(Whiteout, OfNothingIsCorrupt) {
    for (const char* path : {".wh.", "a/.wh.", ".wh..", "a/.wh...", ".wh.x/y"}) {
        try {
            classify_whiteout(path);
            ADD_FAILURE() << path;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << path;
        }
    }
}

TEST(LooksLikeTar, NeedsAWholeBlockWithAValidChecksum) {
    auto header = encode_header(testing::regular("f", 3));
    EXPECT_TRUE(looks_like_tar(as_bytes(header)));
    EXPECT_FALSE(looks_like_tar(as_bytes(header.substr(0, 511))));
    header[0] = 'g';
    EXPECT_FALSE(looks_like_tar(as_bytes(header)));
    EXPECT_FALSE(looks_like_tar(as_bytes(std::string(512, '\0'))));
    EXPECT_FALSE(looks_like_tar(as_bytes(std::string(512, ' '))));
}

}  // namespace
}  // namespace shale::tar

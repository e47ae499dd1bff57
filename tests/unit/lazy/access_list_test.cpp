// Lists of what was read first: noted, written, read, refused.
#include "../../support/error_kind.hpp"

#include <shale/codec.hpp>
#include <shale/lazy.hpp>

#include <gtest/gtest.h>

namespace shale::lazy {
namespace {

std::vector<Digest> some(int count) {
    std::vector<Digest> contents;
    for (int i = 0; i < count; ++i)
        contents.push_back(codec::sha256(std::to_string(i)));
    return contents;
}

TEST(AccessRecorder, NotesEachOnceInOrder) {
    AccessRecorder recorder;
    const auto contents = some(3);
    for (const int i : {2, 0, 2, 1, 0})
        recorder.note(contents[static_cast<std::size_t>(i)]);
    EXPECT_EQ(recorder.contents(), (std::vector{contents[2], contents[0], contents[1]}));
}

TEST(AccessRecorder, StopsAtTheMost) {
    AccessRecorder recorder;
    Digest content{};
    for (std::size_t i = 0; i <= kMostAccesses; ++i) {
        std::memcpy(content.bytes.data(), &i, sizeof i);
        recorder.note(content);
    }
    EXPECT_EQ(recorder.contents().size(), kMostAccesses);
}

TEST(AccessList, IsReadAsItWasWritten) {
    const auto contents = some(5);
    const auto text = encode_access_list("registry.example/app\nsha256:nonsense", contents);
    EXPECT_EQ(decode_access_list(text), contents);
    EXPECT_TRUE(decode_access_list(encode_access_list("nothing", {})).empty());
}

TEST(AccessList, MayBeEditedByHand) {
    const auto contents = some(2);
    const auto first = contents[0].str(), second = contents[1].str();
    EXPECT_EQ(
        decode_access_list("shale access list 1\n\n# one\n" + first + "\n" + first + "\n" + second),
        contents);
}

TEST(AccessList, SaysWhichLineIsWrong) {
    const auto refusal = [](const std::string& text) -> std::string {
        try {
            decode_access_list(text);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
            return error.what();
        }
        return "taken";
    };
    const std::string good = encode_access_list("x", some(1));
    EXPECT_EQ(refusal(good), "taken");
    for (const std::string text : {"", "\n", "shale access list 2\n", "sha256:00\n"})
        EXPECT_EQ(refusal(text), "line 1: not \"shale access list 1\"") << text;
    EXPECT_EQ(refusal(good + "sha256:12\n"), "line 4: no digest");
    EXPECT_EQ(refusal(good + some(1)[0].hex() + "\n"), "line 4: no digest");
    std::string long_list = encode_access_list("x", {});
    Digest content{};
    for (std::size_t i = 0; i <= kMostAccesses; ++i) {
        std::memcpy(content.bytes.data(), &i, sizeof i);
        long_list += content.str() + "\n";
    }
    EXPECT_EQ(refusal(long_list),
              "line " + std::to_string(kMostAccesses + 3) + ": too many contents");
}

}  // namespace
}  // namespace shale::lazy

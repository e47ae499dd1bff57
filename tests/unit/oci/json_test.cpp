// The bounded JSON reader: hostile text is refused, and every complaint says where.
#include <shale/oci.hpp>

#include <gtest/gtest.h>

#include <functional>

namespace shale::oci {
namespace {

std::string complaint_about(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return {};
}

std::string parse_complaint(const std::string& text) {
    return complaint_about([&] { Json::parse(text, "doc"); });
}

std::string nested(int depth) {
    return std::string(depth, '[') + std::string(depth, ']');
}

std::string ones(std::size_t count) {
    std::string text = "[1";
    for (std::size_t i = 1; i < count; ++i)
        text += ",1";
    return text + "]";
}

TEST(Json, RefusesTextThatIsNoDocument) {
    for (const std::string text : {"", " ", "{", "[1,]", "{\"a\":1}x", "nul", "\"\xff\"", "'a'",
                                   "{\"a\":1e999}", "\"\\ud800\"", "// c\n1"})
        EXPECT_TRUE(parse_complaint(text).starts_with("doc: ")) << text;
}

TEST(Json, BoundsDepth) {
    EXPECT_NO_THROW(Json::parse(nested(64), "doc"));
    EXPECT_EQ(parse_complaint(nested(65)), "doc: nested too deeply");
    EXPECT_EQ(parse_complaint(std::string(1 << 20, '[')), "doc: nested too deeply");
}

TEST(Json, BoundsTheNumberOfValues) {
    EXPECT_NO_THROW(Json::parse(ones(400'000), "doc"));
    EXPECT_EQ(parse_complaint(ones(1'100'000)), "doc: too many values");
}

TEST(Json, RefusesDuplicateNamesInOneObjectOnly) {
    EXPECT_EQ(parse_complaint(R"({"a":1,"b":{"c":1,"c":2}})"), "doc: duplicate member \"c\"");
    EXPECT_EQ(parse_complaint(R"({"a":{"x":1},"a":2})"), "doc: duplicate member \"a\"");
    // The same name behind two spellings.
    EXPECT_EQ(parse_complaint("{\"a\":1,\"\\u0061\":2}"), "doc: duplicate member \"a\"");
    EXPECT_NO_THROW(Json::parse(R"({"a":{"a":1},"b":[{"a":1},{"a":2}]})", "doc"));
}

TEST(Json, LongComplaintsAreCut) {
    const std::string name(1 << 16, 'n');
    EXPECT_LT(parse_complaint("{\"" + name + "\":1,\"" + name + "\":1}").size(), 400u);
    EXPECT_LT(parse_complaint("[\"" + name).size(), 400u);
}

TEST(Json, WrongTypesNameTheirPlace) {
    const auto doc =
        Json::parse(R"({"list":[{"n":1.5}],"text":"t","big":9223372036854775808})", "doc");
    const auto item = doc.find("list")->items().at(0);
    EXPECT_EQ(complaint_about([&] { item.find("n")->integer(); }),
              "doc: list[0].n: not a whole number of 64 bits");
    EXPECT_EQ(complaint_about([&] { doc.find("big")->integer(); }),
              "doc: big: not a whole number of 64 bits");
    EXPECT_EQ(complaint_about([&] { doc.find("text")->items(); }), "doc: text: not an array");
    EXPECT_EQ(complaint_about([&] { doc.find("text")->find("x"); }), "doc: text: not an object");
    EXPECT_EQ(complaint_about([&] { doc.find("text")->members(); }), "doc: text: not an object");
    EXPECT_EQ(complaint_about([&] { doc.find("list")->string(); }), "doc: list: not a string");
    EXPECT_EQ(complaint_about([&] { doc.find("text")->boolean(); }),
              "doc: text: neither true nor false");
}

TEST(Json, AbsentAndNullAreTheSame) {
    const auto doc = Json::parse(R"({"nothing":null})", "doc");
    EXPECT_FALSE(doc.find("nothing"));
    EXPECT_FALSE(doc.find("absent"));
    EXPECT_EQ(doc.members().size(), 1u);
}

TEST(Json, ValuesOutliveTheDocumentTheyCameFrom) {
    std::optional<Json> kept;
    {
        const auto doc = Json::parse(R"({"a":{"b":["x","y"]}})", "doc");
        kept = doc.find("a")->find("b");
    }
    EXPECT_EQ(kept->items().at(1).string(), "y");
    EXPECT_EQ(kept->dump(), R"(["x","y"])");
}

}  // namespace
}  // namespace shale::oci

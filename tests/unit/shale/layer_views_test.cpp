// Which layer an entry is from, what is wasted, and what stands behind a '#'.
#include "../../support/error_kind.hpp"
#include "layer_views.hpp"

#include <shale/codec.hpp>

#include <gmock/gmock.h>

namespace shale::cli {
namespace {

using testing::ElementsAre;

TEST(Part, IsWhatStandsBehindTheHash) {
    EXPECT_EQ(split_part("app:prod").second.kind, Part::Kind::Whole);
    const auto [reference, layer] = split_part("host:5000/app:prod@sha256:ab#layer:12");
    EXPECT_EQ(reference, "host:5000/app:prod@sha256:ab");
    EXPECT_EQ(layer.kind, Part::Kind::Layer);
    EXPECT_EQ(layer.number, 12u);
    EXPECT_EQ(split_part("a#step:1").second.kind, Part::Kind::Step);
    EXPECT_EQ(split_part("a#layers").second.kind, Part::Kind::Layers);
    for (const char* text : {"a#", "a#layer", "a#layer:", "a#layer:0", "a#layer:-1", "a#layer:1x",
                             "a#step:99999999999999999999999", "a#layers:1"})
        EXPECT_EQ(kind_of([&] { split_part(text); }), ErrorKind::Invalid) << text;
}

// Layers by hand: paths, each a file of ten bytes unless it ends in '/' or is a whiteout.
class Layered : public testing::Test {
  protected:
    void add(const std::vector<std::string>& paths) {
        auto toc = std::make_shared<layer::Toc>();
        for (const auto& path : paths) {
            layer::TocEntry entry;
            entry.member.path = path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
            if (path.ends_with('/'))
                entry.member.type = tar::MemberType::Directory;
            else if (path.find(".wh.") == std::string::npos)
                entry.member.size = 10;
            entry.member.mode = 0644;
            entry.content = codec::sha256(entry.member.size > 0 ? path : "");
            toc->entries.push_back(entry);
        }
        tree_ = layer::merge(tree_, *toc);
        tables_.push_back(toc);
    }
    std::uint32_t layer_of(const std::string& path) {
        const auto node = tree_.find(path);
        return node == snapshot::kNoNode ? 99 : layers_of_nodes(tree_, tables_).at(node);
    }

    snapshot::Tree tree_ = snapshot::TreeBuilder().finish();
    Tables tables_;
};

TEST_F(Layered, EntryIsFromTheHighestLayerThatHasIt) {
    add({"a", "d/", "d/x", "d/y"});
    add({"d/x"});
    add({"new/z"});
    EXPECT_EQ(layer_of("a"), 0u);
    EXPECT_EQ(layer_of("d"), 0u);
    EXPECT_EQ(layer_of("d/x"), 1u);
    EXPECT_EQ(layer_of("d/y"), 0u);
    EXPECT_EQ(layer_of("new/z"), 2u);
    EXPECT_EQ(layer_of("new"), kNoLayer) << "no layer mentions it";
    EXPECT_THAT(wasted_bytes(tree_, tables_), ElementsAre(10, 0, 0));
}

TEST_F(Layered, ADirectoryThatIsRepeatedIsFromWhereItBecameWhatItIs) {
    add({"d/", "d/x", "p"});
    add({"d/", "d/y", "p/", "p/q"});
    add({"d/", "d/z", "p/", "p/r"});
    EXPECT_EQ(layer_of("d"), 0u);
    EXPECT_EQ(layer_of("p"), 1u);
    add({"d/", "d/x"});
    tree_ = snapshot::TreeBuilder().finish();
    auto other = std::make_shared<layer::Toc>(*tables_[1]);
    other->entries[0].member.mode = 0700;
    tables_[1] = other;
    for (const auto& table : tables_)
        tree_ = layer::merge(tree_, *table);
    EXPECT_EQ(layer_of("d"), 2u) << "the second layer gave it another mode";
}

TEST_F(Layered, DeletedAndMadeAgainIsTheLaterLayers) {
    add({"a", "d/", "d/x"});
    add({".wh.a", ".wh.d"});
    add({"a", "d/y"});
    EXPECT_EQ(layer_of("a"), 2u);
    EXPECT_EQ(layer_of("d/y"), 2u);
    EXPECT_EQ(layer_of("d"), 1u) << "not the directory of the first layer, which is gone";
    EXPECT_THAT(wasted_bytes(tree_, tables_), ElementsAre(20, 0, 0));
}

TEST_F(Layered, OpaqueDirectoryWastesWhatWasInIt) {
    add({"d/", "d/x", "d/y"});
    add({"d/.wh..wh..opq", "d/y"});
    EXPECT_EQ(layer_of("d/y"), 1u);
    EXPECT_THAT(wasted_bytes(tree_, tables_), ElementsAre(20, 0));
}

TEST_F(Layered, FileThatBecameADirectoryIsWasted) {
    add({"p"});
    add({"p/", "p/q"});
    EXPECT_EQ(layer_of("p"), 1u);
    EXPECT_THAT(wasted_bytes(tree_, tables_), ElementsAre(10, 0));
}

}  // namespace
}  // namespace shale::cli

// Tables of places: kept for layers of many files, true after any damage, gone with their layer.
#include "store_fixture.hpp"

#include <unistd.h>

#include <algorithm>

namespace shale::store::test {
namespace {

constexpr int kManyFiles = 5000;

std::string text_of(int number) {
    return "content " + std::to_string(number);
}

class ContentTablesTest : public StoreTest {
  protected:
    // An image of one gzip layer, which is read through its twin.
    static Digest put_layer_of(Store& store, int files) {
        std::vector<TarFile> tar;
        for (int number = 0; number < files; ++number)
            tar.push_back({"f" + std::to_string(number), text_of(number)});
        const auto image = put_image_of_tars(store, {make_tar(tar)});
        store.tag(oci::Reference::parse("many:1"), image.descriptor);
        return image.manifest.layers.front().digest;
    }
    // The store as another process finds it.
    void expect_readable(const Digest& layer, int files) {
        Store store(root());
        layer::ContentReader reader(store.content_index({layer}), store.framed());
        for (const int number : {0, 1, files / 2, files - 1}) {
            std::string out(text_of(number).size(), '\0');
            const auto read = reader.read(codec::sha256(text_of(number)), 0,
                                          std::as_writable_bytes(std::span(out)));
            ASSERT_EQ(out.substr(0, read), text_of(number));
        }
        EXPECT_FALSE(reader.index().find(codec::sha256("absent")));
    }
    std::vector<std::string> tables() const { return names_in(root() + "/places"); }
};

TEST_F(ContentTablesTest, LayersOfManyFilesHaveOneAndOthersNone) {
    Digest many, few;
    {
        Store store(root());
        few = put_layer_of(store, 100);
        many = put_layer_of(store, kManyFiles);
    }
    expect_readable(few, 100);
    EXPECT_TRUE(tables().empty());
    expect_readable(many, kManyFiles);
    EXPECT_EQ(tables(), std::vector<std::string>{many.hex() + ".twin"});
    expect_readable(many, kManyFiles);
}

TEST_F(ContentTablesTest, ADamagedOneIsMadeAgain) {
    Digest layer;
    {
        Store store(root());
        layer = put_layer_of(store, kManyFiles);
    }
    expect_readable(layer, kManyFiles);
    const std::string path = root() + "/places/" + tables().at(0);
    const std::string good = read_file(path);
    std::string bad = good;
    bad[good.size() / 2] = static_cast<char>(bad[good.size() / 2] ^ 1);
    for (const auto& damaged :
         {bad, good.substr(0, 1000), std::string(), std::string("nonsense")}) {
        write_file_atomic(path, as_bytes(damaged));
        expect_readable(layer, kManyFiles);
        EXPECT_TRUE(read_file(path) == good) << damaged.size() << " bytes";
    }
}

// The twin's frames lie elsewhere than the blob's own: a table of the one says nothing of the
// other.
TEST_F(ContentTablesTest, ATwinThatWasLostTakesItsTableAlong) {
    Digest layer;
    {
        Store store(root());
        layer = put_layer_of(store, kManyFiles);
    }
    expect_readable(layer, kManyFiles);
    ASSERT_EQ(::unlink((root() + "/frames/" + layer.hex()).c_str()), 0);
    expect_readable(layer, kManyFiles);
    EXPECT_EQ(tables(), std::vector<std::string>{layer.hex() + ".twin"});
}

TEST_F(ContentTablesTest, ATwinThatIsMadeForItsTableOfContentsTakesItAlongToo) {
    Digest layer;
    {
        Store store(root());
        layer = put_layer_of(store, kManyFiles);
    }
    expect_readable(layer, kManyFiles);
    ASSERT_EQ(::unlink((root() + "/frames/" + layer.hex()).c_str()), 0);
    {
        Store store(root());
        oci::Descriptor descriptor;
        descriptor.digest = layer;
        store.toc(descriptor);
        EXPECT_TRUE(tables().empty());
    }
    expect_readable(layer, kManyFiles);
}

TEST_F(ContentTablesTest, CollectionTakesThemWithTheirLayers) {
    Store store(root());
    const Digest layer = put_layer_of(store, kManyFiles);
    store.content_index({layer});
    ASSERT_EQ(tables().size(), 1u);
    EXPECT_EQ(store.collect({}, std::chrono::milliseconds(1000)).files, 0u);
    ASSERT_EQ(tables().size(), 1u);
    write_file_atomic(root() + "/places/" + layer.hex(), as_bytes("of the blob itself"));
    store.untag(oci::Reference::parse("many:1"));
    const auto before = store.usage();
    const auto collected = store.collect({}, std::chrono::milliseconds(1000));
    EXPECT_EQ(collected.files, 6u) << "manifest, config, layer, twin, and both tables";
    EXPECT_EQ(collected.bytes, before.unreferenced);
    EXPECT_TRUE(tables().empty());
}

TEST_F(ContentTablesTest, ALayerThatIsNotThereIsNotFound) {
    Store store(root());
    error_of(ErrorKind::NotFound, [&] { store.content_index({codec::sha256("no layer")}); });
}

}  // namespace
}  // namespace shale::store::test

// Tables of contents from strangers: one that is accepted is written and read back as itself, and
// stands being merged into a tree, whose root it cannot leave.
#include <shale/layer.hpp>

using namespace shale;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    layer::Toc toc;
    try {
        toc = layer::decode_toc(std::as_bytes(std::span(data, size)));
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    const std::string text = layer::encode_toc(toc);
    SHALE_ENSURE(layer::encode_toc(layer::decode_toc(as_bytes(text))) == text);
    try {
        const auto tree = layer::merge(snapshot::TreeBuilder().finish(), toc);
        SHALE_ENSURE(snapshot::Tree::parse(as_bytes(tree.serialise())).digest() == tree.digest());
        // Over itself: every replacement, and hard links to what is there already.
        layer::merge(tree, toc);
    } catch (const Error&) {  // a member of an impossible place
    }
    return 0;
}

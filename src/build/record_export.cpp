// A record that travels: with the trees that its steps read, so that another machine can tell which
// files differ. A tree is a snapshot in one zstd frame, as hex digits.
#include <shale/codec.hpp>
#include <shale/dockerfile.hpp>
#include <shale/explain.hpp>
#include <shale/oci.hpp>

#include <nlohmann/json.hpp>

#include <set>

namespace shale::build {
namespace {

constexpr std::uint64_t kMostTreeBytes = 512u << 20;
constexpr std::size_t kMostTrees = 1000;

// Trees that selections refer to.
std::set<Digest> trees_read(const BuildRecord& record) {
    std::set<Digest> trees;
    for (const auto& [name, directory] : record.directories)
        trees.insert(directory.tree);
    for (const auto& step : record.steps)
        for (const auto& read : step.files) {
            const auto root = record.roots.find(read.root);
            if (root == record.roots.end() || root->second.kind != RecordedRoot::Kind::Step)
                continue;
            if (const auto* maker = record.step(root->second.step)) trees.insert(maker->tree);
        }
    trees.erase(Digest{});
    return trees;
}

// Even the digest of a value tells those who can guess it; it need not leave the machine.
BuildRecord without_hidden_values(BuildRecord record) {
    const auto hide = [](const std::string& name, std::string& value) {
        if (dockerfile::looks_secret(name)) value = kHiddenValue;
    };
    for (auto& [name, value] : record.arguments)
        hide(name, value);
    for (auto& step : record.steps) {
        for (auto& [name, value] : step.values)
            hide(name, value);
        for (auto* inputs : {&step.inputs, &step.contents})
            for (auto& input : *inputs) {
                const auto equals = input.value.find('=');
                if (input.name != "env" || equals == std::string::npos) continue;
                auto value = input.value.substr(equals + 1);
                hide(input.value.substr(0, equals), value);
                input.value.replace(equals + 1, std::string::npos, value);
            }
    }
    return record;
}

std::string pack(const snapshot::Tree& tree) {
    const auto serialised = tree.serialise();
    std::string packed;
    put_little(packed, static_cast<std::uint64_t>(serialised.size()));
    codec::FrameCompressor().compress(as_bytes(serialised), packed);
    return to_hex(as_bytes(packed));
}

int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string from_hex(const std::string& hex) {
    std::string bytes;
    bytes.reserve(hex.size() / 2);
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        const int high = digit(hex[i]), low = digit(hex[i + 1]);
        if (high < 0 || low < 0) fail(ErrorKind::Corrupt, "exported tree: not hex digits");
        bytes.push_back(static_cast<char>(high << 4 | low));
    }
    if (hex.size() % 2 != 0) fail(ErrorKind::Corrupt, "exported tree: odd number of digits");
    return bytes;
}

std::shared_ptr<const snapshot::Tree> unpack(const std::string& hex) {
    const auto packed = from_hex(hex);
    ByteReader reader(as_bytes(packed), "exported tree");
    const auto size = reader.u64();
    // zstd packs no better than this, so a small file cannot ask for much memory.
    constexpr std::uint64_t kBestRatio = 20'000;
    if (size > kMostTreeBytes || size > packed.size() * kBestRatio)
        reader.corrupt("impossible size");
    std::string serialised(size, '\0');
    codec::FrameDecompressor().decompress(reader.take(reader.remaining()),
                                          std::as_writable_bytes(std::span(serialised)));
    auto tree = snapshot::Tree::parse(as_bytes(serialised));
    tree.verify_digests();
    return std::make_shared<const snapshot::Tree>(std::move(tree));
}

}  // namespace

std::string encode_for_export(const BuildRecord& record, const FindTree& find_tree) {
    auto json = nlohmann::ordered_json::parse(encode(without_hidden_values(record)));
    json["trees"] = nlohmann::ordered_json::array();
    for (const auto& digest : trees_read(record))
        if (const auto tree = find_tree(digest)) json["trees"].push_back(pack(*tree));
    return json.dump() + "\n";
}

ExportedRecord decode_export(std::string_view text) {
    ExportedRecord out{decode_build_record(text), {}};
    const auto trees = oci::Json::parse(text, "build record").find("trees");
    if (!trees) return out;
    const auto items = trees->items();
    if (items.size() > kMostTrees) trees->corrupt("too many trees");
    for (const auto& item : items) {
        const auto tree = unpack(item.string());
        out.trees[tree->digest()] = tree;
    }
    return out;
}

}  // namespace shale::build

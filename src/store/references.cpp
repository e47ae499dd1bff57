#include "references.hpp"

#include "chain.hpp"

#include <shale/oci.hpp>

#include <algorithm>
#include <map>
#include <optional>

namespace shale::store {

namespace {

constexpr int kMaxIndexDepth = 4;

// nullopt for a document that is absent or not what its name says.
std::optional<std::string> read_if_whole(Store& store, const Digest& blob, std::uint64_t limit) {
    try {
        return store.read_document(blob, limit);
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::System) throw;
        return std::nullopt;
    }
}

// Every digest that the text mentions: for documents that we cannot read but must not take apart.
void add_mentioned(std::string_view text, References& into) {
    constexpr std::string_view kPrefix = "sha256:";
    constexpr std::size_t kHexDigits = 64;
    for (auto at = text.find(kPrefix); at != std::string_view::npos;
         at = text.find(kPrefix, at + 1))
        if (const auto digest = Digest::from_hex(text.substr(at + kPrefix.size(), kHexDigits)))
            into.blobs.insert(*digest);
}

void add_manifest(Store& store, const std::string& json, References& into) {
    const oci::Manifest manifest = oci::decode_manifest(json);
    into.blobs.insert(manifest.config.digest);
    for (const auto& layer : manifest.layers)
        into.blobs.insert(layer.digest);
    if (const auto config = read_if_whole(store, manifest.config.digest, oci::kMaxConfigBytes))
        for (const Digest& chain : chain_ids(oci::decode_config(*config).diff_ids))
            into.chains.insert(chain);
}

void add_document(Store& store, const Digest& digest, int depth, References& into) {
    into.blobs.insert(digest);
    if (depth > kMaxIndexDepth) return;
    // Indexes may list one document as often as they like.
    const auto [known, is_new] = into.documents.emplace(digest, depth);
    if (!is_new && known->second <= depth) return;
    known->second = depth;
    const auto json = read_if_whole(store, digest, oci::kMaxManifestBytes);
    if (!json) return;
    try {
        if (!oci::is_index(*json)) return add_manifest(store, *json, into);
        for (const auto& child : oci::decode_index(*json).manifests)
            add_document(store, child.digest, depth + 1, into);
    } catch (const Error& error) {  // an artifact of another tool, or no manifest at all
        if (error.kind() == ErrorKind::System) throw;
        add_mentioned(*json, into);
    }
}

}  // namespace

void add_image(Store& store, const oci::Descriptor& image, References& into) {
    add_document(store, image.digest, 0, into);
}

std::vector<Digest> RecordGroup::blobs() const {
    std::vector<Digest> all = record.sources;
    if (record.layer) all.push_back(record.layer->digest);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

std::vector<RecordGroup> group_records(const std::vector<StepRow>& rows) {
    std::map<std::pair<Digest, std::vector<Digest>>, RecordGroup> groups;
    for (const StepRow& row : rows) {
        std::vector<Digest> made_of = row.record.sources;
        made_of.push_back(row.record.layer ? row.record.layer->digest : Digest{});
        auto& group = groups[{row.record.tree, std::move(made_of)}];
        const bool is_first = group.keys.empty();
        group.keys.push_back(row.key);
        group.used_ns = std::max(group.used_ns, row.used_ns);
        // A cached rebuild keeps created_ns, and its name may be the newer wording.
        if (is_first || row.record.cost_ms > group.record.cost_ms) group.record = row.record;
    }
    std::vector<RecordGroup> out;
    for (auto& [made_of, group] : groups)
        out.push_back(std::move(group));
    return out;
}

}  // namespace shale::store

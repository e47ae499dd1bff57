// shale images: what the store holds, and what a second stage saved. Images of one Dockerfile and
// context share a recipe annotation; the saving of one is told against the largest of the others.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "json_text.hpp"
#include "table.hpp"

#include <shale/base.hpp>
#include <shale/build.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::string filter;
    bool json = false, digests = false, quiet = false, names = false;
};

struct Row {
    StoredImage image;
    std::optional<std::uint64_t> unpacked;
    std::string recipe;
    // The largest other image of the same recipe, if it is larger than this one.
    const Row* compared_with = nullptr;

    double saving() const {
        return 1.0 - static_cast<double>(*unpacked) / static_cast<double>(*compared_with->unpacked);
    }
};

std::string annotation(const oci::Descriptor& descriptor, std::string_view key) {
    const auto found = descriptor.annotations.find(std::string(key));
    return found == descriptor.annotations.end() ? std::string() : found->second;
}

// A size that cannot be told is no reason to leave the image out.
std::optional<std::uint64_t> size_if_known(store::Store& store, const StoredImage& image) {
    try {
        return unpacked_bytes(store, image);
    } catch (const Error& error) {
        log(LogLevel::Debug, shown_name(image) + ": " + error.what());
        return std::nullopt;
    }
}

// One unreadable image must not hide the others. Of an index each image is a row.
void append_rows(store::Store& store, const std::optional<oci::Reference>& name,
                 const oci::Descriptor& descriptor, std::vector<Row>& rows) {
    try {
        for (auto& image : images_of(store, name, descriptor)) {
            Row row;
            row.image = std::move(image);
            row.recipe = annotation(descriptor, build::kAnnotationRecipe);
            rows.push_back(std::move(row));
        }
    } catch (const Error& error) {
        log(LogLevel::Warn,
            (name ? name->familiar() : descriptor.digest.str()) + ": " + error.what());
    }
}

std::vector<Row> load_rows(store::Store& store) {
    std::vector<Row> rows;
    for (const auto& record : store.images())
        append_rows(store, record.name, record.manifest, rows);
    for (const auto& descriptor : store.unnamed())
        append_rows(store, std::nullopt, descriptor, rows);
    return rows;
}

// `docker images REPO[:TAG]`: all tags of a repository, or one.
class Filter {
  public:
    explicit Filter(const std::string& text) {
        if (text.empty()) return;
        wanted_ = oci::Reference::parse(text);
        const auto last = text.rfind('/') + 1;  // npos + 1 is 0
        any_tag_ = text.find_first_of(":@", last) == std::string::npos;
    }
    bool takes(const std::optional<oci::Reference>& name) const {
        if (!wanted_) return true;
        if (!name) return false;
        if (!any_tag_) return *name == *wanted_;
        return name->domain == wanted_->domain && name->repository == wanted_->repository;
    }

  private:
    std::optional<oci::Reference> wanted_;
    bool any_tag_ = false;
};

void compare_recipes(std::vector<Row>& rows) {
    for (auto& row : rows) {
        if (row.recipe.empty() || !row.unpacked) continue;
        for (const auto& other : rows) {
            if (other.recipe != row.recipe || !other.unpacked ||
                other.image.config.platform != row.image.config.platform)
                continue;
            const auto largest = row.compared_with ? *row.compared_with->unpacked : *row.unpacked;
            if (*other.unpacked > largest) row.compared_with = &other;
        }
    }
}

std::string repository_of(const oci::Reference& name) {
    oci::Reference plain = name;
    plain.tag.clear();
    plain.digest.reset();
    return plain.familiar();
}

// "-83%"; what rounds to nothing is nothing, on either side.
std::string percent_less(double share) {
    const auto percent = std::lround(share * 100);
    return fmt::format("{}{}%", percent > 0 ? "-" : percent < 0 ? "+" : "", std::labs(percent));
}

std::string render_table(const std::vector<const Row*>& rows, bool digests) {
    std::vector<std::string> header = {"REPOSITORY", "TAG"};
    if (digests) header.push_back("DIGEST");
    const bool platforms = std::any_of(rows.begin(), rows.end(),
                                       [](const Row* row) { return row->image.index.has_value(); });
    if (platforms) header.push_back("PLATFORM");
    for (const char* title : {"IMAGE ID", "CREATED", "SIZE", "COMPRESSED", "SAVING"})
        header.push_back(title);
    Table table(std::move(header));
    const auto now = system_clock().now_ns();
    for (const Row* shown : rows) {
        const Row& row = *shown;
        const auto& [name, descriptor, manifest, config, index, _] = row.image;
        std::vector<std::string> cells = {name ? repository_of(*name) : "<none>",
                                          name && !name->tag.empty() ? name->tag : "<none>"};
        if (digests) cells.push_back(descriptor.digest.str());
        if (platforms) cells.push_back(config.platform.normalized().str());
        cells.push_back(manifest.config.digest.short_hex());
        cells.push_back(config.created_ns ? format_age(now, *config.created_ns) : "-");
        cells.push_back(row.unpacked ? format_size(*row.unpacked) : "-");
        cells.push_back(format_size(compressed_bytes(manifest)));
        cells.push_back(row.compared_with ? fmt::format("{} vs {}", percent_less(row.saving()),
                                                        shown_name(row.compared_with->image))
                                          : "-");
        table.add(std::move(cells));
    }
    return table.str();
}

std::string full_name(const StoredImage& image) {
    return image.name ? image.name->str() : image.manifest.config.digest.str();
}

std::string render_json(const std::vector<const Row*>& rows) {
    using Json = nlohmann::ordered_json;
    auto list = Json::array();
    for (const Row* shown : rows) {
        const Row& row = *shown;
        const auto& [name, descriptor, manifest, config, index, _] = row.image;
        Json item = {{"name", name ? Json(name->str()) : Json()},
                     {"repository", name ? Json(repository_of(*name)) : Json()},
                     {"tag", name ? Json(name->tag) : Json()},
                     {"id", manifest.config.digest.str()},
                     {"digest", descriptor.digest.str()},
                     {"platform", config.platform.str()},
                     {"layers", manifest.layers.size()},
                     {"compressedBytes", compressed_bytes(manifest)}};
        if (config.created_ns) item["created"] = format_rfc3339(*config.created_ns);
        if (index) item["index"] = index->digest.str();
        if (row.unpacked) item["unpackedBytes"] = *row.unpacked;
        if (const auto stage = annotation(row.image.named(), build::kAnnotationStage);
            !stage.empty())
            item["stage"] = stage;
        if (row.compared_with)
            item["saving"] = {{"fraction", row.saving()},
                              {"comparedWith", full_name(row.compared_with->image)}};
        list.push_back(std::move(item));
    }
    return json_text(list);
}

int run(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    const Filter filter(flags.filter);
    if (flags.names) {  // reads no image: shells ask for this at every TAB
        std::string names;
        for (const auto& record : store.images())
            if (filter.takes(record.name)) names += record.name.familiar() + "\n";
        print_result(names);
        return kOk;
    }
    auto rows = load_rows(store);
    if (!flags.quiet) {
        for (auto& row : rows)
            row.unpacked = size_if_known(store, row.image);
        compare_recipes(rows);
    }
    std::vector<const Row*> shown;
    for (const auto& row : rows)
        if (filter.takes(row.image.name)) shown.push_back(&row);
    if (flags.quiet) {
        std::string ids;
        for (const Row* row : shown)
            ids += row->image.manifest.config.digest.short_hex() + "\n";
        print_result(ids);
        return kOk;
    }
    print_result(flags.json ? render_json(shown) : render_table(shown, flags.digests));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "REPO", flags->filter, "Only images of this repository, or one REPO:TAG");
    add_switch(app, "--digests", flags->digests, "Show the digests of the manifests");
    add_switch(app, "-q,--quiet", flags->quiet, "Print image IDs only");
    add_switch(app, "--names", flags->names, "Print names only, one a line");
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& images_command() {
    static const Command command = {
        .name = "images",
        .group = "Images",
        .summary = "List the images of the store",
        .usage = "[OPTIONS] [REPO[:TAG]]",
        .details =
            "SIZE is what the files of the image take when unpacked, COMPRESSED what its layers "
            "take in the store and on the wire. The size of an image that was pulled and never "
            "looked into is not known yet. An image built without a name is shown as <none>.\n\n"
            "SAVING compares an image with the largest other image that was built from the same "
            "Dockerfile and context, usually the stage that it left behind: \"-83% vs "
            "app:builder\".",
        .examples = {{"shale images", "List images"},
                     {"shale images --json | jq '.[].name'", "Names for a script"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli

// shale images: what the store holds, and what a second stage saved. Images of one Dockerfile and
// context share a recipe annotation; the saving of one is told against the largest of the others.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "table.hpp"

#include <shale/base.hpp>
#include <shale/build.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
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

// One unreadable image must not hide the others.
std::vector<Row> load_rows(store::Store& store) {
    std::vector<Row> rows;
    for (const auto& record : store.images()) {
        try {
            Row row;
            row.image = {record.name, record.manifest, store.manifest(record.manifest), {}};
            row.image.config = store.config(row.image.manifest);
            row.unpacked = unpacked_bytes(store, row.image);
            row.recipe = annotation(record.manifest, build::kAnnotationRecipe);
            rows.push_back(std::move(row));
        } catch (const Error& error) {
            log(LogLevel::Warn, record.name.familiar() + ": " + error.what());
        }
    }
    return rows;
}

void compare_recipes(std::vector<Row>& rows) {
    for (auto& row : rows) {
        if (row.recipe.empty() || !row.unpacked) continue;
        for (const auto& other : rows) {
            if (other.recipe != row.recipe || !other.unpacked) continue;
            const auto largest = row.compared_with ? *row.compared_with->unpacked : *row.unpacked;
            if (*other.unpacked > largest) row.compared_with = &other;
        }
    }
}

std::string repository_of(const oci::Reference& name) {
    oci::Reference plain = name;
    plain.tag.clear();
    plain.digest.reset();
    auto text = plain.familiar();
    // familiar() of a name without tag and digest may show the default tag.
    const auto colon = text.rfind(':');
    const bool is_tag = colon != std::string::npos && text.find('/', colon) == std::string::npos;
    return is_tag ? text.substr(0, colon) : text;
}

std::string render_table(const std::vector<Row>& rows, bool digests) {
    std::vector<std::string> header = {"REPOSITORY", "TAG"};
    if (digests) header.push_back("DIGEST");
    for (const char* title : {"IMAGE ID", "CREATED", "SIZE", "COMPRESSED", "SAVING"})
        header.push_back(title);
    Table table(std::move(header));
    const auto now = system_clock().now_ns();
    for (const auto& row : rows) {
        const auto& [name, descriptor, manifest, config] = row.image;
        std::vector<std::string> cells = {repository_of(name),
                                          name.tag.empty() ? "<none>" : name.tag};
        if (digests) cells.push_back(descriptor.digest.str());
        cells.push_back(manifest.config.digest.short_hex());
        cells.push_back(config.created_ns ? format_age(now, *config.created_ns) : "-");
        cells.push_back(row.unpacked ? format_size(*row.unpacked) : "-");
        cells.push_back(format_size(compressed_bytes(manifest)));
        cells.push_back(row.compared_with ? fmt::format("-{:.0f}% vs {}", row.saving() * 100,
                                                        row.compared_with->image.name.familiar())
                                          : "-");
        table.add(std::move(cells));
    }
    return table.str();
}

std::string render_json(const std::vector<Row>& rows) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
        const auto& [name, descriptor, manifest, config] = row.image;
        nlohmann::ordered_json item = {{"name", name.str()},
                                       {"repository", repository_of(name)},
                                       {"tag", name.tag},
                                       {"id", manifest.config.digest.str()},
                                       {"digest", descriptor.digest.str()},
                                       {"platform", config.platform.str()},
                                       {"layers", manifest.layers.size()},
                                       {"compressedBytes", compressed_bytes(manifest)}};
        if (config.created_ns) item["created"] = format_rfc3339(*config.created_ns);
        if (row.unpacked) item["unpackedBytes"] = *row.unpacked;
        if (const auto stage = annotation(descriptor, build::kAnnotationStage); !stage.empty())
            item["stage"] = stage;
        if (row.compared_with)
            item["saving"] = {{"fraction", row.saving()},
                              {"comparedWith", row.compared_with->image.name.str()}};
        list.push_back(std::move(item));
    }
    return list.dump(2) + "\n";
}

int run(const Flags& flags, Workspace& workspace) {
    auto rows = load_rows(workspace.store());
    if (flags.quiet) {
        std::string ids;
        for (const auto& row : rows)
            ids += row.image.manifest.config.digest.short_hex() + "\n";
        print_result(ids);
        return kOk;
    }
    if (flags.names) {
        std::string names;
        for (const auto& row : rows)
            names += row.image.name.familiar() + "\n";
        print_result(names);
        return kOk;
    }
    compare_recipes(rows);
    print_result(flags.json ? render_json(rows) : render_table(rows, flags.digests));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
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
        .usage = "[OPTIONS]",
        .details =
            "SIZE is what the files of the image take when unpacked, COMPRESSED what its layers "
            "take in the store and on the wire.\n\n"
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

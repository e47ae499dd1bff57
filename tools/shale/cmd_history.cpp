// shale history: the steps that made an image, newest first.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "table.hpp"
#include "terminal_text.hpp"

#include <shale/base.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

constexpr std::size_t kStepColumns = 60;

struct Flags {
    std::string reference, platform;
    bool json = false, no_trunc = false;
};

struct Row {
    oci::History step;
    std::optional<oci::Descriptor> layer;  // none for a step without one, or a history that lies
};

// History and layers are two lists in a stranger's documents: every entry that is not marked empty
// takes the next layer, as long as there is one.
std::vector<Row> pair_up(const StoredImage& image) {
    std::vector<Row> rows;
    std::size_t next = 0;
    for (const auto& step : image.config.history) {
        Row row{step, std::nullopt};
        if (!step.empty_layer && next < image.manifest.layers.size())
            row.layer = image.manifest.layers[next++];
        rows.push_back(std::move(row));
    }
    for (; next < image.manifest.layers.size(); ++next)
        rows.emplace_back().layer = image.manifest.layers[next];
    std::reverse(rows.begin(), rows.end());
    return rows;
}

std::string render_table(const std::vector<Row>& rows, bool no_trunc) {
    Table table({"LAYER", "CREATED", "CREATED BY", "COMPRESSED", "COMMENT"});
    const auto now = system_clock().now_ns();
    for (const auto& [step, layer] : rows) {
        const auto digest = !layer     ? "-"
                            : no_trunc ? layer->digest.str()
                                       : layer->digest.short_hex();
        const auto by = printable(step.created_by);
        table.add({digest, step.created_ns ? format_age(now, *step.created_ns) : "-",
                   no_trunc ? by : fit(by, kStepColumns), layer ? format_size(layer->size) : "0 B",
                   step.comment});
    }
    return table.str();
}

std::string render_json(const std::vector<Row>& rows) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& [step, layer] : rows) {
        nlohmann::ordered_json item = {{"createdBy", step.created_by}, {"comment", step.comment}};
        if (step.created_ns) item["created"] = format_rfc3339(*step.created_ns);
        if (layer) {
            item["layer"] = layer->digest.str();
            item["mediaType"] = layer->media_type;
        }
        item["compressedBytes"] = layer ? layer->size : 0;
        list.push_back(std::move(item));
    }
    return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int run(const Flags& flags, Workspace& workspace) {
    const auto platform = chosen_platform(flags.platform);
    const auto image = require_image(workspace.store(), flags.reference, platform);
    announce_platform(image, platform);
    const auto rows = pair_up(image);
    print_result(flags.json ? render_json(rows) : render_table(rows, flags.no_trunc));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "REF", flags->reference, "Name or ID of an image of the store"));
    add_switch(app, "--no-trunc", flags->no_trunc, "Show steps and digests in full");
    add_platform_flag(app, flags->platform);
    add_switch(app, "--json", flags->json, "Print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& history_command() {
    static const Command command = {
        .name = "history",
        .group = "Images",
        .summary = "Show the steps that made an image",
        .usage = "[OPTIONS] REF",
        .details = "Newest step first, with the layer that it made and what the layer takes in the "
                   "store.",
        .examples = {{"shale history app:prod", "Which step made which layer"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli

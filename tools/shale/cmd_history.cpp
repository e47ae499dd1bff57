// shale history: the steps that made an image, newest first.
//
// History and layers are two lists that the image's author wrote independently; pair_up() puts them
// side by side and trusts neither. With --wasted the tables of contents are read as well.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "layer_views.hpp"
#include "table.hpp"
#include "terminal_text.hpp"

#include <shale/base.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

namespace shale::cli {

namespace {

constexpr std::size_t kStepColumns = 60;

struct Flags {
    std::string reference, platform;
    bool json = false, no_trunc = false, wasted = false;
};

struct Row {
    std::size_t step_number = 0, layer_number = 0;  // from 1; 0: none
    std::optional<std::uint64_t> unpacked, wasted;  // bytes of files
    oci::History step;
    std::optional<oci::Descriptor> layer;  // none for a step without one, or a history that lies
};

// History and layers are two lists in a stranger's documents: every entry that is not marked empty
// takes the next layer, as long as there is one.
std::vector<Row> pair_up(const StoredImage& image) {
    std::vector<Row> rows;
    std::size_t next = 0;
    for (const auto& step : image.config.history) {
        Row row;
        row.step = step;
        row.step_number = rows.size() + 1;
        if (!step.empty_layer && next < image.manifest.layers.size()) {
            row.layer = image.manifest.layers[next++];
            row.layer_number = next;
        }
        rows.push_back(std::move(row));
    }
    while (next < image.manifest.layers.size()) {
        auto& row = rows.emplace_back();
        row.layer = image.manifest.layers[next++];
        row.layer_number = next;
    }
    std::reverse(rows.begin(), rows.end());
    return rows;
}

void add_wasted(std::vector<Row>& rows, Workspace& workspace, const std::string& reference,
                const PlatformChoice& platform) {
    const auto image = obtain_tree(workspace, reference, platform);
    const auto tables = image.tables();
    const auto wasted = wasted_bytes(*image.tree, tables);
    for (auto& row : rows) {
        if (row.layer_number == 0) continue;
        row.wasted = wasted.at(row.layer_number - 1);
        row.unpacked = 0;
        for (const auto& entry : tables.at(row.layer_number - 1)->entries)
            *row.unpacked += entry.member.size;
    }
}

// Of everything that the layers bring, what nobody sees.
std::string waste_line(const std::vector<Row>& rows) {
    std::uint64_t wasted = 0, unpacked = 0;
    for (const auto& row : rows) {
        wasted += row.wasted.value_or(0);
        unpacked += row.unpacked.value_or(0);
    }
    const double share =
        unpacked == 0 ? 0 : static_cast<double>(wasted) / static_cast<double>(unpacked);
    return fmt::format("{} of {} wasted, {:.0f}%\n", format_size(wasted), format_size(unpacked),
                       100 * share);
}

std::string layer_cell(const Row& row, bool no_trunc) {
    if (!row.layer) return "-";
    const auto& digest = row.layer->digest;
    return std::to_string(row.layer_number) + " " + (no_trunc ? digest.str() : digest.short_hex());
}

std::string render_table(const std::vector<Row>& rows, const Flags& flags) {
    std::vector<std::string> header = {"STEP", "LAYER", "CREATED", "CREATED BY", "COMPRESSED"};
    if (flags.wasted) header.insert(header.end(), {"UNPACKED", "WASTED"});
    header.push_back("COMMENT");
    Table table(std::move(header));
    const auto now = system_clock().now_ns();
    for (const auto& row : rows) {
        const auto& step = row.step;
        const auto by = printable(step.created_by);
        std::vector<std::string> cells = {row.step_number > 0 ? std::to_string(row.step_number)
                                                              : "-",
                                          layer_cell(row, flags.no_trunc),
                                          step.created_ns ? format_age(now, *step.created_ns) : "-",
                                          flags.no_trunc ? by : fit(by, kStepColumns),
                                          row.layer ? format_size(row.layer->size) : "0 B"};
        if (flags.wasted)
            for (const auto& bytes : {row.unpacked, row.wasted})
                cells.push_back(bytes ? format_size(*bytes) : "-");
        cells.push_back(step.comment);
        table.add(std::move(cells));
    }
    return table.str() + (flags.wasted ? waste_line(rows) : "");
}

std::string render_json(const std::vector<Row>& rows) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
        const auto& [step, layer] = std::tie(row.step, row.layer);
        nlohmann::ordered_json item = {{"createdBy", step.created_by}, {"comment", step.comment}};
        if (row.step_number > 0) item["step"] = row.step_number;
        if (step.created_ns) item["created"] = format_rfc3339(*step.created_ns);
        if (layer) {
            item["layer"] = layer->digest.str();
            item["layerNumber"] = row.layer_number;
            item["mediaType"] = layer->media_type;
        }
        item["compressedBytes"] = layer ? layer->size : 0;
        if (row.unpacked) item["unpackedBytes"] = *row.unpacked;
        if (row.wasted) item["wastedBytes"] = *row.wasted;
        list.push_back(std::move(item));
    }
    return json_text(list);
}

int run(const Flags& flags, Workspace& workspace) {
    const auto platform = chosen_platform(flags.platform);
    const auto image = described_image(workspace, flags.reference, platform);
    announce_platform(image, platform);
    auto rows = pair_up(image);
    if (flags.wasted) add_wasted(rows, workspace, flags.reference, image.config.platform);
    print_result(flags.json ? render_json(rows) : render_table(rows, flags));
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "REF", flags->reference,
                          "Name or ID of an image of the store, or docker://NAME"));
    add_switch(app, "--no-trunc", flags->no_trunc, "Show steps and digests in full");
    add_switch(app, "--wasted", flags->wasted,
               "Show bytes of files, and of those that later layers overwrite or delete");
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
                   "store. Steps and layers are numbered from the oldest, as `shale mount --step` "
                   "and --layer want them.\n\n"
                   "docker://NAME asks the registry, and leaves the layers there. oci:DIR[:TAG], "
                   "oci-archive:FILE[:TAG] and docker-archive:FILE[:NAME] are taken, too.",
        .examples = {{"shale history app:prod", "Which step made which layer"},
                     {"shale history --wasted app:prod",
                      "How much it brought, and what of that for nothing"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli

#include "memory.hpp"

#include <shale/codec.hpp>

#include <nlohmann/json.hpp>

namespace shale::remote {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxFile = 64 << 10;
// A server's own words are only kept, and sent back, if they are short.
constexpr std::size_t kMaxValidator = 1024;

}  // namespace

// URLs can carry secrets, so no file is named after one or contains one.
std::string Memory::path_of(std::string_view name) const {
    return join_path(directory_, codec::sha256(name).hex() + ".json");
}

std::optional<Remembered> Memory::find(std::string_view name) const {
    const auto path = path_of(name);
    if (!path_exists(path)) return std::nullopt;
    try {
        const auto json = Json::parse(read_file(path, kMaxFile));
        Remembered out;
        out.content = Digest::parse(json.at("content").get<std::string>());
        out.size = json.at("size").get<std::uint64_t>();
        out.etag = json.value("etag", "");
        out.last_modified = json.value("last-modified", "");
        out.is_settled = json.value("settled", false);
        return out;
    } catch (const Json::exception&) {
        return std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

void Memory::put(std::string_view name, const Remembered& remembered) const {
    Json json = {{"content", remembered.content.str()}, {"size", remembered.size}};
    try {
        if (!remembered.etag.empty() && remembered.etag.size() <= kMaxValidator)
            json["etag"] = remembered.etag;
        if (!remembered.last_modified.empty() && remembered.last_modified.size() <= kMaxValidator)
            json["last-modified"] = remembered.last_modified;
        json["settled"] = remembered.is_settled;
        const auto text = json.dump();
        make_directories(directory_);
        write_file_atomic(path_of(name), as_bytes(text));
    } catch (const Json::exception&) {  // a header that is no text: do without its help
        log(LogLevel::Debug, "not remembering a validator that is not UTF-8");
    }
}

}  // namespace shale::remote

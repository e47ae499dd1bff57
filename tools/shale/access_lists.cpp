#include "access_lists.hpp"

#include <shale/codec.hpp>
#include <shale/lazy.hpp>

#include <algorithm>
#include <filesystem>

namespace shale::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostLists = 64;
constexpr std::uint64_t kMostBytes = 32 << 20;  // of a list with as many contents as one may have

std::string repository_of(const oci::Reference& name) {
    return name.domain + "/" + name.repository;
}

}  // namespace

AccessLists::AccessLists(const std::string& store_root)
    : directory_(join_path(store_root, "access-lists")) {}

std::string AccessLists::path_of(const oci::Reference& name) const {
    return join_path(directory_, codec::sha256(repository_of(name)).hex());
}

std::vector<Digest> AccessLists::load(const oci::Reference& name) const {
    const auto path = path_of(name);
    if (!path_exists(path)) return {};
    try {
        return in_context([&] { return path; },
                          [&] { return lazy::decode_access_list(read_file(path, kMostBytes)); });
    } catch (const Error& error) {
        log(LogLevel::Warn, std::string("nothing is fetched ahead: ") + error.what());
        return {};
    }
}

void AccessLists::save(const oci::Reference& name, const std::vector<Digest>& contents) const {
    make_directories(directory_);
    const auto text = lazy::encode_access_list(repository_of(name), contents);
    write_file_atomic(path_of(name), as_bytes(text));
    make_room();
}

void AccessLists::make_room() const {
    std::vector<std::pair<fs::file_time_type, fs::path>> lists;
    std::error_code error;
    for (fs::directory_iterator at(directory_, error), end; !error && at != end;
         at.increment(error)) {
        std::error_code vanished;
        const auto time = at->last_write_time(vanished);
        if (!vanished) lists.emplace_back(time, at->path());
    }
    std::sort(lists.begin(), lists.end());
    for (std::size_t i = 0; i + kMostLists < lists.size(); ++i)
        fs::remove(lists[i].second, error);
}

}  // namespace shale::cli

// apply: a plain tar stream over a directory.
#include "extract.hpp"

#include <shale/layer.hpp>

#include <array>
#include <unordered_set>

namespace shale::layer {

namespace {

// To the verified end of the stream: a damaged trailer must not pass unnoticed.
void drain(const codec::Source& tar_stream) {
    std::array<std::byte, 64 << 10> rest;
    while (tar_stream(rest) > 0) {
    }
}

}  // namespace

void check_members(codec::Source tar_stream, const std::string& what) {
    tar::Reader reader([&](MutableBytes out) { return tar_stream(out); }, what);
    std::unordered_set<std::string> files;  // what is no directory for sure
    std::array<std::byte, 64 << 10> content;
    while (const auto member = reader.next()) {
        const auto& path = member->path;
        if (tar::classify_whiteout(path).kind != tar::WhiteoutKind::None) continue;
        for (auto slash = path.find('/'); slash != std::string::npos;
             slash = path.find('/', slash + 1))
            if (files.contains(path.substr(0, slash)))
                fail(ErrorKind::Corrupt, what + ": archive member \"" + path + "\" lies below \"" +
                                             path.substr(0, slash) + "\", which is no directory");
        // Behind a link may be a directory.
        const bool may_hold_members = member->type == tar::MemberType::Directory ||
                                      member->type == tar::MemberType::Symlink ||
                                      member->type == tar::MemberType::Hardlink;
        if (may_hold_members)
            files.erase(path);
        else
            files.insert(path);
        while (reader.read(content) > 0) {
        }
    }
    drain(tar_stream);
}

void apply(codec::Source tar_stream, const std::string& what, const std::string& directory) {
    Extraction extraction(directory);
    // By reference: a copy of the source would have its own position.
    tar::Reader reader([&](MutableBytes out) { return tar_stream(out); }, what);
    while (const auto member = reader.next())
        in_context([&] { return "extracting " + what; }, [&] { extraction.add(*member, reader); });
    extraction.finish();
    drain(tar_stream);
}

}  // namespace shale::layer

// apply: a plain tar stream over a directory.
#include "extract.hpp"

#include <shale/layer.hpp>

#include <array>

namespace shale::layer {

void apply(codec::Source tar_stream, const std::string& what, const std::string& directory) {
    Extraction extraction(directory);
    // By reference: a copy of the source would have its own position.
    tar::Reader reader([&](MutableBytes out) { return tar_stream(out); }, what);
    while (const auto member = reader.next())
        in_context([&] { return "extracting " + what; }, [&] { extraction.add(*member, reader); });
    extraction.finish();
    // To the verified end of the stream: a damaged trailer must not pass unnoticed.
    std::array<std::byte, 64 << 10> rest;
    while (tar_stream(rest) > 0) {
    }
}

}  // namespace shale::layer

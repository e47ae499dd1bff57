// The last 64 bytes of a framed blob, inside a skippable frame. Layout: docs/formats/layer.md.
#pragma once

#include <shale/layer.hpp>

#include <optional>

namespace shale::layer {

struct Footer {
    std::uint64_t toc_offset = 0;  // of the compressed TOC, past its skippable header
    std::uint64_t toc_compressed = 0;
    std::uint64_t toc_bytes = 0;
};

inline constexpr std::size_t kFooterBytes = 64;
inline constexpr std::size_t kSkippableHeaderBytes = 8;

// True if a blob that ends in `tail` ends in our footer.
bool is_own_footer(Bytes tail);
// read_toc() for a blob whose size is known.
std::optional<Toc> read_toc(oci::BlobSource& blobs, const Digest& blob, std::uint64_t size);

std::string encode_footer(const Footer& footer);
// nullopt if the magic is not ours; Corrupt if it is but a field is impossible. `bytes` is the
// whole skippable frame.
std::optional<Footer> decode_footer(Bytes bytes);

}  // namespace shale::layer

// Tables of contents that other programs write.
#pragma once

#include <shale/layer_form.hpp>

namespace shale::layer {

// How the table of a blob is found and what it is about.
struct ForeignTable {
    FrameCoding coding = FrameCoding::ZstdPieces;
    std::uint64_t offset = 0, bytes = 0;  // of the compressed table
    std::uint64_t plain_bytes = 0;        // 0: not known
    std::uint64_t data_end = 0;           // contents lie before this
};

inline constexpr std::size_t kLargestForeignTail = 72;
// The table to which the last bytes of a blob of `blob_bytes` point. nullopt if they are no footer
// that is known; Corrupt if they are but point elsewhere.
std::optional<ForeignTable> find_foreign_table(Bytes tail, std::uint64_t blob_bytes);

// The JSON, and for eStargz the member that holds it.
struct ForeignJson {
    std::string json;
    std::optional<tar::Member> member;
    std::uint64_t member_skip = 0;  // bytes of the piece before the JSON
};
ForeignJson unpack_foreign_table(const ForeignTable& table, Bytes packed);

// Frames and offsets made of the places that the table names. Checked like our own.
Toc decode_foreign_toc(const ForeignTable& table, const ForeignJson& json);

}  // namespace shale::layer

#include "directory.hpp"

#include <shale/base.hpp>

namespace shale::erofs {

void DirectoryWriter::add(std::string_view name, std::uint64_t nid, std::uint8_t type) {
    if (records_.size() + names_.size() + sizeof(DirectoryEntry) + name.size() > kBlock) {
        flush();
        out_.resize((out_.size() + kBlock - 1) / kBlock * kBlock);
    }
    // Relative to the names' beginning until flush() knows where that is.
    put_little(records_, DirectoryEntry{nid, static_cast<std::uint16_t>(names_.size()), type});
    names_.append(name);
}

void DirectoryWriter::flush() {
    for (std::size_t at = 0; at < records_.size(); at += sizeof(DirectoryEntry)) {
        DirectoryEntry record;
        std::memcpy(&record, records_.data() + at, sizeof record);
        record.name_offset = static_cast<std::uint16_t>(record.name_offset + records_.size());
        put_little(out_, record);
    }
    out_.append(names_);
    records_.clear();
    names_.clear();
}

std::string DirectoryWriter::finish() && {
    flush();
    return std::move(out_);
}

}  // namespace shale::erofs

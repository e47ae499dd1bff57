// The rows of frame-index.db that say what became of a section. Layout: docs/formats/store.md.
#pragma once

#include <shale/frame_store.hpp>

#include <optional>
#include <string>

namespace shale::store {

std::string encode_section(const layer::StoredSection& section);
// nullopt if that is no record.
std::optional<layer::StoredSection> decode_section(Bytes record);

}  // namespace shale::store

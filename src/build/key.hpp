// Cache keys: SHA-256 over named, length-prefixed fields, so that no two field lists collide by
// concatenation. A key's first field is its kind ("run", "copy", ...), which also separates
// versions of its own definition: change what a kind covers, change its name.
#pragma once

#include <shale/base.hpp>
#include <shale/build_record.hpp>
#include <shale/codec.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

using RecordedInputs = std::vector<RecordedInput>;

class Key {
  public:
    // What the key covers is noted in `inputs`, if given: all of it, so that two keys that differ
    // differ in something that can be named.
    explicit Key(std::string_view kind, RecordedInputs* inputs = nullptr) : inputs_(inputs) {
        add("kind", kind);
    }

    Key& add(std::string_view field, std::string_view value) {
        if (inputs_) inputs_->push_back(recorded_input(std::string(field), std::string(value)));
        return put(field, value);
    }
    Key& add(std::string_view field, const Digest& digest) {
        if (inputs_) inputs_->push_back({std::string(field), digest.hex(), false});
        return put(field, as_text(std::as_bytes(std::span(digest.bytes))));
    }
    Key& add(std::string_view field, std::uint64_t value) {
        if (inputs_) inputs_->push_back({std::string(field), std::to_string(value), false});
        return put(field, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
    }
    template <typename Range>
    Key& add_all(std::string_view field, const Range& values) {
        add(field, static_cast<std::uint64_t>(values.size()));
        for (const auto& value : values)
            add(field, value);
        return *this;
    }
    Digest finish() { return sha_.finish(); }

  private:
    Key& put(std::string_view field, std::string_view value) {
        put(field);
        put(value);
        return *this;
    }
    void put(std::string_view text) {
        const std::uint64_t size = text.size();
        sha_.update(std::as_bytes(std::span(&size, 1)));
        sha_.update(as_bytes(text));
    }
    codec::Sha256 sha_;
    RecordedInputs* inputs_;
};

}  // namespace shale::build

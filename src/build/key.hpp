// Cache keys: SHA-256 over named, length-prefixed fields, so that no two field lists collide by
// concatenation. A key's first field is its kind ("run", "copy", ...), which also separates
// versions of its own definition: change what a kind covers, change its name.
#pragma once

#include <shale/base.hpp>
#include <shale/codec.hpp>

#include <string_view>

namespace shale::build {

class Key {
  public:
    explicit Key(std::string_view kind) { add("kind", kind); }

    Key& add(std::string_view field, std::string_view value) {
        put(field);
        put(value);
        return *this;
    }
    Key& add(std::string_view field, const Digest& digest) {
        return add(field, as_text(std::as_bytes(std::span(digest.bytes))));
    }
    Key& add(std::string_view field, std::uint64_t value) {
        return add(field, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
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
    void put(std::string_view text) {
        const std::uint64_t size = text.size();
        sha_.update(std::as_bytes(std::span(&size, 1)));
        sha_.update(as_bytes(text));
    }
    codec::Sha256 sha_;
};

}  // namespace shale::build

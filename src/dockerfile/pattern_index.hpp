// Finds the few patterns that can match a path among many.
//
// Almost every pattern of an ignore file ends in a literal name ("**/node_modules", "/build"), in a
// literal ending ("*.o"), or begins with one ("docs/**"). Each pattern goes into one bucket by the
// most telling literal it has; a path looks into the few buckets that its own name, extension,
// first component and outer bytes select. Patterns without any literal are always tried.
#pragma once

#include "glob.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shale::dockerfile {

class PatternIndex {
  public:
    // Numbers count from 1 and ascend.
    void add(std::size_t number, const Glob& glob);

    // The greatest number behind `above` whose pattern matches, as `matches(number)` says, or
    // `above`. Only numbers that can match are asked for.
    template <typename Matches>
    std::size_t last(std::string_view path, std::size_t above, const Matches& matches) const {
        std::size_t found = above;
        for_each_bucket(path, [&](const Bucket& bucket) {
            for (auto number = bucket.rbegin(); number != bucket.rend() && *number > found;
                 ++number)
                if (matches(*number)) {
                    found = *number;
                    break;
                }
        });
        return found;
    }

  private:
    using Bucket = std::vector<std::uint32_t>;  // ascending
    struct Hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    using Map = std::unordered_map<std::string, Bucket, Hash, std::equal_to<>>;
    using Table = std::array<Bucket, 256>;

    Bucket& bucket_for(const Glob& glob);

    template <typename Visit>
    static void look_up(const Map& map, std::string_view key, const Visit& visit) {
        if (map.empty()) return;
        if (const auto found = map.find(key); found != map.end()) visit(found->second);
    }

    template <typename Visit>
    void for_each_bucket(std::string_view path, const Visit& visit) const {
        visit(any_);
        if (path.empty()) return;
        const std::string_view name = path.substr(path.rfind('/') + 1);
        look_up(names_, name, visit);
        if (const auto dot = name.rfind('.'); dot != name.npos)
            look_up(extensions_, name.substr(dot), visit);
        look_up(first_components_, path.substr(0, path.find('/')), visit);
        visit(first_bytes_[static_cast<unsigned char>(path.front())]);
        visit(last_bytes_[static_cast<unsigned char>(path.back())]);
    }

    Map names_;             // the last component is this text
    Map extensions_;        // it ends in this: from the last dot on
    Map first_components_;  // the first component is this text, and there is more
    Table first_bytes_, last_bytes_;
    Bucket any_;
};

}  // namespace shale::dockerfile

// index.json as a list of raw descriptors.
//
// Other tools write this file too, with members and digest algorithms that we do not know. So it is
// cut into the raw texts of its descriptors; each is decoded by itself if it can be, and what we do
// not change is written back byte for byte.
#pragma once

#include <shale/oci.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::store {

inline constexpr std::string_view kRefNameKey = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kContainerdNameKey = "io.containerd.image.name";
// Marks the images that we keep without a name. Nameless descriptors of other tools are theirs.
inline constexpr std::string_view kUnnamedKey = "dev.shale.unnamed";

class IndexFile {
  public:
    struct Item {
        std::string json;  // one descriptor, as it stands in the file
        // Absent if the descriptor is beyond us; such items are carried along.
        std::optional<oci::Descriptor> descriptor;
        std::optional<oci::Reference> name;
        bool unnamed = false;  // an image that we keep without a name
    };
    // Corrupt, with the offset, if the text is not an index.
    static IndexFile parse(std::string_view text);
    static IndexFile empty();
    std::string str() const;

    const std::vector<Item>& items() const { return items_; }
    // One descriptor per name: replaces any earlier ones, keeping the place of the first. The
    // manifest is not unnamed any more.
    void put(const oci::Reference& name, const oci::Descriptor& manifest);
    bool remove(const oci::Reference& name);  // false if there was none
    // Adds the manifest without a name; false if it is there already, named or not.
    bool keep(const oci::Descriptor& manifest);
    bool forget(const Digest& manifest);  // false if it was not there unnamed

  private:
    std::vector<std::pair<std::string, std::string>> members_;  // raw "key", raw value
    std::vector<Item> items_;
};

// The raw value of `key` in the JSON object `text`; nullopt if it has none. Corrupt if the text is
// not an object.
std::optional<std::string> json_member(std::string_view text, std::string_view key);

}  // namespace shale::store

// Which names exist is the kernel's choice (a number per prefix). Attributes that speak to
// overlayfs come from here only: those of the tree are escaped as overlayfs itself escapes them, by
// one more "overlay." behind the prefix, and it takes that away again when it shows them.
#include "xattrs.hpp"

#include <shale/erofs.hpp>

#include <array>
#include <optional>

namespace shale::erofs {

namespace {

struct Prefix {
    std::string_view text;
    std::uint8_t number;
    bool is_whole_name;  // nothing may follow
};
constexpr std::array<Prefix, 5> kPrefixes{{{"user.", 1, false},
                                           {"system.posix_acl_access", 2, true},
                                           {"system.posix_acl_default", 3, true},
                                           {"trusted.", 4, false},
                                           {"security.", 6, false}}};
constexpr std::string_view kOverlay = "trusted.overlay.";
constexpr std::size_t kMaxName = 255;     // XATTR_NAME_MAX
constexpr std::size_t kMaxValue = 65535;  // a 16-bit length
constexpr std::size_t kMaxShared = 255;   // an 8-bit count
// A 16-bit count of words, less what the header occupies.
constexpr std::size_t kMaxBody = sizeof(XattrHeader) + 4 * (65535 - 1);

const Prefix* prefix_of(std::string_view name) {
    for (const auto& prefix : kPrefixes)
        if (prefix.is_whole_name ? name == prefix.text : name.starts_with(prefix.text))
            return &prefix;
    return nullptr;
}

void check(const Xattr& xattr) {
    if (!prefix_of(xattr.name))
        fail(ErrorKind::Unsupported, "attribute '" + xattr.name + "' has no place in EROFS");
    if (xattr.name.size() > kMaxName)
        fail(ErrorKind::Unsupported, "attribute '" + xattr.name + "' has too long a name");
    if (xattr.value.size() > kMaxValue)
        fail(ErrorKind::Unsupported, "attribute '" + xattr.name + "' has " +
                                         std::to_string(xattr.value.size()) +
                                         " bytes, EROFS holds 65535");
}

Xattr escaped(const Xattr& xattr) {
    if (!xattr.name.starts_with(kOverlay)) return xattr;
    return {std::string(kOverlay) + "overlay." + xattr.name.substr(kOverlay.size()), xattr.value};
}

void append(std::string& out, const Xattr& xattr) {
    const Prefix& prefix = *prefix_of(xattr.name);
    const auto rest = std::string_view(xattr.name).substr(prefix.text.size());
    put_little(out, XattrEntry{static_cast<std::uint8_t>(rest.size()), prefix.number,
                               static_cast<std::uint16_t>(xattr.value.size())});
    out.append(rest).append(xattr.value);
    out.resize((out.size() + 3) / 4 * 4);
}

// No use in counting it: files of one content are few.
bool is_redirect(const Xattr& xattr) {
    return xattr.name == "trusted.overlay.redirect";
}

}  // namespace

XattrTable::XattrTable(const snapshot::Tree& tree, std::string_view prefix) : prefix_(prefix) {
    for (snapshot::NodeId node = 0; node < tree.size(); ++node) {
        const auto entry = tree.entry(node);
        const auto name = [&] { return "/" + tree.path(node); };
        in_context(name, [&] {
            std::size_t bytes = sizeof(XattrHeader);
            for (const auto& xattr : attributes_of(entry)) {
                check(xattr);
                bytes += sizeof(XattrEntry) + xattr.name.size() + xattr.value.size() + 3;
                if (!is_redirect(xattr)) ++uses_[xattr].count;
            }
            if (bytes > kMaxBody) fail(ErrorKind::Unsupported, "more attributes than EROFS holds");
        });
    }
    for (auto& [xattr, use] : uses_)
        if (use.count > 1) store_shared(xattr, use);
}

// What an entry has in the image: its own attributes, then where its bytes are.
std::vector<Xattr> XattrTable::attributes_of(const snapshot::Entry& entry) const {
    std::vector<Xattr> all;
    for (const auto& xattr : entry.xattrs)
        all.push_back(escaped(xattr));
    if (entry.type == FileType::Regular && entry.size > 0) {
        all.push_back({std::string(kOverlay) + "metacopy", ""});
        all.push_back(
            {std::string(kOverlay) + "redirect", "/" + content_name(entry.content, prefix_)});
    }
    return all;
}

void XattrTable::store_shared(const Xattr& xattr, Use& use) {
    use.number = static_cast<std::uint32_t>(shared_area_.size() / 4);
    append(shared_area_, xattr);
}

std::string XattrTable::body(const snapshot::Entry& entry) const {
    const auto all = attributes_of(entry);
    if (all.empty()) return {};
    std::string numbers, own;
    XattrHeader header;
    for (const auto& xattr : all) {
        const auto use = uses_.find(xattr);
        if (use != uses_.end() && use->second.count > 1 && header.shared_count < kMaxShared) {
            put_little(numbers, use->second.number);
            ++header.shared_count;
        } else {
            append(own, xattr);
        }
    }
    std::string out;
    put_little(out, header);
    return out + numbers + own;
}

}  // namespace shale::erofs

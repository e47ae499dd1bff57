// u32 count (not 0), then for each attribute: u32 name length, u32 value length, name, value.
#include "xattr_section.hpp"

#include "digests.hpp"

namespace shale::snapshot {

std::string encode_xattr_sets(const Tree::Data& data, std::uint32_t first) {
    std::string out;
    for (std::size_t set = first; set < data.xattr_sets.size(); ++set) {
        put_little(out, static_cast<std::uint32_t>(data.xattr_sets[set].size()));
        for (const Xattr& xattr : data.xattr_sets[set]) {
            put_little(out, static_cast<std::uint32_t>(xattr.name.size()));
            put_little(out, static_cast<std::uint32_t>(xattr.value.size()));
            out.append(xattr.name);
            out.append(xattr.value);
        }
    }
    return out;
}

void read_xattr_sets(Bytes bytes, std::uint32_t sets, Tree::Data& data) {
    ByteReader in(bytes, "snapshot xattrs");
    for (std::uint32_t set = 0; set < sets; ++set) {
        std::vector<Xattr> xattrs;
        const std::uint32_t count = in.u32();
        if (count == 0) in.corrupt("empty set");
        for (std::uint32_t at = 0; at < count; ++at) {
            const std::uint32_t name_bytes = in.u32();
            const std::uint32_t value_bytes = in.u32();
            Xattr xattr{std::string(as_text(in.take(name_bytes))),
                        std::string(as_text(in.take(value_bytes)))};
            if (xattr.name.empty() || xattr.name.size() > 255 ||
                xattr.name.find('\0') != std::string::npos ||
                (at > 0 && xattr.name <= xattrs.back().name))
                in.corrupt("impossible or unsorted name");
            xattrs.push_back(std::move(xattr));
        }
        data.xattr_digests.push_back(digest_of_xattrs(xattrs));
        data.xattr_sets.push_back(std::move(xattrs));
    }
    if (in.remaining() != 0) in.corrupt("bytes left over");
}

}  // namespace shale::snapshot

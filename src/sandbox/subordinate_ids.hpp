// Which IDs a user may give to a user namespace, and the table that makes of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shale::sandbox {

struct IdRange {
    std::uint32_t first = 0, count = 0;
    bool operator==(const IdRange&) const = default;
};

// subuid(5): lines "owner:first:count", the owner by name or number. The file is the
// administrator's, yet a line that is not of this form is nobody's mistake to stop at: the programs
// that grant the IDs skip it, and so does this.
std::vector<IdRange> parse_subordinate_ids(std::string_view text, std::string_view name,
                                           std::uint32_t uid);

// What getsubids(1) prints where IDs come from a directory service: "0: owner first count".
std::vector<IdRange> parse_getsubids(std::string_view text);

// Arguments of newuidmap(1) after the process: `own` becomes 0, the others follow from 1 in the
// order given. A range that meets `own` or an earlier one is left out, since the kernel would
// refuse the whole table for it.
std::vector<std::string> id_map_arguments(std::uint32_t own, const std::vector<IdRange>& ranges);

}  // namespace shale::sandbox

// Changes as lines of text.
#include <shale/diff.hpp>
#include <shale/utf8.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::diff {

namespace {

using snapshot::Tree;

char letter(ChangeKind kind) {
    switch (kind) {
    case ChangeKind::Added:
        return 'A';
    case ChangeKind::Modified:
        return 'M';
    case ChangeKind::Removed:
        return 'D';
    case ChangeKind::Linked:
        return 'L';
    }
    return '?';
}

}  // namespace

std::string printable_path(std::string_view path) {
    std::string out;
    while (!path.empty()) {
        char32_t value = 0;
        const auto character = first_character(path, value);
        const auto bytes = path.substr(0, std::max<std::size_t>(character.size(), 1));
        if (character.empty() || is_control(value) || value == '\\')
            for (const char c : bytes)
                out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
        else
            out.append(character);
        path.remove_prefix(bytes.size());
    }
    return out.empty() ? "." : out;
}

std::string to_text(const std::vector<Change>& changes, const Tree& after) {
    std::string out;
    for (const Change& change : changes)
        out += fmt::format("{} {}\n", letter(change.kind), printable_path(change.path(after)));
    return out;
}

}  // namespace shale::diff

#include "pattern_index.hpp"

namespace shale::dockerfile {

void PatternIndex::add(std::size_t number, const Glob& glob) {
    bucket_for(glob).push_back(static_cast<std::uint32_t>(number));
}

PatternIndex::Bucket& PatternIndex::bucket_for(const Glob& glob) {
    const std::string& suffix = glob.suffix();
    const auto slash = suffix.rfind('/');
    const std::string ending = suffix.substr(slash + 1);
    const bool is_name = glob.suffix_is_whole_name() || slash != std::string::npos;
    if (is_name && !ending.empty()) return names_[ending];
    if (const auto dot = ending.rfind('.'); dot != std::string::npos)
        return extensions_[ending.substr(dot)];
    if (const auto end = glob.prefix().find('/'); end != std::string::npos && end > 0)
        return first_components_[glob.prefix().substr(0, end)];
    if (!suffix.empty()) return last_bytes_[static_cast<unsigned char>(suffix.back())];
    if (!glob.prefix().empty())
        return first_bytes_[static_cast<unsigned char>(glob.prefix().front())];
    return any_;
}

}  // namespace shale::dockerfile

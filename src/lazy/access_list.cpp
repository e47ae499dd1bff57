// Lists of what was read first: noting, writing, reading.
#include <shale/lazy.hpp>

#include <algorithm>

namespace shale::lazy {

namespace {

constexpr std::string_view kFirstLine = "shale access list 1";
constexpr std::string_view kDigestPrefix = "sha256:";

}  // namespace

void AccessRecorder::note(const Digest& content) {
    const std::lock_guard lock(mutex_);
    if (order_.size() < kMostAccesses && noted_.insert(content).second) order_.push_back(content);
}

std::vector<Digest> AccessRecorder::contents() const {
    const std::lock_guard lock(mutex_);
    return order_;
}

std::string encode_access_list(std::string_view about, const std::vector<Digest>& contents) {
    std::string line(about);
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::string text = std::string(kFirstLine) + "\n# " + line + "\n";
    for (const auto& content : contents)
        text += content.str() + "\n";
    return text;
}

std::vector<Digest> decode_access_list(std::string_view text) {
    std::vector<Digest> contents;
    std::unordered_set<Digest, DigestHash> seen;
    for (std::size_t number = 1; number == 1 || !text.empty(); ++number) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        const auto refuse = [&](const std::string& why) {
            fail(ErrorKind::Corrupt, "line " + std::to_string(number) + ": " + why);
        };
        if (number == 1 && line != kFirstLine) refuse("not \"" + std::string(kFirstLine) + "\"");
        if (number == 1 || line.empty() || line.starts_with('#')) continue;
        const auto digest = line.starts_with(kDigestPrefix)
                                ? Digest::from_hex(line.substr(kDigestPrefix.size()))
                                : std::nullopt;
        if (!digest) refuse("no digest");
        if (contents.size() == kMostAccesses) refuse("too many contents");
        if (seen.insert(*digest).second) contents.push_back(*digest);
    }
    return contents;
}

}  // namespace shale::lazy

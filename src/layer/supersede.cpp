#include "supersede.hpp"

#include <map>
#include <unordered_map>
#include <unordered_set>

namespace shale::layer {

namespace {

using tar::MemberType;

bool has_duplicates(const std::vector<TocEntry>& entries) {
    std::unordered_set<std::string_view> paths;
    paths.reserve(entries.size());
    for (const TocEntry& entry : entries)
        if (!paths.insert(entry.member.path).second) return true;
    return false;
}

class Supersession {
  public:
    explicit Supersession(std::vector<TocEntry> entries)
        : entries_(std::move(entries)), dropped_(entries_.size()) {}

    std::vector<TocEntry> run() {
        for (std::size_t i = 0; i < entries_.size(); ++i)
            place(i);
        std::vector<TocEntry> kept;
        for (std::size_t i = 0; i < entries_.size(); ++i)
            if (!dropped_[i]) kept.push_back(std::move(entries_[i]));
        return kept;
    }

  private:
    void place(std::size_t index) {
        const tar::Member& member = entries_[index].member;
        const auto at = live_.find(member.path);
        if (member.type == MemberType::Directory) {
            if (at != live_.end() && is_directory(at->second)) {
                entries_[at->second].member = member;
                dropped_[index] = true;
                return;
            }
            if (at != live_.end()) drop(at->second);
        } else {
            drop_tree(member.path);
        }
        live_[member.path] = index;
        if (member.type == MemberType::Hardlink) link(index);
    }

    bool is_directory(std::size_t index) const {
        return entries_[index].member.type == MemberType::Directory;
    }

    // Makes the link name the entry that carries the data, so that replacing an entry finds all its
    // names. A target outside this layer stays as it is.
    void link(std::size_t index) {
        const auto target = live_.find(entries_[index].member.link_target);
        if (target == live_.end() || target->second == index) return;
        const auto through = carrier_.find(target->second);
        const std::size_t carrier = through == carrier_.end() ? target->second : through->second;
        carrier_[index] = carrier;
        links_[carrier].push_back(index);
        entries_[index].member.link_target = entries_[carrier].member.path;
    }

    void drop_tree(const std::string& path) {
        if (const auto at = live_.find(path); at != live_.end()) drop(at->second);
        const std::string below = path + "/";
        for (auto at = live_.lower_bound(below);
             at != live_.end() && at->first.starts_with(below);) {
            const std::size_t index = at->second;
            ++at;
            drop(index);
        }
    }

    void drop(std::size_t index) {
        dropped_[index] = true;
        live_.erase(entries_[index].member.path);
        const auto links = links_.find(index);
        if (links == links_.end()) return;
        std::vector<std::size_t> heirs;
        for (const std::size_t link : links->second)
            if (!dropped_[link]) heirs.push_back(link);
        links_.erase(links);
        if (!heirs.empty()) inherit(index, heirs);
    }

    // The first remaining name of the file becomes the file.
    void inherit(std::size_t former, const std::vector<std::size_t>& heirs) {
        const std::size_t heir = heirs.front();
        std::string path = std::move(entries_[heir].member.path);
        entries_[heir] = entries_[former];
        entries_[heir].member.path = std::move(path);
        carrier_.erase(heir);
        for (std::size_t i = 1; i < heirs.size(); ++i) {
            carrier_[heirs[i]] = heir;
            links_[heir].push_back(heirs[i]);
            entries_[heirs[i]].member.link_target = entries_[heir].member.path;
        }
    }

    std::vector<TocEntry> entries_;
    std::vector<bool> dropped_;
    std::map<std::string, std::size_t> live_;
    std::unordered_map<std::size_t, std::size_t> carrier_;             // hardlink -> its file
    std::unordered_map<std::size_t, std::vector<std::size_t>> links_;  // file -> its hardlinks
};

}  // namespace

std::vector<TocEntry> without_superseded(std::vector<TocEntry> entries) {
    if (!has_duplicates(entries)) return entries;
    return Supersession(std::move(entries)).run();
}

}  // namespace shale::layer

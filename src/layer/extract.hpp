// Members of a layer -> files below a directory.
//
// The outcome is that of merge(): whiteouts act on what was there before, wherever in the archive
// they stand, and directories that are only passed through keep their times. Both need a memory of
// what this layer has put where (standing_) and of the times that directories shall have in the end
// (times_), since every file made or removed inside changes them.
#pragma once

#include "file_finisher.hpp"
#include "walker.hpp"

#include <shale/tar.hpp>

#include <map>
#include <unordered_map>

namespace shale::layer {

class Extraction {
  public:
    explicit Extraction(const std::string& directory);

    // `reader` stands at `member` and delivers its content. What is wrong with a file may come to
    // light with a later one, or in finish().
    void add(const tar::Member& member, tar::Reader& reader);
    // Waits for the files, and sets the directories' modes and times.
    void finish();

  private:
    // What this layer has to do with a path: it put it there, or it put something below it.
    enum class Standing { Listed, PassedThrough };
    struct Place {
        RootWalker::Directory parent;
        std::string name, path;  // path is free of symlinks
    };
    struct DirectoryEnd {
        std::int64_t mtime_ns = 0;
        std::optional<std::uint32_t> mode;
    };

    Place place_of(const std::string& member_path);
    void enter_parent(const RootWalker::Directory& parent);
    void remember_times(const RootWalker::Directory& directory);

    void add_directory(const tar::Member& member, const Place& place);
    void add_root(const tar::Member& member);
    void add_regular(const tar::Member& member, const Place& place, tar::Reader& reader);
    void add_hardlink(const tar::Member& member, const Place& place);
    void add_special(const tar::Member& member, const Place& place);

    void clear_way(const Place& place);
    void remove_lower(const tar::Whiteout& whiteout, const std::string& member_path);
    void remove_lower_entry(int parent, const std::string& name, const std::string& path);
    void remove_lower_children(int parent, const std::string& name, const std::string& path);

    RootWalker walker_;
    std::unordered_map<std::string, Standing> standing_;
    std::map<std::string, DirectoryEnd> times_;
    std::string marked_parent_;  // the last directory whose ancestors were marked in standing_
    bool any_marked_ = false;
    FileFinisher files_;
};

}  // namespace shale::layer

// Which parts of a build context a build can touch. A context is often a whole repository of which
// a Dockerfile copies a corner; only that corner is walked and hashed.
#pragma once

#include <shale/dockerfile.hpp>
#include <shale/snapshot.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// A path of the context, relative and clean, with everything below it; "" is the whole context.
struct Need {
    std::string path;
    // What is below is matched by name (a wildcard, or a variable still to be expanded), so any
    // symbolic link below may turn out to be an operand.
    bool is_pattern = false;
};

// What COPY, ADD and the bind mounts of RUN of a stage name of the context. A mount whose type is
// still a variable counts as a bind.
std::vector<Need> needed_paths(const dockerfile::Stage& stage);

// What this one names of wherever it reads.
std::vector<Need> needed_paths(const dockerfile::Copy& copy);

class NeededPaths {
  public:
    // False if the path was covered already.
    bool add(const Need& need);
    // At or below something needed.
    bool covers(std::string_view path) const;
    // Also on the way to something needed: a directory to look through, or a symbolic link.
    bool admits(std::string_view path) const;

    // Equal for equal needs, other for others.
    std::string text() const;

    // Operands are followed through symbolic links, which may lead to parts that were not walked.
    // Adds where the links of `tree` lead; true if that was something new.
    bool follow_links(const snapshot::Tree& tree);

  private:
    std::vector<Need> needs_;
};

}  // namespace shale::build

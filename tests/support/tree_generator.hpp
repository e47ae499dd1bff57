// Random directory trees for property tests: the same tree as a specification, as a snapshot::Tree
// and as files on disk.
//
// Everything follows from one seed. Tests take theirs from seed_for_test(), which honours
// SHALE_SEED and prints what it chose, so that any failure can be repeated:
//
//     SHALE_SEED=17 build/tests/unit/diff/diff_test --gtest_filter=...
#pragma once

#include <shale/snapshot.hpp>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace shale::testing {

std::uint64_t seed_for_test(std::uint64_t default_seed);

// One entry with the bytes of its content; spec.size and spec.content agree with them.
struct Item {
    snapshot::EntrySpec spec;
    std::string content;
};

// Path -> entry. Every parent is present, "" is the root; a link group's members are equal.
using Model = std::map<std::string, Item>;

struct Shape {
    unsigned entries = 120;
    unsigned max_depth = 6;
    unsigned max_content = 20000;
    // Owners, device nodes, trusted and security xattrs, which only root can make.
    bool needs_root = false;
};

class TreeGenerator {
  public:
    TreeGenerator(std::uint64_t seed, const Shape& shape) : random_(seed), shape_(shape) {}

    Model tree();
    // Applies `count` random edits: additions, removals, renames of subtrees, replacements of one
    // type by another, new content, new metadata, links made and broken.
    void mutate(Model& model, unsigned count);

    std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound)

  private:
    bool chance(unsigned percent) { return below(100) < percent; }
    std::string name();
    std::string text(std::size_t bytes);
    std::string any_path(const Model& model, bool directories_only);
    Item item();
    Item directory();
    void randomise_metadata(snapshot::EntrySpec& spec);
    void add(Model& model);
    void add_link(Model& model);
    void edit(Model& model);

    std::mt19937_64 random_;
    Shape shape_;
    std::uint64_t last_group_ = 0;
};

// Removes `path` and all below it.
void erase_subtree(Model& model, const std::string& path);
std::vector<std::string> subtree(const Model& model, const std::string& path);

snapshot::Tree tree_of(const Model& model);

// Makes the model's entries in the existing, empty directory `directory`, whose own metadata is set
// too. Needs root if the shape did.
void write_to_disk(const Model& model, const std::string& directory);

}  // namespace shale::testing

// build: why a step was not in the cache, told from records: this build's, and those of earlier
// builds or of another machine. Pure but for the trees it asks for.
//
// A key covers what its record lists, so two steps with different keys differ in something listed:
// an explanation always has a cause.
#pragma once

#include <shale/build_record.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace shale::build {

struct Cause {
    enum class Kind {
        NoCache,      // --no-cache, --no-cache-filter
        NoRecord,     // nothing to compare with
        Removed,      // all inputs are equal: the result itself is gone
        Unfinished,   // the earlier step failed or was cancelled
        Instruction,  // its text, a here-document included
        Argument,     // --build-arg, ARG
        Variable,     // ENV, or of the base image
        File,         // one that it reads
        Base,         // the image it starts from or reads
        Parent,       // `step` came out different, or is another one
        Source,       // a repository or download
        Setting,      // WORKDIR, USER, SHELL, a flag of the build
    };
    Kind kind = Kind::NoRecord;
    std::string subject;        // the variable, file, image or setting
    std::string before, after;  // as far as they may be shown
    std::uint32_t step = 0;     // of this build: the one that this follows from
    std::string text;           // "src/app.js: content changed"
    std::string hint;           // what would help, or empty
};

struct Explanation {
    std::uint32_t step = 0;
    std::string against;             // ID of the earlier build; empty if there is none
    std::uint32_t against_step = 0;  // the step there
    std::vector<Cause> causes;       // at least one; at most kMostFiles files
    std::size_t more_files = 0;      // beyond those

    // "src/app.js: content changed; and 3 more"
    std::string line() const;
};

inline constexpr std::size_t kMostFiles = 50;

// A tree by its digest: of a directory that a build read, or of a step. Null if it is gone.
using FindTree = std::function<std::shared_ptr<const snapshot::Tree>(const Digest& tree)>;

// `earlier`: newest first; only builds of the same line are looked at, unless `any_line`.
Explanation explain(const BuildRecord& build, const RecordedStep& step,
                    const std::vector<BuildRecord>& earlier, const FindTree& find_tree,
                    bool any_line = false);

// The step of `old` that `step` is a later form of: by the alignment of the stage's instructions.
// Null if the instruction is new.
const RecordedStep* counterpart(const BuildRecord& build, const RecordedStep& step,
                                const BuildRecord& old);

std::string_view word(Cause::Kind kind);  // "instruction", for JSON

// ---------------------------------------------------------------------------------------------
// Roots that steps of earlier builds made, while the cache still has them.

struct PastRoot {
    std::shared_ptr<const snapshot::Tree> tree;
    std::vector<Digest> sources;  // layer blobs that hold its contents
};
// A key of BuildRecord::roots. NotFound if it is gone.
PastRoot past_root(store::Store& store, const BuildRecord& record, const Digest& root);
// What a step that failed left behind; NotFound if nothing was kept.
PastRoot failed_root(store::Store& store, const RecordedStep& step);

// ---------------------------------------------------------------------------------------------
// Records for other machines: docs/formats/build-record.md.

// Instead of values whose names speak of secrets: even their digests stay here.
inline constexpr std::string_view kHiddenValue = "(hidden)";

struct ExportedRecord {
    BuildRecord record;
    std::map<Digest, std::shared_ptr<const snapshot::Tree>> trees;  // those that its steps read
};
std::string encode_for_export(const BuildRecord& record, const FindTree& find_tree);
// As decode_build_record(); trees are verified, too.
ExportedRecord decode_export(std::string_view text);

}  // namespace shale::build

// build: what is remembered of one build after it has ended, and why its steps were not in the
// cache. Written by build() into store::BuildHistory; read by everybody who looks back.
//
// All of it are plain values. Text form: docs/formats/build-record.md. No secret is in a record:
// what --secret lends never enters a key, and values of arguments and variables whose names speak
// of secrets are replaced by their digests.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shale::build {

// One field of a cache key, in the order in which the key covers them. Equal inputs have equal
// values, whatever is shown of them.
struct RecordedInput {
    std::string name;   // "argv", "env", "chmod", ...
    std::string value;  // of "env": NAME=VALUE
    // `value` is not the value: "sha256:..." of it, because it is long or is nobody's business. Of
    // a variable, NAME=sha256:...
    bool is_digest = false;

    bool operator==(const RecordedInput&) const = default;
};

// What a root key that inputs refer to stands for.
struct RecordedRoot {
    enum class Kind { Scratch, Image, Step, LaidOver, Source };
    Kind kind = Kind::Scratch;
    std::string reference;   // Image: its name; Source: what it is
    Digest digest;           // Image: of the manifest
    std::uint32_t step = 0;  // Step: its number
    Digest lower, upper;     // LaidOver: two other roots
};

// Files that a step reads from a directory or a root, as its instruction selects them.
struct FileSelection {
    std::string context;  // name of a directory in BuildRecord::directories; empty: `root`
    Digest root;          // a root key
    std::vector<std::string> operands;
    std::vector<std::string> excludes;
    bool parents = false;            // COPY --parents
    bool is_mount = false;           // one operand, taken as a whole
    bool owner = true, mode = true;  // whether those of the files matter
};

struct RecordedStep {
    enum class State { Cached, Executed, Failed, Cancelled };
    std::uint32_t number = 0;  // from 1: by stage, then in order
    std::string name;          // "[builder 2/5] COPY . ."
    std::string stage;         // label
    std::uint32_t stage_index = 0;
    std::uint32_t line = 0;   // of the Dockerfile; 0 for a trigger of the base image
    std::string instruction;  // as written
    std::string platform;
    State state = State::Cached;
    bool by_content = false;    // Cached: found by its content key, its parent was made anew
    bool may_use_cache = true;  // else --no-cache or --no-cache-filter
    std::int64_t started_ns = 0, finished_ns = 0;
    std::int64_t cost_ms = 0;  // of executing it, now or when it was
    Digest key;                // definition key
    Digest root;               // key of the root it made; zero if it made none
    Digest tree;               // of that root; zero if unknown
    std::optional<Digest> layer;
    std::uint64_t layer_bytes = 0;
    // Of the layer's tar, if this build made it, and what of it was compressed: the rest is frames
    // that earlier layers had.
    std::uint64_t tar_bytes = 0, compressed_bytes = 0;
    std::vector<RecordedInput> inputs;    // of the definition key
    std::vector<RecordedInput> contents;  // of the content key, if it was asked for
    std::vector<FileSelection> files;
    std::vector<std::string> arguments;                       // declared by ARG before it
    std::vector<std::pair<std::string, std::string>> values;  // variables in the instruction
    std::string error;
    bool has_log = false;

    bool was_missed() const { return state != State::Cached; }
};

// A directory that the build read, without what was ignored.
struct RecordedDirectory {
    std::string path;
    Digest tree;
    std::string ignore;  // the patterns in force, one a line
};

// Anything that progress showed and that is no step: a pull, a walk, an export.
struct RecordedWork {
    std::string name;
    std::int64_t started_ns = 0, finished_ns = 0;
};

struct BuildRecord {
    enum class Outcome { Completed, Failed, Cancelled };
    std::string id;  // 12 hex digits
    std::int64_t started_ns = 0, finished_ns = 0;
    Outcome outcome = Outcome::Completed;
    std::string error;
    std::string context, dockerfile, target, platforms;
    std::vector<std::pair<std::string, std::string>> arguments;  // --build-arg
    std::vector<std::string> tags;
    std::string image;  // "sha256:...", empty if there is none
    std::uint64_t image_bytes = 0;
    std::vector<RecordedStep> steps;                       // by number
    std::map<std::string, RecordedDirectory> directories;  // by name; the main one is "context"
    std::map<Digest, RecordedRoot> roots;
    std::vector<RecordedWork> work;

    std::uint32_t cached_steps() const;
    const RecordedStep* step(std::uint32_t number) const;  // null if there is none
    // Builds of one line are compared with each other: same context and Dockerfile.
    std::string line() const { return context + "\n" + dockerfile; }
};

// The key of store::StepRecord under which the tree of a step that failed is kept.
Digest failed_step_key(const Digest& definition_key);

std::string encode(const BuildRecord& record);
// Corrupt, naming the place, for what is no record; Unsupported for one of a later version.
BuildRecord decode_build_record(std::string_view text);

// The value, or its digest ("sha256:...") if `name` speaks of a secret or the value is long: the
// digest tells whether it changed.
std::string shown_value(std::string_view name, const std::string& value);
// A field of a key. "env" is a variable, whose own name is judged.
RecordedInput recorded_input(const std::string& name, const std::string& value);

}  // namespace shale::build

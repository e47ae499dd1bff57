// dockerfile: text in, typed instructions with positions out. No I/O, no knowledge of builds.
//
// Three phases, as the reference builder has them. parse() does the first two: bytes to logical
// lines, lines to typed instructions; it collects every mistake it can find as Diagnostics instead
// of stopping at the first. The third, variable expansion, is a service (expand) that the build
// calls per reachable stage, because an expansion error in a stage nobody builds is not an error.
//
// All values are owned copies; nothing refers to the input text. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shale::dockerfile {

// 1-based, inclusive. {0,0} means "no place" (for instance an empty file).
struct LineRange {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    auto operator<=>(const LineRange&) const = default;
};

enum class Severity { Error, Warning };

struct Diagnostic {
    Severity severity = Severity::Error;
    LineRange lines;
    std::string text;  // "dockerfile parse error on line 2: unknown instruction: FORM"
    std::string hint;  // "did you mean FROM?", or empty
    std::string rule;  // lint rule name for warnings, or empty
};

struct Heredoc {
    std::string name;
    std::string body;     // as it stands, terminator excluded; tabs removed for <<-
    bool expand = true;   // false when any part of the delimiter was quoted
    bool strip_tabs = false;
};

// The command of RUN, CMD, ENTRYPOINT. exec form: argv; shell form: argv has exactly one element,
// the text after the flags with continuations joined.
struct Command {
    bool exec_form = false;
    std::vector<std::string> argv;
    std::vector<Heredoc> heredocs;  // RUN only
};

struct KeyValue {
    std::string key;
    std::string value;
};

struct ArgDeclaration {
    std::string name;
    std::optional<std::string> default_value;  // unexpanded
};

enum class MountType { Bind, Cache, Tmpfs, Secret, Ssh };
// RUN --mount as written; values are unexpanded.
struct Mount {
    std::string spec;  // the whole option text, for messages
    MountType type = MountType::Bind;
    std::string from, source, target, id, sharing, env;
    std::optional<bool> read_only;
    bool required = false;
    std::optional<std::string> size, mode, uid, gid;
};

struct From {
    std::string reference;  // unexpanded
    std::string platform;   // unexpanded, may be empty
    std::string stage_name; // lower-cased, may be empty
};
struct Run {
    Command command;
    std::vector<Mount> mounts;
    std::string network;   // "", default, none, host
    std::string security;  // "", sandbox, insecure
    std::vector<std::string> devices;
};
// COPY and ADD. Paths are unexpanded; heredoc sources appear in `heredocs`, not in `sources`.
struct Copy {
    bool is_add = false;
    std::vector<std::string> sources;
    std::string destination;
    std::vector<Heredoc> heredocs;
    std::string from, chown, chmod, checksum;
    std::vector<std::string> excludes;
    bool link = false;
    bool parents = false;
    std::optional<bool> unpack;
    std::optional<bool> keep_git_dir;
};
struct Env { std::vector<KeyValue> pairs; };
struct Label { std::vector<KeyValue> pairs; };
struct Arg { std::vector<ArgDeclaration> declarations; };
struct Workdir { std::string path; };
struct User { std::string user; };
struct Expose { std::vector<std::string> ports; };
struct Volume { std::vector<std::string> paths; };
struct Cmd { Command command; };
struct Entrypoint { Command command; };
struct Shell { std::vector<std::string> argv; };
struct StopSignal { std::string signal; };
struct Maintainer { std::string name; };
struct Onbuild { std::string text; };
// `test` is ready for the image config: {"NONE"}, {"CMD", ...} or {"CMD-SHELL", text}.
struct Healthcheck {
    std::vector<std::string> test;
    std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
    int retries = 0;
};

using InstructionValue =
    std::variant<Run, Copy, Env, Label, Arg, Workdir, User, Expose, Volume, Cmd, Entrypoint, Shell,
                 StopSignal, Maintainer, Onbuild, Healthcheck>;

struct Instruction {
    InstructionValue value;
    LineRange lines;
    std::string keyword;   // upper-cased
    std::string original;  // the logical line as written, continuations joined by one blank each
};

struct Stage {
    std::uint32_t index = 0;
    From from;
    LineRange lines;  // of the FROM line
    std::string original;
    std::vector<Instruction> instructions;
};

struct File {
    std::string name;                // for messages: "Dockerfile"
    std::vector<std::string> source; // physical lines, for excerpts
    char escape = '\\';
    std::string syntax;              // value of the syntax directive, may be empty
    std::vector<Instruction> global_args;  // each holds an Arg
    std::vector<Stage> stages;
};

struct ParseResult {
    File file;                            // whatever could be built
    std::vector<Diagnostic> diagnostics;  // in line order
    bool ok() const;                      // no diagnostic of Severity::Error
};

ParseResult parse(std::string_view text, std::string file_name = "Dockerfile");

// Parses one instruction, e.g. an ONBUILD trigger of a base image. Errors are reported for `lines`.
ParseResult parse_trigger(std::string_view text, LineRange lines);

// The excerpt block printed before an error:
//   Dockerfile:3
//   --------------------
//      2 |     FROM a
//      3 | >>> RUN false
//   --------------------
std::string excerpt(const File& file, LineRange lines);

// ---------------------------------------------------------------------------------------------
// Variable expansion.

// Returns the value of a set variable, nullopt for an unset one.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

// One word: quotes removed, variables replaced, the result is not split again. Throws Invalid:
// `failed to process "<word>": ...`.
std::string expand(std::string_view word, const Lookup& lookup, char escape = '\\');
// EXPOSE only: as expand, then split at unquoted blanks.
std::vector<std::string> expand_words(std::string_view word, const Lookup& lookup,
                                      char escape = '\\');
// Body of an unquoted COPY/ADD heredoc: quotes are data, the escape is always a backslash.
std::string expand_heredoc(std::string_view body, const Lookup& lookup);

// ---------------------------------------------------------------------------------------------
// Path patterns.

// Go's filepath.Match on one path (no "**"; '*' never crosses '/'). Invalid for a bad pattern.
bool match_glob(std::string_view pattern, std::string_view path);
bool has_wildcard(std::string_view path);  // contains * ? [ or a backslash escape

// .dockerignore and COPY --exclude patterns, anchored at a root, last match wins.
//
// For a walk: keep one State per open directory. enter() derives a child's state from its
// parent's; so deciding an entry costs one pass over the patterns and no string joining of parents.
class IgnoreMatcher {
  public:
    IgnoreMatcher() = default;  // excludes nothing
    // Reads the file format (comments, blanks, '!', cleaning). Throws Invalid naming the pattern.
    static IgnoreMatcher parse(std::string_view text);
    static IgnoreMatcher from_patterns(const std::vector<std::string>& patterns);

    bool empty() const { return patterns_.empty(); }
    // `path` is relative, '/'-separated, without leading or trailing slash.
    bool is_excluded(std::string_view path) const;

    struct State {
        std::vector<bool> ancestor_matched;  // per pattern; empty at the root
    };
    struct Verdict {
        bool excluded = false;
        bool may_prune = false;  // excluded, and no '!' pattern can match anything below
    };
    // Decides `path`; when it is a directory, `child` (if given) receives its state.
    Verdict decide(std::string_view path, const State& parent, State* child = nullptr) const;

  private:
    struct Pattern {
        std::string text;  // cleaned, without '!'
        bool exception = false;
    };
    std::vector<Pattern> patterns_;
};

}  // namespace shale::dockerfile

// dockerfile: text in, typed instructions with positions out. No I/O, no knowledge of builds.
//
// It is one long file because it is a list of plain values, one per instruction, that are read
// together.
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
#include <memory>
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

// The diagnostic as one line for the user: the text, then the hint in parentheses if there is one:
//   "dockerfile parse error on line 2: unknown instruction: FNTRYPOINT (did you mean ENTRYPOINT?)"
std::string message(const Diagnostic& diagnostic);

struct Heredoc {
    std::string name;
    std::string body;      // as it stands, terminator excluded; leading tabs removed for <<-
    std::string raw_body;  // with the tabs: what a shell that reads the heredoc itself must get
    bool expand = true;    // false when any part of the delimiter was quoted
    bool strip_tabs = false;
};

// The command of RUN, CMD, ENTRYPOINT. exec form: argv; shell form: argv has exactly one element,
// the text after the flags with continuations joined.
struct Command {
    bool exec_form = false;
    std::vector<std::string> argv;
    std::vector<Heredoc> heredocs;  // RUN only
};

// How a RUN with heredocs reaches its shell. If the whole command is one heredoc word, its body is
// the script itself, or, when it begins with "#!", a file to be made executable and run by name.
// Everything else goes to the shell with the heredocs spelled out again.
struct HeredocRun {
    std::string script;  // the argument behind the SHELL prefix; empty if `file` is set
    std::optional<Heredoc> file;
};
HeredocRun heredoc_run(const Command& command);  // requires command.heredocs
// "first line of the body...", for step titles; the dots only if there are more lines.
std::string heredoc_summary(const Heredoc& heredoc);

struct KeyValue {
    std::string key;
    std::string value;
};

struct ArgDeclaration {
    std::string name;
    std::optional<std::string> default_value;  // unexpanded
};

enum class MountType { Bind, Cache, Tmpfs, Secret, Ssh };
// RUN --mount as written; values are unexpanded, and a `type` that holds a variable reads as Bind.
// parse() reports what is wrong whatever the variables are; expand_mount() decides the rest.
struct Mount {
    std::string spec;  // the whole option text
    MountType type = MountType::Bind;
    std::string from, source, target, id, sharing, env;
    bool has_env = false;           // env= was given, even if empty
    std::optional<bool> read_only;  // nullopt: the default of the type
    bool required = false;
    std::optional<std::string> size, mode, uid, gid;  // size: see parse_size; mode: octal
};

struct From {
    std::string reference;   // unexpanded
    std::string platform;    // unexpanded, may be empty
    std::string stage_name;  // lower-cased, may be empty
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
struct Env {
    std::vector<KeyValue> pairs;
    bool legacy = false;  // written as "ENV key value"
};
struct Label {
    std::vector<KeyValue> pairs;
    bool legacy = false;
};
struct Arg {
    std::vector<ArgDeclaration> declarations;
};
struct Workdir {
    std::string path;
};
struct User {
    std::string user;
};
struct Expose {
    std::vector<std::string> ports;
};  // sorted as text, unexpanded
struct Volume {
    std::vector<std::string> paths;
};
struct Cmd {
    Command command;
};
struct Entrypoint {
    Command command;
};
struct Shell {
    std::vector<std::string> argv;
};
struct StopSignal {
    std::string signal;
};
struct Maintainer {
    std::string name;
};
struct Onbuild {
    std::string text;
};
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
    std::string original;  // the logical line as written, continuations joined, blanks trimmed
    std::vector<std::string> comments;  // of the lines directly above, without '#'
};

struct Stage {
    std::uint32_t index = 0;
    From from;
    LineRange lines;  // of the FROM line
    std::string original;
    std::vector<std::string> comments;  // as in Instruction
    std::vector<Instruction> instructions;
};

struct File {
    std::string name;                 // for messages: "Dockerfile"
    std::vector<std::string> source;  // physical lines, for excerpts; a final line end adds an
                                      // empty line, as the reference builder counts
    char escape = '\\';
    std::string syntax;                    // value of the syntax directive, may be empty
    std::string check;                     // check options in force, may be empty: see CheckOptions
    std::vector<Instruction> global_args;  // each holds an Arg
    std::vector<Stage> stages;
};

struct ParseResult {
    File file;                            // whatever could be built
    std::vector<Diagnostic> diagnostics;  // in line order
    bool ok() const;                      // no diagnostic of Severity::Error
};

// `check`, when given, replaces the check directive of the file altogether; it alone can make parse
// throw (Invalid, if it holds no check options).
ParseResult parse(std::string_view text, std::string file_name = "Dockerfile",
                  std::optional<std::string> check = std::nullopt);

// Parses one instruction, e.g. an ONBUILD trigger of a base image: it is the only instruction of
// the only stage of the result. Errors are reported for `lines`.
ParseResult parse_trigger(std::string_view text, LineRange lines);

// The excerpt block printed before an error:
//   Dockerfile:3
//   --------------------
//      2 |     FROM a
//      3 | >>> RUN false
//   --------------------
std::string excerpt(const File& file, LineRange lines);

// ---------------------------------------------------------------------------------------------
// Lint. parse() itself reports the rules that look at a whole file; the rules that only count for
// stages somebody builds are asked for stage by stage. Rules that need values or images are the
// build's. Both honour the check options and "# check=skip=Rule" comments above an instruction.

// "skip=RuleA,RuleB;error=true;experimental=all" in any order.
struct CheckOptions {
    bool skip_all = false;
    bool experimental_all = false;
    bool error = false;  // findings fail the build in the end
    std::vector<std::string> skip, experimental;
};
// Throws Invalid: `invalid check option "x"`.
CheckOptions parse_check_options(std::string_view text);

// `shell_inherited`: the base image sets Config.Shell.
std::vector<Diagnostic> lint_stage(const File& file, std::size_t stage,
                                   bool shell_inherited = false);

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
// A mount with every value expanded (except `from`, where a variable is an error) and checked.
// Throws Invalid with the message the user is to see.
Mount expand_mount(const Mount& written, const Lookup& lookup, char escape = '\\');
// "134217728", "128m", "1.5 GiB" in bytes, units as powers of 1024; nullopt if it is no size.
std::optional<std::uint64_t> parse_size(std::string_view text);
// "1m30s", "1.5h", "100us", "0" in nanoseconds, possibly negative; nullopt if it is no duration.
std::optional<std::int64_t> parse_duration(std::string_view text);

// ---------------------------------------------------------------------------------------------
// Path patterns.

// Go's filepath.Match on one path (no "**"; '*' never crosses '/'). Invalid for a bad pattern.
bool match_glob(std::string_view pattern, std::string_view path);
bool has_wildcard(std::string_view path);  // contains * ? [ or a backslash escape

// .dockerignore and COPY --exclude patterns, anchored at a root, last match wins. A pattern matches
// a path if it matches the path or any of its parent directories.
//
// For a walk: keep one State per open directory. decide() derives a child's state from its
// parent's; so deciding an entry costs one pass over the patterns and no look at its parents.
// Immutable, cheap to copy, safe from any thread.
class IgnoreMatcher {
  public:
    IgnoreMatcher() = default;  // excludes nothing
    // Reads the file format (comments, blanks, '!', cleaning). Throws Invalid naming the pattern.
    static IgnoreMatcher parse(std::string_view text);
    // Patterns as options give them: as above, except that '#' starts no comment.
    static IgnoreMatcher from_patterns(const std::vector<std::string>& patterns);

    bool empty() const { return !patterns_; }
    bool has_exceptions() const;
    // `path` is relative, '/'-separated, without leading or trailing slash.
    bool is_excluded(std::string_view path) const;

    struct State {
        std::vector<bool> ancestor_matched;  // per pattern; empty at the root
    };
    struct Verdict {
        bool excluded = false;
        bool may_prune = false;  // excluded, and no '!' pattern can bring back anything below
    };
    // Decides `path`, whose parent directory has the state `parent`; when it is a directory,
    // `child` (if given, not the same object) receives its state. A State that is used again for
    // the next directory of its level costs no allocation.
    Verdict decide(std::string_view path, const State& parent, State* child = nullptr) const;

  private:
    struct Pattern;
    std::shared_ptr<const std::vector<Pattern>> patterns_;  // null: none
};

}  // namespace shale::dockerfile

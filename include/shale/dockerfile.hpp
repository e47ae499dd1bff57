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
// Values of instructions compare equal if they say the same, wherever they stand.
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

// A piece of the source: lines and columns count from 1, columns in bytes; `end` is the place
// behind the last byte. A byte order mark has no column.
struct Position {
    std::uint32_t line = 0, column = 0;
    auto operator<=>(const Position&) const = default;
};
struct SourceSpan {
    Position begin, end;
    bool known() const { return begin.line != 0; }
    auto operator<=>(const SourceSpan&) const = default;
};
// A word of an instruction and where it stands. Flags come without their quotes, operands with.
struct SourceWord {
    std::string text;
    SourceSpan span;
};

enum class Severity { Error, Warning };

struct Diagnostic {
    Severity severity = Severity::Error;
    LineRange lines;
    std::string text;    // "dockerfile parse error on line 2: unknown instruction: FORM"
    std::string hint;    // "did you mean FROM?", or empty
    std::string rule;    // lint rule name for warnings, or empty
    SourceSpan place{};  // of the very word, if it is known; inside `lines`
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
    bool operator==(const Heredoc&) const = default;
};

// The command of RUN, CMD, ENTRYPOINT. exec form: argv; shell form: argv has exactly one element,
// the text after the flags with continuations joined.
struct Command {
    bool exec_form = false;
    std::vector<std::string> argv;
    std::vector<Heredoc> heredocs;  // RUN only
    bool operator==(const Command&) const = default;
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
    bool operator==(const KeyValue&) const = default;
};

struct ArgDeclaration {
    std::string name;
    std::optional<std::string> default_value;  // unexpanded
    bool operator==(const ArgDeclaration&) const = default;
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
    bool operator==(const Mount&) const = default;
};

struct From {
    std::string reference;   // unexpanded
    std::string platform;    // unexpanded, may be empty
    std::string stage_name;  // lower-cased, may be empty
    bool operator==(const From&) const = default;
};
struct Run {
    Command command;
    std::vector<Mount> mounts;
    std::string network;   // "", default, none, host
    std::string security;  // "", sandbox, insecure
    std::vector<std::string> devices;
    bool operator==(const Run&) const = default;
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
    bool operator==(const Copy&) const = default;
};
struct Env {
    std::vector<KeyValue> pairs;
    bool legacy = false;  // written as "ENV key value"
    bool operator==(const Env&) const = default;
};
struct Label {
    std::vector<KeyValue> pairs;
    bool legacy = false;
    bool operator==(const Label&) const = default;
};
struct Arg {
    std::vector<ArgDeclaration> declarations;
    bool operator==(const Arg&) const = default;
};
struct Workdir {
    std::string path;
    bool operator==(const Workdir&) const = default;
};
struct User {
    std::string user;
    bool operator==(const User&) const = default;
};
struct Expose {
    std::vector<std::string> ports;
    bool operator==(const Expose&) const = default;
};  // sorted as text, unexpanded
struct Volume {
    std::vector<std::string> paths;
    bool operator==(const Volume&) const = default;
};
struct Cmd {
    Command command;
    bool operator==(const Cmd&) const = default;
};
struct Entrypoint {
    Command command;
    bool operator==(const Entrypoint&) const = default;
};
struct Shell {
    std::vector<std::string> argv;
    bool operator==(const Shell&) const = default;
};
struct StopSignal {
    std::string signal;
    bool operator==(const StopSignal&) const = default;
};
struct Maintainer {
    std::string name;
    bool operator==(const Maintainer&) const = default;
};
struct Onbuild {
    std::string text;
    bool operator==(const Onbuild&) const = default;
};
// `test` is ready for the image config: {"NONE"}, {"CMD", ...} or {"CMD-SHELL", text}.
struct Healthcheck {
    std::vector<std::string> test;
    std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
    int retries = 0;
    bool operator==(const Healthcheck&) const = default;
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
    // How the line was cut, for whoever wants to point at a word: the instruction word as written,
    // its flags, and its operands (one for the whole text of a shell form; none of a JSON array).
    SourceWord word;
    std::vector<SourceWord> flags, operands;
};

struct Stage {
    std::uint32_t index = 0;
    From from;
    LineRange lines;  // of the FROM line
    std::string original;
    std::vector<std::string> comments;  // as in Instruction
    SourceWord word;                    // as in Instruction, of the FROM line
    std::vector<SourceWord> flags, operands;
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
// The same with the column in the first line and a row of carets under the place:
//   Dockerfile:3:5
//   --------------------
//      3 | >>> RUN --mont=x false
//        |         ^^^^^^^^
//   --------------------
// For a span without a place it is the plain block.
std::string excerpt(const File& file, LineRange lines, const SourceSpan& place);

// Where to point for an error that only quotes what is wrong: the longest flag or operand of the
// instruction that stands in `message` word for word, or no place.
SourceSpan find_culprit(const std::vector<SourceWord>& flags,
                        const std::vector<SourceWord>& operands, std::string_view message);

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

// A finding of the build's own, with the place of `word` in it if that is given; nullopt if the
// options in force or the comments above the instruction silence it.
std::optional<Diagnostic> lint_finding(const File& file, std::string_view rule, LineRange lines,
                                       const std::vector<std::string>& comments, std::string text,
                                       const SourceSpan& place = {});

// What is known about a rule besides its findings.
struct Rule {
    std::string_view name;
    std::string_view description;  // one sentence, without a full stop
    std::string_view url;          // of the page that explains it
};
const Rule* find_rule(std::string_view name);  // null for a name that is no rule

// ---------------------------------------------------------------------------------------------
// The normal form.

// `text` with its blanks, line ends, letter case of keywords and JSON arrays in one form; what it
// means, its comments and its heredocs stay. parse() of the result has equal instructions, and
// format() of the result is the result. For a text that does not parse it throws Invalid.
std::string format(std::string_view text);

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
// The variables that are asked for plainly (`$X` or `${X}`, no modifier) and are not set, in order
// and once each; empty for a word that cannot be expanded.
std::vector<std::string> undefined_variables(std::string_view word, const Lookup& lookup,
                                             char escape = '\\');
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
// parent's, so deciding an entry means no look at its parents; and the patterns are indexed by what
// they begin and end with, so it costs about the same for ten patterns and for a thousand.
// Immutable, cheap to copy, safe from any thread.
class IgnoreMatcher {
  public:
    IgnoreMatcher() = default;  // excludes nothing
    // Reads the file format (comments, blanks, '!', cleaning). Throws Invalid naming the pattern.
    static IgnoreMatcher parse(std::string_view text);
    // Patterns as options give them: as above, except that '#' starts no comment.
    static IgnoreMatcher from_patterns(const std::vector<std::string>& patterns);

    bool empty() const { return !patterns_; }
    // As they are matched, one a line, '!' before an exception.
    std::string patterns() const;
    bool has_exceptions() const;
    // `path` is relative, '/'-separated, without leading or trailing slash.
    bool is_excluded(std::string_view path) const;
    // Excluded, and no '!' pattern can bring back anything below.
    bool is_excluded_entirely(std::string_view path) const;

    struct State {
        std::size_t last_match = 0;  // number of the last pattern that matched so far, from 1
    };
    struct Verdict {
        bool excluded = false;
        bool may_prune = false;  // excluded, and no '!' pattern can bring back anything below
    };
    // Decides `path`, whose parent directory has the state `parent`; when it is a directory,
    // `child` (if given) receives its state.
    Verdict decide(std::string_view path, const State& parent, State* child = nullptr) const;

  private:
    struct Pattern;
    struct Patterns;
    std::shared_ptr<const Patterns> patterns_;  // null: none
};

// Whether a variable of this name probably holds a secret: "API_TOKEN", but not "PUBLIC_KEY".
bool looks_secret(std::string_view name);

}  // namespace shale::dockerfile

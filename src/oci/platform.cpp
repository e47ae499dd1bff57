// Platforms: the many spellings of one architecture, and the choice among an index's manifests.
//
// Names are Go's GOOS/GOARCH, as in every image; users and uname(2) also say x86_64, aarch64,
// armhf. The rules are those of containerd's platforms package, which Docker and buildx share.
#include <shale/oci.hpp>

#include <sys/utsname.h>

#include <algorithm>

namespace shale::oci {
namespace {

constexpr std::string_view kKnownSystems[] = {
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd",    "illumos", "ios",
    "js",  "linux",   "netbsd", "openbsd",   "plan9",   "solaris", "windows", "zos",
};

constexpr std::string_view kKnownArchitectures[] = {
    "386",    "amd64", "arm",     "arm64",   "loong64", "mips",    "mips64", "mips64le",
    "mipsle", "ppc64", "ppc64le", "riscv64", "s390x",   "sparc64", "wasm",
};

struct Spelling {
    std::string_view foreign, architecture, variant;
};

constexpr Spelling kSpellings[] = {
    {"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
    {"i386", "386", ""},     {"i486", "386", ""},     {"i586", "386", ""},
    {"i686", "386", ""},     {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},
    {"armv5l", "arm", "v5"}, {"armv6l", "arm", "v6"}, {"armv7l", "arm", "v7"},
    {"armv8l", "arm", "v7"}, {"armv5", "arm", "v5"},  {"armv6", "arm", "v6"},
    {"armv7", "arm", "v7"},  {"armv8", "arm64", ""},  {"loongarch64", "loong64", ""},
};

template <typename Table>
bool contains(const Table& table, std::string_view word) {
    return std::find(std::begin(table), std::end(table), word) != std::end(table);
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
    constexpr std::size_t kMaxQuoted = 100;
    fail(ErrorKind::Invalid,
         "\"" + std::string(text.substr(0, kMaxQuoted)) + "\": " + std::string(why));
}

bool is_specifier_component(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '.' || c == '-';
    });
}

std::vector<std::string> split_specifier(std::string_view text) {
    if (text.find('(') != std::string_view::npos)
        fail(ErrorKind::Unsupported, "\"" + std::string(text.substr(0, 100)) +
                                         "\": platforms with an OS version are not supported");
    std::vector<std::string> parts;
    for (auto rest = text;;) {
        const auto slash = rest.find('/');
        if (!is_specifier_component(rest.substr(0, slash)))
            refuse(text, "a platform is os[/architecture[/variant]] of letters, digits and _.-");
        parts.push_back(lower(rest.substr(0, slash)));
        if (slash == std::string_view::npos) return parts;
        rest.remove_prefix(slash + 1);
    }
}

// "7" and "v7" are both written; images carry the latter.
std::string normal_variant(std::string_view architecture, std::string variant) {
    const bool bare = !variant.empty() && variant.front() >= '0' && variant.front() <= '9';
    if (bare && (architecture == "arm" || architecture == "arm64" || architecture == "amd64"))
        variant.insert(0, "v");
    if (architecture == "arm" && variant.empty()) return "v7";
    if (architecture == "arm64" && variant == "v8") return {};
    if (architecture == "amd64" && variant == "v1") return {};
    return variant;
}

// How well a manifest serves the wanted variant, the best first. An older variant runs on newer
// hardware, and the newest of those runs best: "v6" on a v7 machine before "v5". A newer one dies
// at its first instruction that the machine has not.
enum class Fit { Exact, NoVariant, Older, None };

Fit fit_of(const std::string& variant, const std::string& wanted) {
    if (variant == wanted) return Fit::Exact;
    if (variant.empty()) return Fit::NoVariant;
    return variant < wanted ? Fit::Older : Fit::None;
}

bool serves_better(const std::string& candidate, const std::string& best,
                   const std::string& wanted) {
    const Fit a = fit_of(candidate, wanted), b = fit_of(best, wanted);
    return a != b ? a < b : a == Fit::Older && candidate > best;
}

}  // namespace

bool is_attestation(const Descriptor& descriptor) {
    return descriptor.annotations.contains("vnd.docker.reference.type");
}

Platform Platform::normalized() const {
    Platform out{lower(os), lower(architecture), lower(variant)};
    if (out.os == "macos") out.os = "darwin";
    for (const auto& spelling : kSpellings) {
        if (spelling.foreign != out.architecture) continue;
        out.architecture = spelling.architecture;
        if (out.variant.empty()) out.variant = spelling.variant;
        break;
    }
    out.variant = normal_variant(out.architecture, out.variant);
    return out;
}

Platform Platform::host() {
    utsname name{};
    if (::uname(&name) != 0) throw_errno("uname");
    return Platform{"linux", name.machine, {}}.normalized();
}

Platform Platform::parse(std::string_view text) {
    const auto parts = split_specifier(text);
    if (parts.size() > 3) refuse(text, "more than os/architecture/variant");
    if (parts.size() > 1)
        return Platform{parts[0], parts[1], parts.size() == 3 ? parts[2] : ""}.normalized();
    const Platform as_architecture = Platform{"linux", parts[0], {}}.normalized();
    if (contains(kKnownArchitectures, as_architecture.architecture)) return as_architecture;
    Platform as_system = host();
    as_system.os = parts[0] == "macos" ? "darwin" : parts[0];
    if (contains(kKnownSystems, as_system.os)) return as_system;
    refuse(text, "unknown operating system or architecture");
}

std::string Platform::str() const {
    std::string out = os + "/" + architecture;
    if (!variant.empty()) out += "/" + variant;
    return out;
}

std::optional<Descriptor> select_platform(const Index& index, const Platform& platform) {
    const Platform wanted = platform.normalized();
    const Descriptor* best = nullptr;
    const Descriptor* unstated = nullptr;
    std::string best_variant;
    for (const auto& manifest : index.manifests) {
        if (is_attestation(manifest)) continue;
        if (!manifest.platform) {
            if (unstated == nullptr) unstated = &manifest;
            continue;
        }
        const Platform offered = manifest.platform->normalized();
        if (offered.os != wanted.os || offered.architecture != wanted.architecture) continue;
        if (fit_of(offered.variant, wanted.variant) == Fit::None) continue;
        if (best != nullptr && !serves_better(offered.variant, best_variant, wanted.variant))
            continue;
        best = &manifest;
        best_variant = offered.variant;
    }
    if (best == nullptr) best = unstated;
    if (best == nullptr) return std::nullopt;
    return *best;
}

}  // namespace shale::oci

#include "emulation.hpp"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

namespace shale::build {
namespace {

// The first bytes of an executable, as far as handlers look at them. Values: elf(5), ELF_EM_*.
struct Machine {
    std::string_view architecture;
    bool is_64_bit, is_little_endian;
    unsigned number;
};
constexpr Machine kMachines[] = {
    {"386", false, true, 3},    {"amd64", true, true, 62},    {"arm", false, true, 40},
    {"arm64", true, true, 183}, {"loong64", true, true, 258}, {"mips", false, false, 8},
    {"mips64", true, false, 8}, {"mips64le", true, true, 8},  {"mipsle", false, true, 8},
    {"ppc64", true, false, 21}, {"ppc64le", true, true, 21},  {"riscv64", true, true, 243},
    {"s390x", true, false, 22}, {"sparc64", true, false, 43},
};

std::string program_head(const Machine& machine) {
    std::string head = "\x7f"
                       "ELF";
    head += machine.is_64_bit ? '\2' : '\1';
    head += machine.is_little_endian ? '\1' : '\2';
    head += '\1';
    head.resize(16, '\0');
    const auto put = [&](unsigned value) {
        const char low = static_cast<char>(value & 0xff), high = static_cast<char>(value >> 8);
        head += machine.is_little_endian ? low : high;
        head += machine.is_little_endian ? high : low;
    };
    put(2);  // ET_EXEC
    put(machine.number);
    return head;
}

std::string from_hex(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        unsigned value = 0;
        std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
        bytes += static_cast<char>(value);
    }
    return bytes;
}

struct Registration {
    bool is_enabled = false;
    std::size_t offset = 0;
    std::string interpreter, flags, magic, mask;

    bool takes(std::string_view head) const {
        if (!is_enabled || magic.empty() || offset + magic.size() > head.size()) return false;
        for (std::size_t i = 0; i < magic.size(); ++i) {
            const auto bits = i < mask.size() ? mask[i] : '\xff';
            if (((head[offset + i] ^ magic[i]) & bits) != 0) return false;
        }
        return true;
    }
};

// "enabled", then "interpreter PATH", "flags: OCF", "offset 0", "magic HEX", "mask HEX".
Registration parse_registration(const std::string& text) {
    Registration made;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto blank = line.find(' ');
        const auto word = line.substr(0, blank);
        const auto value = blank == std::string::npos ? "" : line.substr(blank + 1);
        if (word == "enabled") made.is_enabled = true;
        if (word == "interpreter") made.interpreter = value;
        if (word == "flags:") made.flags = value;
        if (word == "offset")
            std::from_chars(value.data(), value.data() + value.size(), made.offset);
        if (word == "magic") made.magic = from_hex(value);
        if (word == "mask") made.mask = from_hex(value);
    }
    return made;
}

std::vector<std::string> file_names(const std::string& directory) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
    if (!stream) return names;
    while (const dirent* entry = ::readdir(stream.get()))
        if (const std::string name = entry->d_name; name != "register" && name != "status")
            names.push_back(name);
    std::sort(names.begin(), names.end());
    return names;
}

const Machine* machine_of(const std::string& architecture) {
    for (const auto& machine : kMachines)
        if (machine.architecture == architecture) return &machine;
    return nullptr;
}

}  // namespace

std::optional<Emulator> find_emulator(const oci::Platform& platform, const std::string& directory) {
    const auto* machine = machine_of(platform.normalized().architecture);
    if (!machine || platform.os != "linux") return std::nullopt;
    const auto head = program_head(*machine);
    for (const auto& name : file_names(directory)) {
        constexpr std::uint64_t kMaxRegistrationBytes = 4096;
        try {
            const auto found =
                parse_registration(read_file(join_path(directory, name), kMaxRegistrationBytes));
            if (found.takes(head))
                return Emulator{name, found.interpreter,
                                found.flags.find('F') != std::string::npos};
        } catch (const Error&) {  // "." and "..", or gone since the directory was read
        }
    }
    return std::nullopt;
}

bool is_native(const oci::Platform& platform) {
    const auto host = oci::Platform::host(), wanted = platform.normalized();
    if (wanted.os != host.os) return false;
    return wanted.architecture == host.architecture ||
           (host.architecture == "amd64" && wanted.architecture == "386") ||
           (host.architecture == "arm64" && wanted.architecture == "arm");
}

bool runs_here(const oci::Platform& platform) {
    return is_native(platform) || find_emulator(platform);
}

std::string how_to_run(const oci::Platform& platform, const std::string& directory) {
    const auto host = oci::Platform::host().str();
    if (platform.os != "linux") return "commands of " + platform.str() + " cannot run on " + host;
    const auto emulator = find_emulator(platform, directory);
    if (!emulator)
        return "this " + host + " machine has no emulator for " + platform.str() +
               ": install one that registers itself with binfmt_misc (Debian, Ubuntu: "
               "qemu-user-static and binfmt-support), or use COPY instead of RUN, or a stage with "
               "FROM --platform=$BUILDPLATFORM";
    if (!emulator->is_preloaded)
        return "the binfmt_misc handler " + emulator->name + " names " + emulator->interpreter +
               ", which is not in the image: register it with the flag F (Debian, Ubuntu: "
               "qemu-user-static and binfmt-support do)";
    return "the emulator " + emulator->interpreter + " could not start it";
}

}  // namespace shale::build

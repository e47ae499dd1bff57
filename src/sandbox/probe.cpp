// Which runtime, used how, really starts containers here.
//
// Version numbers and feature lists do not answer that: crun 1.8 works on v1 hosts and on v2 hosts
// but refuses a mix of both, runc may be built without seccomp, and inside another container
// anything may be missing. So every candidate runs a trial container with the full default
// configuration, and the first whose command ends with the expected exit code is taken. crun comes
// first because it starts a container in a sixth of runc's time.
//
// A trial takes 10 to 100 ms, so the findings are kept in the state directory and reused while the
// binaries, the kernel, the cgroup layout and this program stay the same.
#include "probe.hpp"

#include "mount_table.hpp"
#include "seccomp_filter.hpp"
#include "trial.hpp"

#include <shale/caller.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>

namespace shale::sandbox {

namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::vector<std::string> candidate_names() {
    const std::string chosen = environment("SHALE_RUNTIME");
    if (!chosen.empty()) return {chosen};
    return {"crun", "runc"};
}

std::string base_name(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

std::string file_identity(const std::string& path) {
    struct stat status {};
    if (path.empty() || ::stat(path.c_str(), &status) != 0) return "absent";
    return fmt::format("{} {} {}.{:09}", path, status.st_size, status.st_mtim.tv_sec,
                       status.st_mtim.tv_nsec);
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view kLetters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const auto byte = [&](std::size_t i) {
            return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u;
        };
        const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
        const std::size_t letters = std::min<std::size_t>(bytes.size() - at, 3) + 1;
        for (unsigned i = 0; i < 4; ++i)
            text.push_back(i < letters ? kLetters[group >> (18 - 6 * i) & 63] : '=');
    }
    return text;
}

// "crun version 1.8.1" -> "crun 1.8.1"; the binary's name if it does not say.
std::string runtime_version(const std::string& program, CommandRunner& commands) {
    Command command;
    command.argv = {program, "--version"};
    command.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    std::string text;
    commands.run(command,
                 [&text](OutputStream stream, std::string_view part) {
                     if (stream == OutputStream::Stdout) text.append(part);
                 },
                 {});
    const std::string first = text.substr(0, text.find('\n'));
    const auto word = first.find(" version ");
    if (word == std::string::npos) return base_name(program);
    return first.substr(0, word) + first.substr(word + std::string_view(" version").size());
}

// Empty if the engine works, else why not.
std::string try_engine(const Engine& engine, const std::string& state_directory,
                       CommandRunner& commands) {
    const TempDir root(state_directory, "trial-");
    const std::string program = join_path(root.path(), "trial");
    {
        const UniqueFd file = open_file(program, O_WRONLY | O_CREAT | O_EXCL, 0755);
        write_all(file.get(), as_bytes(trial_program()), program);
    }
    Spec spec;
    spec.root = root.path();
    spec.argv = {"/trial"};
    spec.network = Network::None;
    NetworkPool no_networks{""};
    std::string words;  // a runtime that fails before it reads its options has no log
    try {
        const Result result = run_container(
            engine, {state_directory, &no_networks, &commands}, spec,
            [&words](OutputStream, std::string_view text) { words.append(text); }, {});
        if (!result.start_error.empty()) return result.start_error;
        if (result.exit_code == kTrialExitCode) return {};
        while (!words.empty() && words.back() == '\n')
            words.pop_back();
        return words.empty() ? fmt::format("a trial container ended with {} instead of {}",
                                           result.exit_code, kTrialExitCode)
                             : words;
    } catch (const Error& error) {  // one more reason for the list
        return error.what();
    }
}

// crun as it is, then crun with our own device limits; runc and strangers as they are. In a user
// namespace, each without control groups.
std::vector<Engine> variants(const std::string& program, CommandRunner& commands) {
    Engine engine;
    engine.program = program;
    engine.family = base_name(program).starts_with("crun") ? "crun" : "runc";
    engine.version = runtime_version(program, commands);
    engine.no_cgroup = in_user_namespace();
    if (engine.family == "crun") engine.seccomp_base64 = base64(compile_seccomp_filter());
    if (engine.family != "crun" || engine.no_cgroup) return {engine};
    Engine with_own_cgroup = engine;
    with_own_cgroup.own_cgroup = true;
    return {engine, with_own_cgroup};
}

std::string describe(const Engine& engine) {
    if (engine.no_cgroup) return engine.version + " in a user namespace";
    return engine.own_cgroup ? engine.version + " with device limits of our own" : engine.version;
}

}  // namespace

void probe_network(Findings& findings) {
    const std::string program = find_program("slirp4netns");
    if (program.empty()) {
        findings.network_note = "slirp4netns is not installed: steps have a loopback network only "
                                "(install slirp4netns, or use --network=host)";
        return;
    }
    try {
        ConnectedNetwork(program).helper.wait_ready();
        findings.slirp_program = program;
        findings.network_note.clear();
    } catch (const Error& error) {  // a step without network is still useful; say why it has none
        findings.network_note = fmt::format("steps have a loopback network only: {}", error.what());
    }
}

std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
    const std::string path = environment("PATH") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                                                   "/usr/bin:/sbin:/bin";
    for (std::string_view rest = path; !rest.empty();) {
        const auto colon = rest.find(':');
        const std::string_view directory = rest.substr(0, colon);
        rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
        if (!directory.starts_with('/')) continue;
        std::string candidate = join_path(directory, name);
        if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return {};
}

Findings probe_host(const std::string& state_directory, CommandRunner& commands) {
    Findings findings;
    std::string reasons;
    const auto note = [&reasons](const std::string& who, const std::string& why) {
        reasons += (reasons.empty() ? "" : "; ") + who + ": " + why;
    };
    for (const std::string& name : candidate_names()) {
        const std::string program = find_program(name);
        if (program.empty()) {
            note(name, "not installed");
            continue;
        }
        for (const Engine& engine : variants(program, commands)) {
            const std::string reason = try_engine(engine, state_directory, commands);
            if (!reason.empty()) {
                note(describe(engine), reason);
                continue;
            }
            findings.engine = engine;
            findings.explanation =
                (reasons.empty() ? "" : reasons + "; ") + "using " + describe(engine);
            probe_network(findings);
            return findings;
        }
    }
    fail(ErrorKind::Unsupported, "no OCI runtime works here (" + reasons +
                                     "); install crun or runc, or name one in $SHALE_RUNTIME");
}

std::string host_fingerprint() {
    std::string text = fmt::format("{}\n{}\n", SHALE_VERSION, seccomp_filter_version());
    utsname kernel{};
    ::uname(&kernel);
    text += fmt::format("{} {}\n", kernel.release, kernel.machine);
    for (const std::string& name : candidate_names())
        text += name + " " + file_identity(find_program(name)) + "\n";
    text += file_identity(find_program("slirp4netns")) + "\n";
    text += ::access("/dev/net/tun", R_OK | W_OK) == 0 ? "tun\n" : "no tun\n";
    if (in_user_namespace()) text += "user namespace\n";
    for (const MountEntry& mount : read_mounts())
        if (mount.type.starts_with("cgroup")) text += mount.type + " " + mount.target + "\n";
    return text;
}

std::string encode_findings(const Findings& findings, const std::string& fingerprint) {
    const nlohmann::ordered_json json = {
        {"fingerprint", fingerprint},
        {"program", findings.engine.program},
        {"family", findings.engine.family},
        {"version", findings.engine.version},
        {"ownCgroup", findings.engine.own_cgroup},
        {"noCgroup", findings.engine.no_cgroup},
        {"seccomp", findings.engine.seccomp_base64},
        {"explanation", findings.explanation},
        {"slirp", findings.slirp_program},
        {"networkNote", findings.network_note},
    };
    return json.dump(1) + "\n";
}

std::optional<Findings> decode_findings(std::string_view text, const std::string& fingerprint) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    try {
        if (!json.is_object() || json.at("fingerprint") != fingerprint) return std::nullopt;
        Findings findings;
        json.at("program").get_to(findings.engine.program);
        json.at("family").get_to(findings.engine.family);
        json.at("version").get_to(findings.engine.version);
        json.at("ownCgroup").get_to(findings.engine.own_cgroup);
        json.at("noCgroup").get_to(findings.engine.no_cgroup);
        json.at("seccomp").get_to(findings.engine.seccomp_base64);
        json.at("explanation").get_to(findings.explanation);
        json.at("slirp").get_to(findings.slirp_program);
        json.at("networkNote").get_to(findings.network_note);
        return findings;
    } catch (const nlohmann::json::exception&) {  // damaged: probe again
        return std::nullopt;
    }
}

}  // namespace shale::sandbox

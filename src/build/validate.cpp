#include "validate.hpp"

#include "file_mode.hpp"
#include "plan.hpp"
#include "ports.hpp"
#include "run_mount.hpp"

#include <shale/remote.hpp>

namespace shale::build {

namespace {

// The working directory, which is not known here. A mount without a target is on it, and refused
// where that is the root: one error that is left to the build.
constexpr const char* kSomewhere = "/work";

class Validator {
  public:
    Validator(const dockerfile::Lookup& lookup, char escape) : lookup_(lookup), escape_(escape) {}

    template <typename T>
    void operator()(const T&) const {}  // says nothing that could be wrong here
    void operator()(const dockerfile::Env& env) const { expand_all(env.pairs); }
    void operator()(const dockerfile::Label& label) const { expand_all(label.pairs); }
    void operator()(const dockerfile::User& user) const { expand(user.user); }
    void operator()(const dockerfile::Workdir& workdir) const { expand(workdir.path); }
    void operator()(const dockerfile::StopSignal& signal) const {
        check_signal(expand(signal.signal));
    }
    void operator()(const dockerfile::Expose& expose) const {
        for (const auto& token : expose.ports)
            for (const auto& word : dockerfile::expand_words(token, lookup_, escape_))
                parse_ports(word);
    }
    void operator()(const dockerfile::Volume& volume) const {
        for (const auto& path : volume.paths)
            require_volume(expand(path));
    }
    void operator()(const dockerfile::Copy& copy) const {
        std::vector<std::string> sources;
        for (const auto& source : copy.sources)
            sources.push_back(expand(source));
        check_sources(copy, sources);
        expand(copy.destination);
        expand(copy.chown);
        if (const auto mode = expand(copy.chmod); !mode.empty()) ModeChange::parse(mode);
        const auto checksum = expand(copy.checksum);
        if (!checksum.empty() && !remote::parse_git(sources.front()))
            remote::Checksum::parse(checksum);
    }
    void operator()(const dockerfile::Run& run) const {
        unsigned agents = 0;
        for (const auto& mount : run.mounts)
            decide_mount(dockerfile::expand_mount(mount, lookup_, escape_), kSomewhere, agents++);
    }

  private:
    std::string expand(const std::string& word) const {
        return dockerfile::expand(word, lookup_, escape_);
    }
    void expand_all(const auto& pairs) const {
        for (const auto& pair : pairs) {
            expand(pair.key);
            expand(pair.value);
        }
    }

    const dockerfile::Lookup& lookup_;
    char escape_;
};

}  // namespace

void validate(const dockerfile::Instruction& instruction, const dockerfile::Lookup& lookup,
              char escape) {
    std::visit(Validator(lookup, escape), instruction.value);
}

}  // namespace shale::build

// A remote context is never looked at through .dockerignore: its author chose what is in it. Its
// Dockerfile is part of it, unless -f names one that is elsewhere: a URL, standard input, or an
// absolute path.
#include "open_context.hpp"

#include "archive.hpp"
#include "stage.hpp"

#include <shale/definition_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

namespace shale::build {
namespace {

constexpr std::uint64_t kMaxDockerfileBytes = 16u << 20;
constexpr const char* kDefaultName = "Dockerfile";
// What a downloaded context is called while nobody knows whether it is an archive.
constexpr const char* kContextName = "context";

std::string real_path(const std::string& path) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) throw_errno("realpath", path);
    return resolved;
}

bool is_directory(const std::string& path) {
    struct stat status {};
    return !path.empty() && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string context_directory(const std::string& path) {
    struct stat status {};
    if (path.empty() || ::stat(path.c_str(), &status) != 0)
        fail(ErrorKind::NotFound, "unable to prepare context: path \"" + path + "\" not found");
    if (!S_ISDIR(status.st_mode))
        fail(ErrorKind::Invalid, "unable to prepare context: \"" + path + "\" is not a directory");
    return real_path(path);
}

codec::Source standard_input() {
    return [](MutableBytes out) -> std::size_t {
        for (;;) {
            const ssize_t count = ::read(STDIN_FILENO, out.data(), out.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) throw_errno("read", "standard input");
        }
    };
}

std::string read_text(const codec::Source& source, const std::string& what) {
    std::string text;
    std::vector<std::byte> buffer(64 << 10);
    while (const auto count = source(buffer)) {
        text += as_text(Bytes(buffer).first(count));
        if (text.size() > kMaxDockerfileBytes)
            fail(ErrorKind::Invalid, what + " is larger than " + format_size(kMaxDockerfileBytes));
    }
    return text;
}

[[noreturn]] void no_dockerfile(const std::string& name) {
    fail(ErrorKind::NotFound,
         "failed to read dockerfile: open " + name + ": no such file or directory");
}

Definition read_local(const std::string& path, const std::string& context,
                      const std::string& shown) {
    auto text = in_context([] { return std::string("failed to read dockerfile"); },
                           [&] { return read_definition(path, context, kMaxDockerfileBytes); });
    if (!text) no_dockerfile(shown);
    return {path, path.substr(path.rfind('/') + 1), std::move(*text)};
}

// BUILDKIT_CONTEXT_KEEP_GIT_DIR, if it says something.
std::optional<bool> keeps_git_dir(const Request& request) {
    std::optional<bool> keep;
    for (const auto& [key, value] : request.build_args)
        if (key == "BUILDKIT_CONTEXT_KEEP_GIT_DIR" && !value.empty())
            keep = value == "1" || value == "true" || value == "t" || value == "T" ||
                   value == "TRUE" || value == "True";
    return keep;
}

class Opener {
  public:
    Opener(const Request& request, Services& services, Sources& sources, Tracker& tracker)
        : request_(request), services_(services), sources_(sources), tracker_(tracker) {}

    MainContext open() {
        if (request_.context == "-") return from_input();
        if (is_directory(request_.context)) return from_directory();
        if (const auto git = remote::parse_git(request_.context, remote::ShortForm::Accepted))
            return from_git(*git);
        if (remote::is_http_url(request_.context)) return from_url();
        return from_directory();  // which fails, and says why
    }

  private:
    MainContext from_directory() {
        const auto directory = context_directory(request_.context);
        auto definition = elsewhere();
        if (!definition) {
            definition =
                read_local(definition_path(directory, request_.dockerfile), directory,
                           request_.dockerfile.empty() ? kDefaultName : request_.dockerfile);
        }
        IgnoreRules ignore;
        tracker_.run("[internal] load .dockerignore", [&](VertexId) {
            ignore = Context::load_ignore(directory, definition->path);
            return Outcome::Done;
        });
        return {std::make_unique<Context>(directory, std::move(ignore), services_.store, tracker_),
                std::move(*definition)};
    }

    // A pipe can be read once only, so it is kept in a file until it is known what it is.
    MainContext from_input() {
        if (request_.dockerfile == "-")
            fail(ErrorKind::Invalid, "can't use stdin for both build context and dockerfile");
        const auto scratch = services_.store.scratch("input-");
        const auto path = join_path(scratch.path(), "input");
        {
            const auto fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
            const auto input = standard_input();
            std::vector<std::byte> buffer(1 << 20);
            while (const auto count = input(buffer))
                write_all(fd.get(), Bytes(buffer).first(count), path);
        }
        const auto open = bytes_of_file(path);
        if (is_archive(open))
            return with_own_dockerfile(
                sources_.archive("[internal] load remote build context", open));
        std::array<std::byte, 16> head{};
        if (codec::sniff(Bytes(head).first(open()(head))) != codec::StreamFormat::Plain)
            fail(ErrorKind::Invalid, "standard input is compressed, but holds no tar archive");
        if (!request_.dockerfile.empty())
            fail(ErrorKind::Invalid,
                 "standard input is a Dockerfile, and --file names another one");
        return {empty_context(), {"", kDefaultName, read_text(open(), "the Dockerfile")}};
    }

    MainContext from_git(remote::GitReference reference) {
        GitOptions options;
        options.named_by = NamedBy::CommandLine;
        options.keep_git_dir =
            keeps_git_dir(request_).value_or(reference.keep_git_dir.value_or(false));
        options.times_of_commit = reference.times_of_commit || request_.source_date_epoch ||
                                  !request_.source_date_epoch_of.empty();
        return with_own_dockerfile(sources_.git(reference, options));
    }

    MainContext from_url() {
        const auto file = sources_.download(request_.context, kContextName);
        const auto open = sources_.open(file, kContextName);
        if (is_archive(open)) {
            auto unpacked = sources_.archive("[internal] load remote build context", open);
            // What the server says is later than what is in the archive, and is what others use.
            if (const auto time = file.time()) unpacked.time = [time] { return time; };
            unpacked.material = file.material;
            return with_own_dockerfile(unpacked);
        }
        auto definition = elsewhere();
        if (!definition)  // whatever --file says: there is only this file
            definition = Definition{"", kContextName,
                                    read_text(open(), http::without_password(request_.context))};
        return {remote_context(file), std::move(*definition)};
    }

    MainContext with_own_dockerfile(const Source& source) {
        auto definition = elsewhere();
        if (!definition && request_.dockerfile.starts_with('/'))
            definition = read_local(request_.dockerfile, {}, request_.dockerfile);
        if (!definition) {
            const auto name = request_.dockerfile.empty() ? kDefaultName : request_.dockerfile;
            auto text = sources_.read(source, name, kMaxDockerfileBytes);
            const auto slash = name.rfind('/');
            const auto folder = slash == std::string::npos ? "" : name.substr(0, slash + 1);
            if (!text && name.substr(folder.size()) == kDefaultName)
                text = sources_.read(source, folder + "dockerfile", kMaxDockerfileBytes);
            if (!text) no_dockerfile(name);
            definition = Definition{"", name.substr(folder.size()), std::move(*text)};
        }
        return {remote_context(source), std::move(*definition)};
    }

    // A Dockerfile that does not lie in the context, whatever that is.
    std::optional<Definition> elsewhere() {
        if (request_.dockerfile_text)
            return Definition{request_.dockerfile == "-" ? "" : request_.dockerfile, kDefaultName,
                              *request_.dockerfile_text};
        if (request_.dockerfile == "-")
            return Definition{"", kDefaultName, read_text(standard_input(), "the Dockerfile")};
        if (!remote::is_http_url(request_.dockerfile)) return std::nullopt;
        const auto name = remote::file_name(request_.dockerfile);
        const auto file = sources_.download(request_.dockerfile, name);
        return Definition{
            "", name,
            read_text(sources_.open(file, name)(), http::without_password(request_.dockerfile))};
    }

    std::unique_ptr<Context> remote_context(Source source) {
        return std::make_unique<Context>(http::without_password(request_.context),
                                         std::move(source), services_.store, tracker_);
    }
    std::unique_ptr<Context> empty_context() {
        Source nothing;
        nothing.root = empty_root();
        return remote_context(std::move(nothing));
    }

    const Request& request_;
    Services& services_;
    Sources& sources_;
    Tracker& tracker_;
};

}  // namespace

MainContext open_main_context(const Request& request, Services& services, Sources& sources,
                              Tracker& tracker) {
    return Opener(request, services, sources, tracker).open();
}

std::shared_ptr<Context> open_named_context(const ContextBase& base, Services& services,
                                            Sources& sources, Tracker& tracker) {
    const auto& value = base.value;
    const auto remote_context = [&](Source source) {
        return std::make_shared<Context>(base.name, std::move(source), services.store, tracker);
    };
    return in_context(
        [&] { return "build context " + base.name; },
        [&] {
            if (!is_directory(value)) {
                if (const auto git = remote::parse_git(value, remote::ShortForm::Accepted)) {
                    GitOptions options;
                    options.named_by = NamedBy::CommandLine;
                    options.keep_git_dir = git->keep_git_dir.value_or(false);
                    options.times_of_commit = git->times_of_commit;
                    return remote_context(sources.git(*git, options));
                }
                if (remote::is_http_url(value))
                    return remote_context(sources.download(value, kContextName));
                if (value.find("://") != std::string::npos)
                    fail(ErrorKind::Invalid,
                         "unsupported context source " + http::without_password(value));
                fail(ErrorKind::NotFound, "path \"" + value + "\" is not a directory");
            }
            const auto directory = real_path(value);
            return std::make_shared<Context>(directory, Context::load_ignore(directory, ""),
                                             services.store, tracker,
                                             "[context " + base.name + "] load from client");
        });
}

}  // namespace shale::build

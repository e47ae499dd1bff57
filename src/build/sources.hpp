// Gets files from elsewhere. What comes is kept as a layer in the store and found again by what it
// is, a commit or a content, never by where it came from: the same commit from a mirror is the same
// source, and asking for it again fetches nothing.
#pragma once

#include "once_table.hpp"
#include "source.hpp"

#include <shale/build.hpp>
#include <shale/remote.hpp>

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace shale::build {

class Context;
struct ContextBase;

// Who names a source decides whose keys may be used for it.
enum class NamedBy { CommandLine, Dockerfile };

struct GitOptions {
    bool keep_git_dir = false;
    bool times_of_commit = false;
    NamedBy named_by = NamedBy::Dockerfile;
};

// Safe from any thread; equal requests at one time share one answer.
class Sources {
  public:
    Sources(const Request& request, Services& services, Tracker& tracker, std::stop_token stop)
        : request_(request), services_(services), tracker_(tracker), stop_(std::move(stop)) {}

    // The tree of a commit, owned by root, modes 0644 and 0755.
    Source git(const remote::GitReference& reference, const GitOptions& options);
    // One file, `name`, mode 0600, with the server's time or 1970.
    Source download(const std::string& url, const std::string& name,
                    const std::optional<remote::Checksum>& checksum = std::nullopt);
    // What is in an archive, owned by root. `open` gives its bytes, `title` is the vertex.
    Source archive(const std::string& title, const std::function<codec::Source()>& open);
    // A directory that was scanned, as a source: `tree` was made from what lies in `directory`.
    Source directory(const snapshot::Tree& tree, const std::string& directory);

    // Opened by whoever refers to it first.
    std::shared_ptr<Context> context(const ContextBase& base);

    // Text of a file of the source, symbolic links followed inside it; nullopt if it is absent.
    std::optional<std::string> read(const Source& source, const std::string& path,
                                    std::uint64_t limit);
    // Opens the bytes of that file, which must exist.
    std::function<codec::Source()> open(const Source& source, const std::string& path);

  private:
    std::shared_ptr<http::Transport> transport();
    Source make_git(const remote::GitReference& reference, const GitOptions& options);
    Source make_download(const std::string& url, const std::string& name,
                         const std::optional<remote::Checksum>& checksum);
    store::StepRecord fetch_content(remote::Downloader& downloader, const std::string& url,
                                    const std::optional<remote::Checksum>& checksum,
                                    remote::Download& download, VertexId vertex);

    const Request& request_;
    Services& services_;
    Tracker& tracker_;
    std::stop_token stop_;
    std::once_flag transport_made_;
    std::shared_ptr<http::Transport> transport_;
    OnceTable<Source> made_;
    OnceTable<std::shared_ptr<Context>> contexts_;
};

}  // namespace shale::build

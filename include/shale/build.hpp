// build: from a Dockerfile and a context to an image. Plans the stages that the target reaches,
// keys every step, runs what the cache does not know, and exports the result. Also moves images
// between a registry and the store, because a build's FROM and a `pull` are the same act.
//
// The build owns no terminal and no process policy: it reports through Progress and gets a way to
// mount trees (TreeMounter) and to run commands (sandbox::Runtime) from its caller.
//
// It is one file because questions and answers about one build are read together.
//
// build() may be called from several threads with one Services, as far as Progress allows it.
#pragma once

#include <shale/base.hpp>
#include <shale/build_options.hpp>
#include <shale/diff.hpp>
#include <shale/dockerfile.hpp>
#include <shale/http.hpp>
#include <shale/layer_form.hpp>
#include <shale/mount.hpp>
#include <shale/oci.hpp>
#include <shale/registry.hpp>
#include <shale/sandbox.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// ---------------------------------------------------------------------------------------------
// What the caller sees happening. A vertex is one line of work: a step, a pull, an export.

using VertexId = std::uint32_t;

struct BuildRecord;  // build_record.hpp

enum class Outcome { Done, Cached, Failed, Cancelled };

// Implementations must be safe from any thread; vertex ids count from 1 in order of start.
class Progress {
  public:
    virtual ~Progress() = default;
    virtual void started(VertexId vertex, const std::string& name) = 0;
    virtual void output(VertexId vertex, sandbox::OutputStream stream, std::string_view text) = 0;
    // A named quantity inside a vertex, e.g. a layer being pulled; total 0 if unknown.
    virtual void status(VertexId vertex, const std::string& what, std::uint64_t current,
                        std::uint64_t total) = 0;
    virtual void finished(VertexId vertex, Outcome outcome, const std::string& message) = 0;
    virtual void warning(const std::string& text) = 0;
};
std::unique_ptr<Progress> silent_progress();

// Hands out vertex ids and makes sure every started vertex is finished, whatever is thrown.
class Tracker {
  public:
    explicit Tracker(Progress& progress) : progress_(progress) {}
    VertexId start(const std::string& name);
    Progress& progress() { return progress_; }
    // Runs `body(vertex)`; it returns the outcome. A thrown Error finishes the vertex as Failed (or
    // Cancelled for that kind) and goes on.
    void run(const std::string& name, const std::function<Outcome(VertexId)>& body);

  private:
    Progress& progress_;
    std::mutex mutex_;
    VertexId last_ = 0;
};

// ---------------------------------------------------------------------------------------------
// Seam: shows a tree at a directory for as long as the returned handle lives.

class MountedTree {
  public:
    virtual ~MountedTree() = default;
    virtual sandbox::OverlayBase base() const = 0;  // for an overlay over the tree
};
class TreeMounter {
  public:
    virtual ~TreeMounter() = default;
    // `target` is an empty directory. A mounter that can do without leaves it alone.
    virtual std::unique_ptr<MountedTree> mount(std::shared_ptr<mount::View> view,
                                               const std::string& target) = 0;
};

// A tree as a directory to run commands in: its lazy mount below a fresh overlay. What is written
// goes to upper() and is gone with the object; the tree never changes. Mount points that an OCI
// runtime needs exist, and are not part of upper().
class WritableRoot {
  public:
    // `more_points` are further mount points that must exist, relative to the root; a trailing '/'
    // marks directories.
    WritableRoot(store::Store& store, TreeMounter& mounter,
                 std::shared_ptr<const snapshot::Tree> tree, const std::vector<Digest>& sources,
                 const std::vector<std::string>& more_points = {});
    // Over layers that show the tree already, for as long as this lives. upper() may hold notes
    // (sandbox::OverlayMount).
    WritableRoot(store::Store& store, const snapshot::Tree& tree,
                 const sandbox::OverlayBase& layers, const std::vector<std::string>& more_points);
    // Of any view, with these mount points and none for a runtime.
    WritableRoot(store::Store& store, TreeMounter& mounter, std::shared_ptr<mount::View> view,
                 const std::vector<std::string>& points);
    ~WritableRoot();
    const std::string& path() const;
    const std::string& upper() const;
    static diff::Marks marks();  // those in upper()
    mount::View& view();         // not of one over layers
    // A file beside the root, for bind mounts; returns its host path. `name` must be new.
    std::string add_file(const std::string& name, std::string_view text, unsigned mode);
    void unmount();  // the overlay; throws if it cannot. upper() stays readable
    // False if the layers hide one: an opaque directory, or what was removed, hides all below it.
    bool shows_mount_points() const;
    // The directory that upper() is in, for whoever keeps it. To be called after unmount(), and as
    // the last thing; not if this mounted the tree.
    TempDir take_scratch();
    // Mount points that the tree does not have, and the parents made for them, innermost first:
    // where one of them is in upper() it is there by accident, unless something was put into it.
    const std::vector<std::string>& stubs() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// ---------------------------------------------------------------------------------------------
// Images between registries and the store.

struct ResolvedImage {
    oci::Descriptor descriptor;  // of the platform's manifest
    oci::Manifest manifest;
    oci::ImageConfig config;
};

// An image from a file or directory of this machine: "oci:DIR[:TAG][@DIGEST]",
// "oci-archive:FILE[:TAG]" or "docker-archive:FILE[:NAME]", as skopeo writes them. Everything of it
// that the platform needs is copied into the store, verified, under no name.
struct ImportedImage {
    oci::Descriptor root;  // what was asked for: a manifest, or an index with several
    ResolvedImage image;
};
bool is_image_place(std::string_view text);  // begins like one of these
ImportedImage import_image(std::string_view text, const oci::Platform& platform,
                           store::Store& store);

class Images {
  public:
    Images(store::Store& store, registry::Client& client) : store_(store), client_(client) {}

    // Manifest and config only; layers stay where they are. Looks in the store first unless
    // `refresh`, then in the registry.
    ResolvedImage resolve(const oci::Reference& name, const oci::Platform& platform, bool refresh);
    // Brings missing layers into the store, several at a time, and tags the image.
    enum class Tagging { Always, IfAbsent };
    void pull_layers(const oci::Reference& name, const ResolvedImage& image, Tracker& tracker,
                     VertexId vertex, Tagging tagging);
    // NotFound if the image is for another platform.
    ResolvedImage pull(const oci::Reference& name, const oci::Platform& platform, Tracker& tracker);
    // All images of that name, whatever their platform. Documents only, from the registry.
    std::vector<ResolvedImage> resolve_all(const oci::Reference& name);
    // One blob of the repository, unless the store has it whole.
    void pull_blob(const oci::Reference& name, const oci::Descriptor& blob, Tracker& tracker,
                   VertexId vertex);
    // Pushes a tagged image, or an index with all it lists: missing blobs first, manifest last.
    // NotFound if the store lacks it.
    oci::Descriptor push(const oci::Reference& name, Tracker& tracker);
    // The same for documents of the store that need not be tagged. A name with a digest and no tag
    // pushes by digest.
    void push(const oci::Reference& name, const oci::Descriptor& descriptor, Tracker& tracker);
    // True if the repository that `name` is in has the blob.
    bool is_pushed(const oci::Reference& name, const Digest& blob);

  private:
    std::optional<ResolvedImage> stored(const oci::Reference& name, const oci::Platform& platform);
    ResolvedImage take(const oci::Reference& name, const registry::RemoteManifest& remote);
    std::map<Digest, std::string> neighbours(const oci::Reference& name);
    void push_tree(const oci::Reference& name, const oci::Descriptor& descriptor, Tracker& tracker);
    void push_blobs(const oci::Reference& name, const oci::Manifest& manifest, Tracker& tracker);

    store::Store& store_;
    registry::Client& client_;
};

// ---------------------------------------------------------------------------------------------
// Users of an image.

struct ResolvedUser {
    std::uint32_t uid = 0, gid = 0;
    std::vector<std::uint32_t> groups;  // additional, the primary one included
    std::string home;                   // from /etc/passwd, else "/"
};
// Docker's rules for "user", "uid", "user:group" and mixes, against /etc/passwd and /etc/group of
// the tree; "" is root, as an empty part is. NotFound: `unable to find user x: no matching entries
// in passwd file`. Invalid beyond 2147483647.
ResolvedUser resolve_user(const snapshot::Tree& tree, layer::ContentReader& contents,
                          std::string_view user);

// ---------------------------------------------------------------------------------------------
// Requests.

// One --secret: the value itself, or a file to read it from when a step needs it.
struct SecretSource {
    std::string id;
    std::optional<std::string> value;
    std::string file;
};

// One --ssh: an agent's socket, or private keys for an agent of the build's own.
struct SshSource {
    std::string id;
    std::string socket;
    std::vector<std::string> keys;
};

// What an annotation is put on. A descriptor is the entry that refers to the document.
enum class AnnotationPlace { Manifest, ManifestDescriptor, Index, IndexDescriptor };
struct Annotation {
    AnnotationPlace place = AnnotationPlace::Manifest;
    std::optional<oci::Platform> platform;  // of a manifest; nullopt: of each
    std::string key, value;
};
// "[TYPE[PLATFORM][,TYPE...]:]KEY=VALUE", one for each type. Invalid names what is wrong.
std::vector<Annotation> parse_annotation(std::string_view text);

enum class OutputType { Image, Oci, Docker, Local, Tar, CacheOnly };

struct Output {
    OutputType type = OutputType::Image;
    std::string destination;  // file or directory; "-" is standard output; unused for Image
    std::optional<layer::Form> compression;
    std::optional<int> compression_level;
    std::optional<std::uint64_t> compression_memory;  // what a layer is written with, in bytes
    bool force_compression = false;
    bool as_directory = false;         // oci, docker: tar=false
    bool push = false;                 // image: push after the export
    std::vector<std::string> names;    // in addition to the request's tags
    bool push_by_digest = false;       // under no tag
    bool name_canonical = false;       // image: also as name@digest
    std::string dangling_prefix;       // image: "PREFIX@digest" as a name
    bool dangling_empty_only = false;  // that only if there is no other name
    bool docker_types = false;         // oci-mediatypes=false
    bool keep = true;                  // image: in the store; false leaves what is pushed only
    bool rewrite_timestamp = false;    // times in new layers are at most the source date epoch
    std::optional<std::int64_t> source_date_epoch;  // for this output instead of the request's
    std::optional<bool> platform_split;             // local, tar; default: if there are several
    bool delete_stale = false;                      // local, mode=delete: what is not in the result
    std::vector<Annotation> annotations;            // in addition to the request's
    bool attestation_artifact = true;               // else as an image of an unknown platform
    std::string attestation_prefix;                 // local, tar: of the names of their files
};
// "type=oci,dest=x.tar,compression=gzip", "DIR" (local) or "-" (tar to standard output). Unknown
// keys and values are Invalid and named.
Output parse_output(std::string_view text);

struct Request {
    // A directory; "-": a tar or a Dockerfile on standard input; a git reference; a URL of an
    // archive or a Dockerfile.
    std::string context;
    // Path or URL; empty: Dockerfile of the context, else dockerfile; "-": standard input. In a
    // context that is no directory, a relative path is one of the context.
    std::string dockerfile;
    std::optional<std::string> dockerfile_text;  // used instead of reading the path when set
    std::vector<oci::Reference> tags;
    std::string target;
    std::vector<KeyValue> build_args;
    // Build arguments that this machine has for every build (registry::docker_proxies()); nobody
    // gave them, so neither record nor provenance tells of them. build_args win.
    std::vector<KeyValue> proxies;
    // Names that FROM, AS and --from may use, and what they stand for: a directory, a git
    // reference, a URL, docker-image://NAME, oci-layout://PATH[:TAG][@DIGEST].
    std::vector<KeyValue> build_contexts;
    std::vector<KeyValue> labels;
    std::vector<Output> outputs;  // empty: one Image
    std::vector<Annotation> annotations;
    bool no_cache = false;
    std::vector<std::string> no_cache_filter;  // stage names, case-insensitive
    bool pull = false;
    std::string network = "default";
    std::vector<std::string>
        allow;  // entitlements: "network.host", "security.insecure", "device[=NAME]"
    std::vector<std::string> add_hosts;  // "name:ip" or "name=ip"
    std::vector<SecretSource> secrets;
    std::vector<SshSource> ssh;
    // Of every RUN.
    std::optional<std::uint64_t> shm_bytes;
    std::vector<sandbox::ProcessLimit> limits;
    sandbox::Resources resources;
    std::string cgroup_parent;
    // What to build for; empty: this machine, and a base image that is only there for another
    // platform that runs here is taken as it is.
    std::vector<oci::Platform> platforms;
    std::optional<std::int64_t> source_date_epoch;  // seconds
    // Whose time to take instead: "context", a named context, or a stage of one remote ADD.
    std::string source_date_epoch_of;
    // Steps that execute at one time (RUN, COPY, ADD); 0: as many as there are.
    unsigned jobs = 0;
    // Bytes that RUNs with a limit of memory may have together; 0: as many as they like. A RUN that
    // may have more than this runs, too, while no other with a limit does.
    std::uint64_t memory_budget = 0;
    // Asked for steps that the store does not know; one that cannot be had is a warning.
    std::vector<CacheSource> cache_from;
    std::vector<CacheTarget> cache_to;
    Attestations attestations;
    // Says in the output of every step that is not cached what made it run, in one line.
    bool explain = false;
    // Of the steps found in the cache, this many in a hundred are executed again, and what comes
    // out is compared. A step that differs but for times is named with its files, and the build
    // fails.
    std::optional<unsigned> verify_percent;
};

struct Result {
    Digest image_id;  // digest of the config; of the index if that is what was made
    // Of the last image, else of the first archive, with an annotation config.digest.
    oci::Descriptor manifest;
    bool is_index = false;
    std::vector<std::string> names;  // full ones
    std::optional<std::int64_t> created_ns;
    std::uint32_t steps = 0, cached_steps = 0;
    std::uint32_t warnings = 0;  // findings of lint
};

// A step or instruction failed. what() is the final line without "ERROR: failed to solve: ".
class BuildError : public Error {
  public:
    BuildError(const Error& cause, std::string step_name, std::vector<std::string> log_tail,
               std::string source_excerpt, dockerfile::LineRange source_lines = {})
        : Error(cause.kind(), cause.what(), cause.sys_errno()), step(std::move(step_name)),
          log(std::move(log_tail)), excerpt(std::move(source_excerpt)), lines(source_lines) {}
    std::string step;              // "[builder 3/5] RUN false", or empty
    std::vector<std::string> log;  // its last lines of output
    std::string excerpt;           // Dockerfile lines, or empty
    dockerfile::LineRange lines;   // their numbers, or 0
};

struct Services {
    store::Store& store;
    Images& images;
    TreeMounter& mounter;
    // Created on first use: a build without RUN needs no runtime.
    std::function<sandbox::Runtime&()> runtime;
    Progress& progress;
    // Created on first use, as the runtime; null if nothing may be downloaded.
    std::function<std::unique_ptr<http::Transport>()> http = nullptr;
    const Clock& clock = system_clock();
    // Told what is remembered of the build when it has ended, also if it failed; may be null.
    std::function<void(const BuildRecord&)> on_record = nullptr;
};

// For a request put together from several flags, before build(): fills in what follows from the
// rest (a compression level alone means zstd) and refuses as Invalid what contradicts itself, such
// as pushing without a name, so that nobody learns of it after the whole build.
void settle_outputs(Request& request);

// Throws BuildError (Invalid, NotFound, Failed, ...) or Error. On failure the store holds finished
// steps only; no tag moves, no output file appears.
Result build(const Request& request, Services& services, std::stop_token stop = {});

// ---------------------------------------------------------------------------------------------
// What can be said about a Dockerfile without building it. Nothing is run, pulled or stored.

// What a build would stop at.
struct Problem {
    std::string message;
    dockerfile::LineRange lines;
    std::string excerpt;  // as in BuildError
};
struct CheckResult {
    dockerfile::File file;
    std::vector<dockerfile::Diagnostic> warnings;  // in line order
    std::vector<Problem> problems;
    // Images that could not be asked for their config: about stages on top of them the rules that
    // need it (undefined variables, platforms) say nothing.
    std::vector<std::string> unknown_images;
};
// Every rule of lint, on the stages that request.target needs, or on all of them. `text` is the
// Dockerfile, `name` what to call it; `ignore` is null if the context is not a directory.
CheckResult check(const Request& request, std::string_view text, const std::string& name,
                  const dockerfile::IgnoreMatcher* ignore, Images& images);

struct Target {
    std::string name;         // empty for a stage that has none
    std::string description;  // of a comment `# NAME description` above it
    std::string base, platform;
    dockerfile::LineRange lines;
    bool is_default = false;
};
std::vector<Target> list_targets(const dockerfile::File& file);

// What a target can be given.
struct Outline {
    struct Argument {
        std::string name, description;
        std::optional<std::string> value;
        dockerfile::LineRange lines;
    };
    struct Grant {  // a secret or an SSH agent
        std::string id;
        bool required = false;
        dockerfile::LineRange lines;
    };
    std::string name, description;  // of the target
    std::vector<Argument> arguments;
    std::vector<Grant> secrets, ssh;
};
// Throws NotFound for a target that the file lacks, Invalid for global arguments that make no
// sense.
Outline outline(const Request& request, const dockerfile::File& file);

// Annotations that the image export puts on the descriptor in the store's index.
inline constexpr std::string_view kAnnotationUnpackedBytes = "dev.shale.unpacked-bytes";
inline constexpr std::string_view kAnnotationStage = "dev.shale.stage";  // stage name or index
inline constexpr std::string_view kAnnotationRecipe =
    "dev.shale.recipe";  // same for all targets of one Dockerfile and context

}  // namespace shale::build

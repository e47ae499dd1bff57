// Whole builds without root, FUSE or a network: a store in a scratch directory, a registry in
// memory, and no way to run commands. What COPY, platforms and exporters do is all here.
#pragma once

#include <shale/build.hpp>
#include <shale/codec.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace shale::build {

// Answers as a registry that lets everybody do everything.
class MemoryRegistry {
  public:
    std::map<std::string, std::string> manifests;  // "repo/tag" and "repo/sha256:..."
    std::map<std::string, std::string> blobs;      // "repo/sha256:..."
    std::vector<std::string> downloads;            // digests of blobs that were fetched

    void perform(const http::Request& request,
                 const std::function<void(const http::Response&)>& on_head,
                 const std::function<void(Bytes)>& on_body) {
        const std::lock_guard lock(mutex_);
        const auto start = request.url.find("/v2/") + 4;
        const auto query = request.url.find('?');
        const auto path = request.url.substr(start, query - start);
        const auto answer = [&](int status, std::map<std::string, std::string> headers,
                                const std::string& body = {}) {
            headers["content-length"] = std::to_string(body.size());
            on_head({status, std::move(headers)});
            if (request.method != "HEAD" && !body.empty()) on_body(as_bytes(body));
        };
        if (const auto at = path.find("/manifests/"); at != std::string::npos) {
            const auto repository = path.substr(0, at), name = path.substr(at + 11);
            if (request.method == "PUT") {
                const auto body = body_of(request);
                manifests[repository + "/" + name] = body;
                manifests[repository + "/" + codec::sha256(body).str()] = body;
                answer(201, {});
                return;
            }
            const auto found = manifests.find(repository + "/" + name);
            if (found == manifests.end()) return answer(404, {});
            answer(200, {{"content-type", type_of(found->second)}}, found->second);
            return;
        }
        if (path.ends_with("/blobs/uploads/")) {
            answer(202, {{"location", "/v2/" + path + "session"}});
            return;
        }
        const auto at = path.find("/blobs/");
        const auto repository = path.substr(0, at);
        if (request.method == "PUT") {
            const auto body = body_of(request);
            blobs[repository + "/" + codec::sha256(body).str()] = body;
            answer(201, {});
            return;
        }
        const auto found = blobs.find(repository + "/" + path.substr(at + 7));
        if (found == blobs.end()) return answer(404, {});
        if (request.method == "GET") downloads.push_back(path.substr(at + 7));
        answer(200, {}, found->second);
    }

  private:
    static std::string type_of(const std::string& json) {
        return std::string(oci::is_index(json) ? oci::media::kIndex : oci::media::kManifest);
    }
    static std::string body_of(const http::Request& request) {
        std::string body(request.body_bytes, '\0');
        std::size_t filled = 0;
        while (filled < body.size()) {
            const auto count =
                request.body(std::as_writable_bytes(std::span(body)).subspan(filled));
            if (count == 0) break;
            filled += count;
        }
        return body.substr(0, filled);
    }
    std::mutex mutex_;
};

class MemoryTransport : public http::Transport {
  public:
    explicit MemoryTransport(MemoryRegistry& registry) : registry_(registry) {}
    void perform(const http::Request& request,
                 const std::function<void(const http::Response&)>& on_head,
                 const std::function<void(Bytes)>& on_body) override {
        registry_.perform(request, on_head, on_body);
    }

  private:
    MemoryRegistry& registry_;
};

class NoMounts : public TreeMounter {
  public:
    std::unique_ptr<MountedTree> mount(std::shared_ptr<mount::View>, const std::string&) override {
        fail(ErrorKind::Unsupported, "no mounts in this test");
    }
};

class Recorder : public Progress {
  public:
    void started(VertexId, const std::string& name) override {
        const std::lock_guard lock(mutex_);
        names.push_back(name);
    }
    void output(VertexId, sandbox::OutputStream, std::string_view) override {}
    void status(VertexId, const std::string&, std::uint64_t, std::uint64_t) override {}
    void finished(VertexId, Outcome, const std::string&) override {}
    void warning(const std::string& text) override {
        const std::lock_guard lock(mutex_);
        warnings.push_back(text);
    }
    std::size_t count(const std::string& part) const {
        return static_cast<std::size_t>(
            std::count_if(names.begin(), names.end(), [&](const std::string& name) {
                return name.find(part) != std::string::npos;
            }));
    }
    std::vector<std::string> names, warnings;

  private:
    std::mutex mutex_;
};

class FixedClock : public Clock {
  public:
    std::int64_t now_ns() const override { return now; }
    std::int64_t now = 1'700'000'000'000'000'000;
};

// One machine: a store of its own, and the registry it shares with others.
class Builder {
  public:
    explicit Builder(MemoryRegistry& registry)
        : store(store_directory_.path() + "/store"),
          client_(options(), std::make_unique<MemoryTransport>(registry)), images(store, client_) {}

    void file(const std::string& path, const std::string& text) {
        const auto full = context_.path() + "/" + path;
        make_directories(full.substr(0, full.rfind('/')));
        write_file_atomic(full, as_bytes(text));
        const timespec times[2] = {{file_time, 0}, {file_time, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, full.c_str(), times, 0), 0);
    }
    const std::string& context() const { return context_.path(); }

    Request request(const std::string& dockerfile) const {
        Request made;
        made.context = context_.path();
        made.dockerfile_text = dockerfile;
        return made;
    }
    Result build(Request request) {
        progress.names.clear();
        progress.warnings.clear();
        settle_outputs(request);
        const auto no_runtime = []() -> sandbox::Runtime& {
            fail(ErrorKind::Unsupported, "no runtime in this test");
        };
        Services services{store, images, mounter_, no_runtime, progress, nullptr, clock};
        return shale::build::build(request, services);
    }
    std::string error_of(const Request& request) {
        try {
            build(request);
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }
    // The root file system of a stored image.
    std::shared_ptr<const snapshot::Tree> tree(const std::string& name) {
        const auto manifest = store.manifest(*store.resolve(oci::Reference::parse(name)));
        return store.image_tree(manifest, store.config(manifest)).tree;
    }
    std::string text(const std::string& name, const std::string& path) {
        const auto manifest = store.manifest(*store.resolve(oci::Reference::parse(name)));
        const auto image = store.image_tree(manifest, store.config(manifest));
        layer::ContentReader reader(store.content_index(image.sources), store.framed());
        const auto entry = image.tree->entry(image.tree->find(path));
        std::string out(entry.size, '\0');
        reader.read(entry.content, 0, std::as_writable_bytes(std::span(out)));
        return out;
    }

  private:
    static registry::Options options() {
        registry::Options made;
        made.credentials = [](const std::string&) { return std::nullopt; };
        made.attempts = 1;
        return made;
    }
    TempDir store_directory_, context_;
    NoMounts mounter_;

  public:
    store::Store store;

  private:
    registry::Client client_;

  public:
    Images images;
    Recorder progress;
    FixedClock clock;
    std::int64_t file_time = 1'699'999'000;  // of files that are made from now on
};

inline Output output(const std::string& text) {
    return parse_output(text);
}

}  // namespace shale::build

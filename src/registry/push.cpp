// Pushing: a blob is asked for, mounted from a neighbour, or uploaded in one piece; then a
// manifest.
//
// An upload is a session: POST opens it and names a location, PUT to that location carries the
// bytes and the digest. A session that failed cannot be trusted to hold anything, so a retry begins
// with the question whether the blob is there after all: the answer to a PUT may be all that got
// lost.
#include "client.hpp"

#include <shale/codec.hpp>

namespace shale::registry {
namespace {

constexpr const char* kBlobType = "application/octet-stream";

using Source = std::function<std::size_t(MutableBytes)>;

// The bytes of one attempt, hashed as they leave: a file that changed since its digest was taken is
// found out here, by name, and not by a registry's "digest invalid".
struct Outgoing {
    const oci::Descriptor& blob;
    Source source{};
    codec::Sha256 hash{};
    std::uint64_t sent = 0;

    void begin(Source anew) {
        source = std::move(anew);
        hash = {};
        sent = 0;
    }
    // Throws when the bytes end too early: the peer would wait for the rest.
    std::size_t read(MutableBytes out) {
        const std::size_t count = source(out);
        if (count == 0 && sent < blob.size)
            fail(ErrorKind::Corrupt, "pushing " + blob.digest.str() + ": it ends after " +
                                         std::to_string(sent) + " of " + std::to_string(blob.size) +
                                         " bytes");
        hash.update(out.first(count));
        sent += count;
        return count;
    }
};

class Upload {
  public:
    Upload(Session& session, Endpoint endpoint, const oci::Reference& name,
           const oci::Descriptor& blob)
        : session_(session), endpoint_(std::move(endpoint)), name_(name), blob_(blob) {}

    bool is_there();
    // True if the registry took it over; otherwise location() may hold a session to use.
    bool mount(const std::string& from);
    void open_session();
    void send(const std::function<Source()>& open);
    bool has_session() const { return location_.has_value(); }

  private:
    Request request(const std::string& method, Url url) const {
        return {method, std::move(url), {}, push_scopes(name_), nullptr, 0};
    }
    Url sessions() const { return url_of(endpoint_, name_, "blobs/uploads/"); }

    Session& session_;
    const Endpoint endpoint_;
    const oci::Reference& name_;
    const oci::Descriptor& blob_;
    std::optional<Url> location_;
};

bool Upload::is_there() {
    const auto ask = request("HEAD", url_of(endpoint_, name_, "blobs/" + blob_.digest.str()));
    const Reply reply = session_.perform(endpoint_, ask);
    if (reply.success()) return true;
    if (reply.status == 404) return false;
    refuse_push(name_, ask, reply);
}

bool Upload::mount(const std::string& from) {
    Url url = sessions();
    url.query = "mount=" + percent_encode(blob_.digest.str()) + "&from=" + percent_encode(from);
    auto ask = request("POST", std::move(url));
    ask.scopes.push_back("repository:" + from + ":pull");
    const Reply reply = session_.perform(endpoint_, ask);
    if (reply.status == 201) return true;
    // 202 declines and opens a session instead. Any other refusal concerns the mount only, perhaps
    // the right to read its source; what matters is whether an upload is allowed.
    if (reply.status == 202) location_ = ask.url.resolve(reply.header("location"));
    return false;
}

void Upload::open_session() {
    const auto ask = request("POST", sessions());
    const Reply reply = session_.perform(endpoint_, ask);
    if (reply.status != 202) refuse_push(name_, ask, reply);
    location_ = ask.url.resolve(reply.header("location"));
}

void Upload::send(const std::function<Source()>& open) {
    Url url = *std::exchange(location_, std::nullopt);
    if (endpoint_.base.scheme == "https" && url.scheme == "http")
        fail(ErrorKind::Network, "refusing to upload over plain http: " + url.without_query());
    url.query += (url.query.empty() ? "" : "&") + ("digest=" + percent_encode(blob_.digest.str()));
    auto put = request("PUT", std::move(url));
    put.headers = {{"Content-Type", kBlobType}};
    put.body_bytes = blob_.size;
    auto outgoing =
        std::make_shared<Outgoing>(Outgoing{blob_});  // shared with the body of the current attempt
    put.open_body = [&open, outgoing] {
        outgoing->begin(open());
        return [outgoing](MutableBytes out) { return outgoing->read(out); };
    };
    const Reply reply = session_.perform(endpoint_, put);
    const bool all_sent = outgoing->sent == blob_.size;
    if (all_sent && outgoing->hash.finish() != blob_.digest)
        fail(ErrorKind::Corrupt,
             "pushing " + blob_.digest.str() + ": the bytes sent have another digest");
    if (!reply.success()) refuse_push(name_, put, reply);
    if (!all_sent)
        fail(ErrorKind::Network, put.url.without_query() + ": accepted after " +
                                     std::to_string(outgoing->sent) + " of " +
                                     std::to_string(blob_.size) + " bytes");
}

}  // namespace

bool Client::has_blob(const oci::Reference& name, const Digest& blob) {
    const Endpoint endpoint = state_->registry_of(name);
    const Request request{
        "HEAD", url_of(endpoint, name, "blobs/" + blob.str()), {}, pull_scopes(name), nullptr, 0};
    const Reply reply =
        with_retries(state_->options, [&] { return state_->session.perform(endpoint, request); });
    if (reply.success()) return true;
    if (reply.status == 404) return false;
    refuse_pull(name, request, reply, {});
}

bool Client::push_blob(const oci::Reference& name, const oci::Descriptor& blob,
                       const std::function<std::function<std::size_t(MutableBytes)>()>& open,
                       const std::string& mount_from) {
    Upload upload(state_->session, state_->registry_of(name), name, blob);
    return with_retries(state_->options, [&] {
        if (upload.is_there()) return false;
        if (!mount_from.empty() && mount_from != name.repository && upload.mount(mount_from))
            return false;
        if (!upload.has_session()) upload.open_session();
        upload.send(open);
        return true;
    });
}

void Client::push_manifest(const oci::Reference& name, const oci::Descriptor& descriptor,
                           const std::string& json) {
    if (codec::sha256(json) != descriptor.digest || json.size() != descriptor.size)
        fail(ErrorKind::Corrupt,
             "pushing " + name.str() + ": the manifest is not " + descriptor.digest.str());
    const Endpoint endpoint = state_->registry_of(name);
    const std::string target = name.tag.empty() ? descriptor.digest.str() : name.tag;
    Request request{"PUT",
                    url_of(endpoint, name, "manifests/" + target),
                    {{"Content-Type", descriptor.media_type}},
                    push_scopes(name),
                    nullptr,
                    json.size()};
    request.open_body = [&json] {
        return [rest = Bytes(as_bytes(json))](MutableBytes out) mutable {
            const std::size_t count = std::min(out.size(), rest.size());
            std::memcpy(out.data(), rest.data(), count);
            rest = rest.subspan(count);
            return count;
        };
    };
    const Reply reply =
        with_retries(state_->options, [&] { return state_->session.perform(endpoint, request); });
    if (!reply.success()) refuse_push(name, request, reply);
    const std::string& stored = reply.header("docker-content-digest");
    if (stored.starts_with("sha256:") && stored != descriptor.digest.str())
        fail(ErrorKind::Corrupt, "pushing " + name.str() + ": the registry stored " +
                                     stored.substr(0, 80) + " instead of " +
                                     descriptor.digest.str());
}

}  // namespace shale::registry

// Pulling: manifests whole, blobs as a stream that survives broken connections.
//
// A blob arrives once, in order, at the sink, however many connections that takes: each attempt
// asks for the rest with a Range request and is believed only if the answer says exactly that
// range. A server that ignores ranges sends everything again; what was delivered is skipped then.
// The digest covers what the sink saw, so a wrong splice cannot go unnoticed.
#include "client.hpp"

#include <shale/codec.hpp>

#include <charconv>

namespace shale::registry {
namespace {

// One header, as every client sends it; the order is our preference.
std::string accepted_manifests() {
    std::string out;
    for (const auto type : {oci::media::kIndex, oci::media::kDockerIndex, oci::media::kManifest,
                            oci::media::kDockerManifest})
        out.append(out.empty() ? "" : ", ").append(type);
    return out;
}

// What the document calls itself; the header only if the document is silent.
std::string media_type_of(const std::string& json, const Reply& reply) {
    const bool index = oci::is_index(json);  // refuses what could be read as either
    const auto stated = oci::Json::parse(json, "manifest").find("mediaType");
    if (stated) return stated->string();
    const std::string& header = reply.header("content-type");
    const std::string type = header.substr(0, header.find_first_of("; "));
    const bool fits = index ? type == oci::media::kIndex || type == oci::media::kDockerIndex
                            : type == oci::media::kManifest || type == oci::media::kDockerManifest;
    return fits ? type : std::string(index ? oci::media::kIndex : oci::media::kManifest);
}

void check_digest(const std::string& what, const Digest& got, const Digest& expected) {
    if (got != expected)
        fail(ErrorKind::Corrupt, "digest mismatch for " + what + ": " + got.str() +
                                     " (expected: " + expected.str() + ")");
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// A blob on its way to the sink.
class Download {
  public:
    // An attempt that brought at least this much does not count as failed: a large layer over a
    // poor line needs many connections, and each of them must be worth its while.
    static constexpr std::uint64_t kWorthwhile = 1 << 20;

    Download(const oci::Descriptor& blob, const std::function<void(Bytes)>& sink)
        : blob_(blob), sink_(sink) {}

    std::uint64_t delivered() const { return delivered_; }
    bool is_complete() const { return delivered_ == blob_.size; }

    void attempt(Session& session, const Endpoint& endpoint, const oci::Reference& name);
    void verify() {
        if (!is_complete())
            fail(ErrorKind::Corrupt, blob_.digest.str() + ": ended after " +
                                         std::to_string(delivered_) + " of " +
                                         std::to_string(blob_.size) + " bytes");
        check_digest(blob_.digest.str(), hash_.finish(), blob_.digest);
    }

  private:
    void begin(const HttpResponse& response);
    void check_range(const HttpResponse& response) const;
    void take(Bytes bytes);
    [[noreturn]] void contradict(const std::string& why) const {
        fail(ErrorKind::Corrupt, url_ + ": " + why);
    }

    const oci::Descriptor& blob_;
    const std::function<void(Bytes)>& sink_;
    codec::Sha256 hash_;
    std::uint64_t delivered_ = 0;
    std::uint64_t skip_ = 0;  // bytes of this response that the sink has already
    std::string url_;         // of the current attempt, for messages
};

void Download::attempt(Session& session, const Endpoint& endpoint, const oci::Reference& name) {
    Request request{"GET",   url_of(endpoint, name, "blobs/" + blob_.digest.str()),
                    {},      pull_scopes(name),
                    nullptr, 0};
    url_ = request.url.without_query();
    if (delivered_ > 0) request.headers = {{"Range", "bytes=" + std::to_string(delivered_) + "-"}};
    const Reply reply = session.perform(
        endpoint, request,
        {[this](const HttpResponse& head) { begin(head); }, [this](Bytes bytes) { take(bytes); }});
    if (reply.status == 416)
        contradict("holds no more than " + std::to_string(delivered_) + " of " +
                   std::to_string(blob_.size) + " bytes");
    if (!reply.success())
        refuse_pull(name, request, reply,
                    name.str() + ": blob " + blob_.digest.str() + ": not found");
}

void Download::begin(const HttpResponse& response) {
    skip_ = 0;
    if (response.status == 206) return check_range(response);
    skip_ = delivered_;
    // Known too short or too long before a byte of it has been written anywhere.
    const auto length = response.headers.find("content-length");
    if (length == response.headers.end()) return;
    if (number(length->second) != blob_.size)
        contradict("has " + length->second + " bytes instead of " + std::to_string(blob_.size));
}

// "bytes 100-199/200", and nothing but the range asked for.
void Download::check_range(const HttpResponse& response) const {
    const auto header = response.headers.find("content-range");
    const std::string range = header == response.headers.end() ? std::string() : header->second;
    const std::string expected = "bytes " + std::to_string(delivered_) + "-" +
                                 std::to_string(blob_.size - 1) + "/" + std::to_string(blob_.size);
    if (delivered_ == 0 || range != expected)
        contradict("answered with the range \"" + range.substr(0, 100) + "\" instead of \"" +
                   expected + "\"");
}

void Download::take(Bytes bytes) {
    const auto skipped = std::min<std::uint64_t>(skip_, bytes.size());
    skip_ -= skipped;
    bytes = bytes.subspan(skipped);
    if (bytes.empty()) return;
    if (bytes.size() > blob_.size - delivered_)
        contradict("has more than " + std::to_string(blob_.size) + " bytes");
    hash_.update(bytes);
    sink_(bytes);
    delivered_ += bytes.size();
}

// Attempts at one endpoint until the blob is complete or there is no hope of it.
void download_from(Session& session, const Options& options, const Endpoint& endpoint,
                   const oci::Reference& name, Download& download) {
    int fruitless = 0;
    while (true) {
        const std::uint64_t before = download.delivered();
        const auto worthwhile = [&] {
            return download.delivered() - before >= Download::kWorthwhile;
        };
        try {
            download.attempt(session, endpoint, name);
            if (download.is_complete() || ++fruitless >= options.attempts) return;
        } catch (const Transient& failure) {  // resumed from where it broke
            fruitless = worthwhile() ? 0 : fruitless + 1;
            // A mirror is a convenience; what it cannot give at once, the registry may.
            if (fruitless >= options.attempts || (endpoint.is_mirror && !worthwhile())) throw;
            options.sleep(back_off(std::max(fruitless, 1), failure));
        }
    }
}

// One range of a blob into memory; believed only if the answer says that it is that range.
class RangeRequest {
  public:
    RangeRequest(const oci::Descriptor& blob, std::uint64_t offset, MutableBytes out)
        : blob_(blob), offset_(offset), out_(out) {}

    void attempt(Session& session, const Endpoint& endpoint, const oci::Reference& name) {
        const std::string range =
            std::to_string(offset_) + "-" + std::to_string(offset_ + out_.size() - 1);
        Request request{"GET",
                        url_of(endpoint, name, "blobs/" + blob_.digest.str()),
                        {{"Range", "bytes=" + range}},
                        pull_scopes(name),
                        nullptr,
                        0};
        // The transport gives up on a peer that is silent; somebody waits for this one, who cannot
        // be interrupted.
        request.deadline = std::chrono::steady_clock::now() + kLongestStart +
                           std::chrono::seconds(out_.size() / kSlowestPerSecond);
        const std::string where = request.url.without_query();
        const std::string expected = "bytes " + range + "/" + std::to_string(blob_.size);
        got_ = 0;
        const Reply reply =
            session.perform(endpoint, request,
                            {[&](const HttpResponse& head) { check(head, expected, where); },
                             [&](Bytes bytes) { take(bytes, where); }});
        if (!reply.success())
            refuse_pull(name, request, reply,
                        name.str() + ": blob " + blob_.digest.str() + ": not found");
        if (got_ < out_.size())
            throw Transient(where + ": ended after " + std::to_string(got_) + " of " +
                            std::to_string(out_.size()) + " bytes");
    }

  private:
    // The whole blob instead of a part may be any number of gigabytes: not for us.
    static void check(const HttpResponse& head, const std::string& expected,
                      const std::string& where) {
        const auto header = head.headers.find("content-range");
        if (head.status != 206)
            fail(ErrorKind::Unsupported, where + ": the registry ignores ranges");
        if (header == head.headers.end() || header->second != expected)
            fail(ErrorKind::Corrupt, where + ": did not answer with the range \"" + expected + '"');
    }
    void take(Bytes bytes, const std::string& where) {
        if (bytes.size() > out_.size() - got_)
            fail(ErrorKind::Corrupt, where + ": sends more than the range asked for");
        std::copy(bytes.begin(), bytes.end(), out_.begin() + static_cast<std::ptrdiff_t>(got_));
        got_ += bytes.size();
    }

    const oci::Descriptor& blob_;
    static constexpr std::chrono::seconds kLongestStart{30};
    static constexpr std::size_t kSlowestPerSecond = 64 << 10;

    std::uint64_t offset_;
    MutableBytes out_;
    std::size_t got_ = 0;
};

}  // namespace

void Client::fetch_range(const oci::Reference& name, const oci::Descriptor& blob,
                         std::uint64_t offset, MutableBytes out) {
    SHALE_ENSURE(offset <= blob.size && out.size() <= blob.size - offset);
    if (out.empty()) return;
    RangeRequest range(blob, offset, out);
    const auto attempt = [&](const Endpoint& endpoint) {
        Options patience = state_->options;
        if (endpoint.is_mirror) patience.attempts = 1;
        with_retries(patience, [&] { range.attempt(state_->session, endpoint, name); });
    };
    state_->from_any_endpoint(name, attempt, [] { return true; });
}

RemoteManifest Client::fetch_manifest(const oci::Reference& name) {
    const std::string wanted = name.digest ? name.digest->str() : name.tag;
    const auto attempt = [&](const Endpoint& endpoint) {
        const Request request{"GET",
                              url_of(endpoint, name, "manifests/" + wanted),
                              {{"Accept", accepted_manifests()}},
                              pull_scopes(name),
                              nullptr,
                              0};
        Options patience = state_->options;
        if (endpoint.is_mirror) patience.attempts = 1;
        auto [reply, json] = with_retries(patience, [&] {
            return state_->session.fetch_document(endpoint, request, oci::kMaxManifestBytes);
        });
        if (!reply.success()) refuse_pull(name, request, reply, name.str() + ": not found");
        RemoteManifest out;
        out.descriptor.digest = codec::sha256(json);
        out.descriptor.size = json.size();
        if (name.digest) check_digest(name.str(), out.descriptor.digest, *name.digest);
        const std::string& stated = reply.header("docker-content-digest");
        if (stated.starts_with("sha256:"))
            check_digest(name.str(), out.descriptor.digest, Digest::parse(stated));
        out.descriptor.media_type = media_type_of(json, reply);
        out.json = std::move(json);
        return out;
    };
    return state_->from_any_endpoint(name, attempt, [] { return true; });
}

void Client::fetch_blob(const oci::Reference& name, const oci::Descriptor& blob,
                        const std::function<void(Bytes)>& sink) {
    Download download(blob, sink);
    const auto attempt = [&](const Endpoint& endpoint) {
        download_from(state_->session, state_->options, endpoint, name, download);
        download.verify();
    };
    // Once everything was delivered there is nothing left that another endpoint could add.
    state_->from_any_endpoint(name, attempt,
                              [&] { return download.delivered() == 0 || !download.is_complete(); });
}

}  // namespace shale::registry

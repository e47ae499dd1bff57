// One download: what is known is asked about first (HEAD with the validators, as some servers
// ignore conditions on GET), then the bytes come, are counted and hashed on their way to the file.
#include "checksummer.hpp"
#include "memory.hpp"

#include <shale/codec.hpp>
#include <shale/remote.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <condition_variable>
#include <thread>

namespace shale::remote {
namespace {

constexpr int kMaxRedirects = 10;

// Where to, and as whom.
struct Target {
    http::Url url;
    std::string authorization;
};

// Takes user and password out of the URL. They are sent to that host and no other.
Target target_of(const DownloadRequest& request) {
    std::string text = request.url;
    std::string authorization = request.authorization;
    const auto start = text.find("://") + 3;
    const auto end = std::min(text.find_first_of("/?#", start), text.size());
    const auto at = text.substr(0, end).rfind('@');
    if (at != std::string::npos && at >= start) {
        if (authorization.empty()) {
            auto user = text.substr(start, at - start);
            if (user.find(':') == std::string::npos) user += ':';
            authorization = "Basic " + encode_base64(user);
        }
        text.erase(start, at + 1 - start);
    }
    return {http::Url::parse(text, http::without_password(request.url)), authorization};
}

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Hashes what goes to the file; one per attempt.
class Intake {
  public:
    explicit Intake(const DownloadRequest& request)
        : request_(request), fd_(open_file(request.file, O_WRONLY | O_CREAT | O_TRUNC, 0600)) {
        if (request.checksum && request.checksum->algorithm != HashAlgorithm::Sha256)
            other_.emplace(request.checksum->algorithm);
    }
    void head(const http::Response& response) {
        const auto found = response.headers.find("content-length");
        if (found == response.headers.end()) return;
        const auto& text = found->second;
        std::from_chars(text.data(), text.data() + text.size(), total_);
        check(total_);
    }
    void body(Bytes bytes) {
        check(size_ += bytes.size());
        sha256_.update(bytes);
        if (other_) other_->update(bytes);
        write_all(fd_.get(), bytes, request_.file);
        if (request_.on_progress) request_.on_progress(size_, total_);
    }
    // Corrupt if the bytes are not those of the checksum.
    Digest finish() {
        fd_.close_checked(request_.file);
        const auto digest = sha256_.finish();
        if (!request_.checksum) return digest;
        const auto& wanted = *request_.checksum;
        const Checksum got{wanted.algorithm, other_ ? other_->finish() : digest.hex()};
        if (got.hex != wanted.hex)
            fail(ErrorKind::Corrupt, "digest mismatch for " + http::without_password(request_.url) +
                                         ": " + got.str() + " (expected: " + wanted.str() + ")");
        return digest;
    }
    std::uint64_t size() const { return size_; }

  private:
    void check(std::uint64_t bytes) const {
        if (bytes > request_.max_bytes)
            fail(ErrorKind::Invalid, http::without_password(request_.url) + " is larger than " +
                                         format_size(request_.max_bytes));
    }
    const DownloadRequest& request_;
    UniqueFd fd_;
    codec::Sha256 sha256_;
    std::optional<Checksummer> other_;
    std::uint64_t size_ = 0, total_ = 0;
};

// Follows redirects; the header with the password stays with the first host.
http::Reply perform(http::Transport& transport, const Target& target, const std::string& method,
                    const std::vector<std::pair<std::string, std::string>>& headers,
                    const DownloadRequest& request, const http::Receiver& receiver) {
    http::Url url = target.url;
    for (int redirects = 0;; ++redirects) {
        http::Request out{method, url.str(), headers, nullptr, 0, request.stop};
        if (!target.authorization.empty() && url.same_origin(target.url))
            out.headers.emplace_back("Authorization", target.authorization);
        auto reply = http::exchange(transport, out, receiver, http::first_line);
        if (!is_redirect(reply.status)) return reply;
        if (redirects == kMaxRedirects)
            fail(ErrorKind::Network, target.url.without_query() + ": more than " +
                                         std::to_string(kMaxRedirects) + " redirects");
        url = url.resolve(reply.header("location"));
    }
}

[[noreturn]] void refuse(const Target& target, const http::Reply& reply) {
    const bool denied = reply.status == 401 || reply.status == 403;
    const bool absent = reply.status == 404 || reply.status == 410;
    fail(denied   ? ErrorKind::Denied
         : absent ? ErrorKind::NotFound
                  : ErrorKind::Network,
         target.url.without_query() + ": invalid response status " + std::to_string(reply.status) +
             (reply.message.empty() ? "" : " (" + reply.message + ")"));
}

// Weak tags compare by what is between the quotes.
std::string_view opaque(std::string_view etag) {
    if (etag.starts_with("W/")) etag.remove_prefix(2);
    return etag;
}

// Whether the server says that what we have is what it has. A server that cannot answer that way
// says nothing.
bool is_unchanged(http::Transport& transport, const Target& target, const DownloadRequest& request,
                  const Remembered& known) {
    std::vector<std::pair<std::string, std::string>> headers;
    if (!known.etag.empty())
        headers.emplace_back("If-None-Match", known.etag);
    else if (known.is_settled && !known.last_modified.empty())
        headers.emplace_back("If-Modified-Since", known.last_modified);
    else
        return false;
    const auto reply = perform(transport, target, "HEAD", headers, request, {});
    if (reply.status == 304) {
        const auto& etag = reply.header("etag");
        return etag.empty() || opaque(etag) == opaque(known.etag);
    }
    return reply.status == 200 && !known.etag.empty() &&
           opaque(reply.header("etag")) == opaque(known.etag);
}

bool is_settled(const http::Reply& reply) {
    constexpr std::int64_t kMinute = 60;
    const auto changed = parse_http_date(reply.header("last-modified"));
    const auto now = parse_http_date(reply.header("date"));
    return changed && now && *now - *changed >= kMinute;
}

Download at_hand(const Remembered& known) {
    return {known.content, known.size, parse_http_date(known.last_modified), false};
}

void sleep_for(std::chrono::milliseconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any condition;
    std::unique_lock lock(mutex);
    condition.wait_for(lock, stop, time, [] { return false; });
    if (stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
}

}  // namespace

Downloader::Downloader(std::shared_ptr<http::Transport> transport, std::string directory,
                       Patience patience)
    : transport_(std::move(transport)), directory_(std::move(directory)),
      patience_(std::move(patience)) {}

Download Downloader::fetch(const DownloadRequest& request) {
    const Memory memory(directory_);
    const auto target = target_of(request);
    auto patience = patience_;
    patience.stop = request.stop;
    if (!patience.sleep)
        patience.sleep = [stop = request.stop](auto time) { sleep_for(time, stop); };
    const auto usable = [&](const std::optional<Remembered>& known) {
        return known && request.at_hand && request.at_hand(known->content);
    };
    if (request.checksum)
        if (const auto known = memory.find(request.checksum->str()); usable(known))
            return at_hand(*known);
    // Who may see it is part of what it is.
    const auto name = target.authorization + " " + target.url.str();
    const auto known = memory.find(name);
    if (!request.checksum && usable(known) && http::with_retries(patience, [&] {
            return is_unchanged(*transport_, target, request, *known);
        }))
        return at_hand(*known);

    return http::with_retries(patience, [&] {
        Intake intake(request);
        const auto reply = perform(*transport_, target, "GET", {}, request,
                                   {[&](const http::Response& response) { intake.head(response); },
                                    [&](Bytes bytes) { intake.body(bytes); }});
        if (reply.status != 200) refuse(target, reply);
        Remembered fresh;
        fresh.content = intake.finish();
        fresh.size = intake.size();
        fresh.etag = reply.header("etag");
        fresh.last_modified = reply.header("last-modified");
        fresh.is_settled = is_settled(reply);
        memory.put(name, fresh);
        memory.put(Checksum{HashAlgorithm::Sha256, fresh.content.hex()}.str(), fresh);
        if (request.checksum) memory.put(request.checksum->str(), fresh);
        auto download = at_hand(fresh);
        download.arrived = true;
        return download;
    });
}

}  // namespace shale::remote

// The transport over libcurl: the only file that knows it.
//
// A perform() borrows an easy handle from a pool and gives it back, so connections stay open
// between requests while any number of threads may ask. libcurl calls back through C, which no
// exception may cross: what a callback throws is kept, the transfer aborted, and the exception
// thrown again here.
#include <shale/http.hpp>
#include <shale/shared_library.hpp>

#include <curl/curl.h>

#include <cstdlib>
#include <exception>
#include <mutex>

namespace shale::http {
namespace {

constexpr long kReceiveBuffer = 256 << 10;
constexpr long kSendBuffer = 512 << 10;
constexpr std::size_t kMaxHeaderBytes = 256 << 10;
constexpr curl_off_t kLeastBytes = 32 << 10;  // within TransportLimits::stall_seconds
constexpr const char* kUserAgent = "shale/" SHALE_VERSION;

// Of libcurl, what is used.
struct Library {
    SharedLibrary library{"libcurl.so.4"};
    decltype(::curl_easy_cleanup)* easy_cleanup = library.get("curl_easy_cleanup");
    decltype(::curl_easy_getinfo)* easy_getinfo = library.get("curl_easy_getinfo");
    decltype(::curl_easy_init)* easy_init = library.get("curl_easy_init");
    decltype(::curl_easy_perform)* easy_perform = library.get("curl_easy_perform");
    decltype(::curl_easy_reset)* easy_reset = library.get("curl_easy_reset");
    decltype(::curl_easy_setopt)* easy_setopt = library.get("curl_easy_setopt");
    decltype(::curl_easy_strerror)* easy_strerror = library.get("curl_easy_strerror");
    decltype(::curl_global_init)* global_init = library.get("curl_global_init");
    decltype(::curl_slist_append)* slist_append = library.get("curl_slist_append");
    decltype(::curl_slist_free_all)* slist_free_all = library.get("curl_slist_free_all");
};

const Library& curl() {
    static const Library loaded;
    return loaded;
}

// Before anything else of it, and only when there is something to ask: a build whose bases are all
// in the store never does.
void initialise() {
    static const CURLcode ready = curl().global_init(CURL_GLOBAL_DEFAULT);
    if (ready != CURLE_OK) fail(ErrorKind::System, "libcurl cannot be initialised");
}

struct EasyDeleter {
    void operator()(CURL* handle) const { curl().easy_cleanup(handle); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;

struct ListDeleter {
    void operator()(curl_slist* list) const { curl().slist_free_all(list); }
};

class Pool {
  public:
    Easy take() {
        {
            const std::lock_guard lock(mutex_);
            if (!idle_.empty()) {
                Easy handle = std::move(idle_.back());
                idle_.pop_back();
                return handle;
            }
        }
        Easy handle(curl().easy_init());
        if (!handle) fail(ErrorKind::System, "curl_easy_init: out of memory");
        return handle;
    }
    void give_back(Easy handle) {
        curl().easy_reset(handle.get());  // keeps connections, DNS and TLS sessions
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(handle));
    }

  private:
    std::mutex mutex_;
    std::vector<Easy> idle_;
};

// One transfer: the request's callbacks, the response's head as it arrives, and what was thrown.
class Transfer {
  public:
    Transfer(const Request& request, const TransportLimits& limits,
             const std::function<void(const Response&)>& on_head,
             const std::function<void(Bytes)>& on_body)
        : request_(request), limits_(limits), on_head_(on_head), on_body_(on_body) {}

    // The shims: libcurl's signatures, and the wall that exceptions stop at.
    static std::size_t header_shim(char* data, std::size_t, std::size_t size, void* self) noexcept {
        return static_cast<Transfer*>(self)->guarded(
            [&](Transfer& t) {
                t.moved_at_ = std::chrono::steady_clock::now();  // no counter counts heads
                t.header_line({data, size});
            },
            size, 0);
    }
    static std::size_t body_shim(char* data, std::size_t, std::size_t size, void* self) noexcept {
        return static_cast<Transfer*>(self)->guarded(
            [&](Transfer& t) {
                const auto began = std::chrono::steady_clock::now();
                t.on_body_(as_bytes(std::string_view(data, size)));
                t.moved_at_ += std::chrono::steady_clock::now() - began;  // that was us
            },
            size, size == 0 ? 1 : 0);
    }
    static std::size_t read_shim(char* data, std::size_t, std::size_t size, void* self) noexcept {
        std::size_t count = 0;
        return static_cast<Transfer*>(self)->guarded(
                   [&](Transfer& t) {
                       count = t.request_.body({reinterpret_cast<std::byte*>(data), size});
                   },
                   0, 1) == 0
                   ? count
                   : CURL_READFUNC_ABORT;
    }

    // Called at least once a second. Ends the transfer when it was cancelled, when next to nothing
    // has moved for longer than the limits allow, or when its deadline has passed.
    static int progress_shim(void* self, curl_off_t, curl_off_t received, curl_off_t to_send,
                             curl_off_t sent) noexcept {
        auto& t = *static_cast<Transfer*>(self);
        if (t.request_.stop.stop_requested()) return 1;
        const auto now = std::chrono::steady_clock::now();
        if (received + sent - t.moved_ >= kLeastBytes) {
            t.moved_ = received + sent;
            t.moved_at_ = now;
        }
        const bool answer_is_due = to_send > 0 && sent == to_send && !t.head_delivered_;
        const int seconds = answer_is_due ? t.limits_.answer_seconds : t.limits_.stall_seconds;
        t.stalled_ = now - t.moved_at_ > std::chrono::seconds(seconds) || now > t.request_.deadline;
        return t.stalled_ ? 1 : 0;
    }

    bool stalled() const { return stalled_; }
    void rethrow() const {
        if (thrown_) std::rethrow_exception(thrown_);
    }
    bool head_delivered() const { return head_delivered_; }
    bool refused() const { return head_delivered_ && head_.status >= 400; }

  private:
    template <typename Call>
    std::size_t guarded(Call&& call, std::size_t good, std::size_t bad) noexcept {
        try {
            call(*this);
            return good;
        } catch (...) {  // the C boundary
            thrown_ = std::current_exception();
            return bad;
        }
    }
    void header_line(std::string_view line);

    const Request& request_;
    const TransportLimits& limits_;
    const std::function<void(const Response&)>& on_head_;
    const std::function<void(Bytes)>& on_body_;
    Response head_;
    std::size_t header_bytes_ = 0;
    bool head_delivered_ = false;
    curl_off_t moved_ = 0;  // bytes in both directions at `moved_at_`
    std::chrono::steady_clock::time_point moved_at_ = std::chrono::steady_clock::now();
    bool stalled_ = false;
    std::exception_ptr thrown_;
};

// Lines arrive one by one: "HTTP/1.1 200 OK", "Name: value", and an empty one at the end of each
// head. Heads of 1xx responses come first, trailers after the body; neither is the response's.
void Transfer::header_line(std::string_view line) {
    if ((header_bytes_ += line.size()) > kMaxHeaderBytes)
        fail(ErrorKind::Network,
             request_.url.substr(0, request_.url.find('?')) + ": more than 256 KiB of headers");
    while (line.ends_with('\n') || line.ends_with('\r'))
        line.remove_suffix(1);
    if (head_delivered_) return;
    if (line.starts_with("HTTP/")) {
        head_ = {};
        const auto blank = line.find(' ');
        head_.status = blank == line.npos ? 0 : std::atoi(std::string(line.substr(blank)).c_str());
    } else if (line.empty()) {
        if (head_.status < 200) return;
        head_delivered_ = true;
        on_head_(head_);
    } else if (const auto colon = line.find(':'); colon != line.npos) {
        std::string name(line.substr(0, colon));
        for (char& c : name)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        auto value = line.substr(colon + 1);
        while (value.starts_with(' ') || value.starts_with('\t'))
            value.remove_prefix(1);
        auto& joined = head_.headers[name];
        joined.append(joined.empty() ? "" : ", ").append(value);
    }
}

class CurlTransport final : public Transport {
  public:
    explicit CurlTransport(const TransportLimits& limits) : limits_(limits) {}

    void perform(const Request& request, const std::function<void(const Response&)>& on_head,
                 const std::function<void(Bytes)>& on_body) override {
        initialise();
        Easy easy = pool_.take();
        Transfer transfer(request, limits_, on_head, on_body);
        const auto headers = header_list(request);
        configure(easy.get(), request, headers.get(), transfer);
        const CURLcode code = curl().easy_perform(easy.get());
        long system_error = 0;
        curl().easy_getinfo(easy.get(), CURLINFO_OS_ERRNO, &system_error);
        // A handle whose transfer was cut short is not reused: its connection may be mid-message.
        if (code == CURLE_OK) pool_.give_back(std::move(easy));
        transfer.rethrow();
        if (request.stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        // A server that refuses an upload may answer and hang up without reading it all: the answer
        // counts, not the broken pipe.
        if (code != CURLE_OK && !(request.body && transfer.refused()))
            report(request, transfer.stalled() ? CURLE_OPERATION_TIMEDOUT : code,
                   static_cast<int>(system_error));
        if (!transfer.head_delivered()) fail(ErrorKind::Network, place(request) + ": no response");
    }

  private:
    using List = std::unique_ptr<curl_slist, ListDeleter>;

    static std::string place(const Request& request) {
        return request.method + " " + request.url.substr(0, request.url.find('?'));
    }
    static List header_list(const Request& request);
    void configure(CURL* easy, const Request& request, curl_slist* headers,
                   Transfer& transfer) const;
    static void configure_body(CURL* easy, const Request& request);
    [[noreturn]] void report(const Request& request, CURLcode code, int system_error) const;

    TransportLimits limits_;
    Pool pool_;
};

CurlTransport::List CurlTransport::header_list(const Request& request) {
    // No "Expect: 100-continue": by the time a body is sent its session is open, and a registry
    // that does not know the handshake would cost a second each time.
    List list(curl().slist_append(nullptr, "Expect:"));
    for (const auto& [name, value] : request.headers) {
        curl_slist* longer = curl().slist_append(list.get(), (name + ": " + value).c_str());
        if (longer == nullptr) fail(ErrorKind::System, "curl_slist_append: out of memory");
        (void)list.release();
        list.reset(longer);
    }
    return list;
}

void CurlTransport::configure(CURL* easy, const Request& request, curl_slist* headers,
                              Transfer& transfer) const {
    const auto set = [easy](CURLoption option, auto value) {
        if (const CURLcode code = curl().easy_setopt(easy, option, value); code != CURLE_OK)
            fail(ErrorKind::System, std::string("curl_easy_setopt: ") + curl().easy_strerror(code));
    };
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, kUserAgent);
    set(CURLOPT_HTTPHEADER, headers);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_BUFFERSIZE, kReceiveBuffer);
    set(CURLOPT_UPLOAD_BUFFERSIZE, kSendBuffer);
    set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(limits_.connect_seconds));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &Transfer::progress_shim);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
    set(CURLOPT_HEADERFUNCTION, &Transfer::header_shim);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
    set(CURLOPT_WRITEFUNCTION, &Transfer::body_shim);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
    set(CURLOPT_READFUNCTION, &Transfer::read_shim);
    set(CURLOPT_READDATA, static_cast<void*>(&transfer));
    if (is_loopback(Url::parse(request.url, request.url).host())) set(CURLOPT_PROXY, "");
    // libcurl's tool honours this variable, its library does not; Go's programs do.
    if (const char* bundle = std::getenv("SSL_CERT_FILE"); bundle != nullptr && *bundle != '\0')
        set(CURLOPT_CAINFO, bundle);
    configure_body(easy, request);
}

void CurlTransport::configure_body(CURL* easy, const Request& request) {
    if (request.method == "HEAD") {
        curl().easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request.body) {
        curl().easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl().easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                           static_cast<curl_off_t>(request.body_bytes));
        curl().easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    } else if (request.method != "GET") {
        // Content-Length: 0, which registries want to see.
        curl().easy_setopt(easy, CURLOPT_POST, 1L);
        curl().easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
        curl().easy_setopt(easy, CURLOPT_POSTFIELDS, "");
        curl().easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
}

void CurlTransport::report(const Request& request, CURLcode code, int system_error) const {
    const std::string where = place(request) + ": ";
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        throw Hopeless(where + "the server's certificate cannot be verified (" +
                       curl().easy_strerror(code) + ")");
    case CURLE_SSL_CONNECT_ERROR:
        throw Hopeless(where + "TLS handshake failed; a registry that speaks plain HTTP must be "
                               "listed under insecure-registries");
    case CURLE_COULDNT_RESOLVE_HOST:
        fail(ErrorKind::Network, where + "cannot resolve the host's name");
    case CURLE_OPERATION_TIMEDOUT:
        fail(ErrorKind::Network, where + "timed out (no answer within " +
                                     std::to_string(limits_.connect_seconds) + " s, no data for " +
                                     std::to_string(limits_.stall_seconds) +
                                     " s, or too little of it)");
    case CURLE_PARTIAL_FILE:
        fail(ErrorKind::Network, where + "the connection was closed before the end of the body");
    default:
        break;
    }
    if (system_error != 0)
        fail(ErrorKind::Network, where + std::generic_category().message(system_error));
    fail(ErrorKind::Network, where + curl().easy_strerror(code));
}

}  // namespace

std::unique_ptr<Transport> curl_transport(const TransportLimits& limits) {
    return std::make_unique<CurlTransport>(limits);
}

}  // namespace shale::http

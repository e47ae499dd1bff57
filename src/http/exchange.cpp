// Attempts: what a failure is worth, and what a refusal says.
#include <shale/http.hpp>

#include <charconv>

namespace shale::http {
namespace {

constexpr std::size_t kMaxErrorBody = 64 << 10;
constexpr std::size_t kMaxMessage = 300;

// A registry that says "come back in an hour" must not make a build look hung for an hour.
constexpr std::chrono::seconds kMaxRetryAfter{30};
constexpr std::chrono::milliseconds kFirstBackOff{500};
constexpr std::chrono::milliseconds kMaxBackOff{8000};

bool is_transient_status(int status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

// Seconds only; the date form falls back to our own back-off.
std::optional<std::chrono::seconds> retry_after(const Reply& reply) {
    const std::string& text = reply.header("retry-after");
    unsigned seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return std::chrono::seconds(seconds);
}

// Feeds successes to the receiver and keeps a bounded piece of everything else.
class Intake {
  public:
    explicit Intake(const Receiver& receiver) : receiver_(receiver) {}

    void head(const Response& response) {
        reply.status = response.status;
        reply.headers = response.headers;
        if (reply.success() && receiver_.on_head) guarded([&] { receiver_.on_head(response); });
    }
    void body(Bytes bytes) {
        if (reply.success()) {
            if (receiver_.on_body) guarded([&] { receiver_.on_body(bytes); });
        } else {
            error_body.append(as_text(bytes).substr(0, kMaxErrorBody - error_body.size()));
        }
    }

    Reply reply;
    std::string error_body;
    bool receiver_threw = false;

  private:
    template <typename Call>
    void guarded(Call&& call) {
        receiver_threw = true;
        call();
        receiver_threw = false;
    }
    const Receiver& receiver_;
};

}  // namespace

const std::string& Reply::header(const std::string& lower_case_name) const {
    static const std::string none;
    const auto found = headers.find(lower_case_name);
    return found == headers.end() ? none : found->second;
}

std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, kMaxMessage))
        out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
    while (!out.empty() && out.back() == ' ')
        out.pop_back();
    return text.size() > kMaxMessage ? out + "..." : out;
}

std::string first_line(std::string_view body) {
    if (body.starts_with('<')) return {};  // a proxy's HTML page says nothing
    return one_line(body.substr(0, body.find('\n')));
}

Reply exchange(Transport& transport, const Request& request, const Receiver& receiver,
               const Explain& explain) {
    Intake intake(receiver);
    try {
        transport.perform(
            request, [&](const Response& response) { intake.head(response); },
            [&](Bytes bytes) { intake.body(bytes); });
    } catch (const Hopeless&) {
        throw;
    } catch (const Error& error) {
        // A broken connection becomes Transient here, in one place; a full disk behind the receiver
        // stays what it is, whatever its kind.
        if (intake.receiver_threw || error.kind() != ErrorKind::Network) throw;
        throw Transient(error.what());
    }
    if (!intake.error_body.empty()) intake.reply.message = explain(intake.error_body);
    if (is_transient_status(intake.reply.status))
        throw Transient(describe(request, intake.reply), retry_after(intake.reply));
    return std::move(intake.reply);
}

std::string describe(const Request& request, const Reply& reply) {
    const std::string url = request.url.substr(0, request.url.find('?'));
    std::string out = request.method + " " + url + ": HTTP " + std::to_string(reply.status);
    return reply.message.empty() ? out : out + ": " + reply.message;
}

std::chrono::milliseconds back_off(int next, const Transient& failure) {
    if (failure.retry_after())
        return std::min<std::chrono::milliseconds>(*failure.retry_after(), kMaxRetryAfter);
    auto wait = kFirstBackOff;
    for (int i = 1; i < next && wait < kMaxBackOff; ++i)
        wait *= 2;
    return std::min(wait, kMaxBackOff);
}

}  // namespace shale::http

// See session.hpp. The order of one request: the cached authorisation if there is one, at most two
// challenges answered (a token may have expired, or name too narrow a scope), at most ten
// redirects. Credentials are dropped for good at the first redirect to another origin.
#include "session.hpp"

#include "base64.hpp"

namespace shale::registry {
namespace {

constexpr int kMaxRedirects = 10;
constexpr int kMaxChallengesAnswered = 2;
constexpr std::uint64_t kMaxTokenDocument = 1 << 20;
constexpr std::size_t kMaxTokenLength = 64 << 10;
// The protocol's default for token servers that do not say, and a margin for clocks and latency.
constexpr std::chrono::seconds kDefaultTokenLife{60};
constexpr std::chrono::seconds kTokenMargin{5};
constexpr std::chrono::seconds kLongestTokenLife{24 * 3600};

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// 301 to 303 turn other methods into GET, which would drop the body of an upload without a word.
bool may_follow(const Request& request, int status) {
    return request.method == "GET" || request.method == "HEAD" || status == 307 || status == 308;
}

// https may not lead to plain http: what was asked for in private would be answered in public.
void check_downgrade(const Url& from, const Url& to) {
    if (from.scheme == "https" && to.scheme == "http")
        fail(ErrorKind::Network, "refusing to follow " + from.without_query() +
                                     " to plain http: " + to.without_query());
}

std::string cache_key(const Endpoint& endpoint, const Request& request) {
    std::string key = endpoint.base.scheme + "://" + endpoint.base.authority;
    for (const auto& scope : request.scopes)
        key += "\n" + scope;
    return key;
}

const Challenge* find_challenge(const std::vector<Challenge>& challenges, std::string_view scheme) {
    for (const auto& challenge : challenges)
        if (challenge.scheme == scheme) return &challenge;
    return nullptr;
}

std::string parameter(const Challenge& challenge, const std::string& name) {
    const auto found = challenge.parameters.find(name);
    return found == challenge.parameters.end() ? std::string() : found->second;
}

std::string basic_header(const Credential& credential) {
    return "Basic " + encode_base64(credential.username + ":" + credential.password);
}

// A token goes into a header: nothing that could end the line may be in it.
bool is_header_safe(std::string_view token) {
    return !token.empty() && token.size() <= kMaxTokenLength &&
           std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::function<std::size_t(MutableBytes)> text_body(std::string text) {
    return [text = std::move(text), at = std::size_t{0}](MutableBytes out) mutable {
        const std::size_t count = std::min(out.size(), text.size() - at);
        std::memcpy(out.data(), text.data() + at, count);
        at += count;
        return count;
    };
}

// With an identity token the protocol is OAuth2's, a form in a POST; otherwise a GET that anyone
// may send, with the user's name and password if there are any.
HttpRequest token_request(const Url& realm, const std::string& parameters,
                          const std::optional<Credential>& credential) {
    HttpRequest out{"GET", realm.str(), {}, nullptr, 0};
    if (credential && !credential->identity_token.empty()) {
        const std::string form = parameters + "&grant_type=refresh_token&client_id=shale" +
                                 "&refresh_token=" + percent_encode(credential->identity_token);
        out.method = "POST";
        out.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
        out.body = text_body(form);
        out.body_bytes = form.size();
        return out;
    }
    Url with_parameters = realm;
    with_parameters.query += (realm.query.empty() ? "" : "&") + parameters;
    out.url = with_parameters.str();
    if (credential) out.headers = {{"Authorization", basic_header(*credential)}};
    return out;
}

// Collects a body into `out`; Corrupt past `limit`.
std::function<void(Bytes)> bounded_text(std::string& out, std::uint64_t limit, std::string where) {
    return [&out, limit, where = std::move(where)](Bytes bytes) {
        if (bytes.size() > limit - out.size())
            fail(ErrorKind::Corrupt, where + ": larger than " + format_size(limit));
        out.append(as_text(bytes));
    };
}

std::string text_of(const oci::Json& document, const std::string& name) {
    const auto member = document.find(name);
    return member ? member->string() : std::string();
}

}  // namespace

Reply Session::perform(const Endpoint& endpoint, const Request& request, const Receiver& receiver) {
    std::string authorization = known_authorization(cache_key(endpoint, request));
    Url url = request.url;
    bool at_home = url.same_origin(endpoint.base);
    int redirects = 0, challenges = 0;
    while (true) {
        Reply reply = perform_once(request, url, at_home ? authorization : std::string(), receiver);
        if (reply.status == 401 && at_home && challenges++ < kMaxChallengesAnswered) {
            authorization = answer(endpoint, request, reply, authorization);
            if (authorization.empty()) return reply;
        } else if (is_redirect(reply.status) && may_follow(request, reply.status)) {
            if (++redirects > kMaxRedirects)
                fail(ErrorKind::Network, request.url.without_query() + ": too many redirects");
            const Url next = url.resolve(reply.header("location"));
            check_downgrade(url, next);
            at_home = at_home && next.same_origin(endpoint.base);
            url = next;
        } else {
            return reply;
        }
    }
}

Reply Session::perform_once(const Request& request, const Url& url,
                            const std::string& authorization, const Receiver& receiver) {
    HttpRequest out{request.method,     url.str(),     request.headers, nullptr,
                    request.body_bytes, options_.stop, request.deadline};
    if (!authorization.empty()) out.headers.emplace_back("Authorization", authorization);
    if (request.open_body) out.body = request.open_body();
    return exchange(transport_, out, receiver);
}

std::pair<Reply, std::string> Session::fetch_document(const Endpoint& endpoint,
                                                      const Request& request, std::uint64_t limit) {
    std::string body;
    Reply reply = perform(endpoint, request,
                          {nullptr, bounded_text(body, limit, request.url.without_query())});
    return {std::move(reply), std::move(body)};
}

std::string Session::known_authorization(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = authorizations_.find(key);
    if (found == authorizations_.end()) return {};
    if (std::chrono::steady_clock::now() < found->second.expires) return found->second.header;
    authorizations_.erase(found);
    return {};
}

// An authorisation that the refused request did not carry; empty if there is none to be had.
std::string Session::answer(const Endpoint& endpoint, const Request& request, Reply& refusal,
                            const std::string& refused_with) {
    const auto challenges = parse_challenges(refusal.header("www-authenticate"));
    std::optional<Authorization> fresh;
    if (const auto* bearer = find_challenge(challenges, "bearer")) {
        fresh = fetch_token(endpoint, request, *bearer, refusal);
    } else if (find_challenge(challenges, "basic") != nullptr) {
        const auto known = credential(endpoint.domain);
        if (known && !known->username.empty())
            fresh = Authorization{basic_header(*known), Time::max()};
    }
    // Basic has no second answer; asking again with the same words only locks accounts.
    if (!fresh || fresh->header == refused_with) return {};
    const std::lock_guard lock(mutex_);
    return (authorizations_[cache_key(endpoint, request)] = *fresh).header;
}

std::optional<Session::Authorization> Session::fetch_token(const Endpoint& endpoint,
                                                           const Request& request,
                                                           const Challenge& challenge,
                                                           Reply& refusal) {
    const Url realm = Url::parse(parameter(challenge, "realm"),
                                 "token server of " + endpoint.base.without_query());
    const auto known = credential(endpoint.domain);
    if (known) check_downgrade(endpoint.base, realm);
    std::string parameters = "service=" + percent_encode(parameter(challenge, "service"));
    for (const auto& scope : merge_scopes(request.scopes, parameter(challenge, "scope")))
        parameters += "&scope=" + percent_encode(scope);
    HttpRequest ask = token_request(realm, parameters, known);
    ask.stop = options_.stop;
    ask.deadline = request.deadline;
    std::string body;
    const Reply reply = exchange(
        transport_, ask, {nullptr, bounded_text(body, kMaxTokenDocument, realm.without_query())});
    if (reply.status == 401 || reply.status == 403) {
        refusal.message = describe(ask, reply);
        return std::nullopt;
    }
    if (!reply.success()) fail(ErrorKind::Network, describe(ask, reply));
    const auto document = oci::Json::parse(body, realm.without_query());
    std::string token = text_of(document, "token");
    if (token.empty()) token = text_of(document, "access_token");
    if (!is_header_safe(token)) fail(ErrorKind::Network, realm.without_query() + ": gave no token");
    auto life = kDefaultTokenLife;
    if (const auto stated = document.find("expires_in"))
        life = std::clamp(std::chrono::seconds(stated->integer()), kTokenMargin, kLongestTokenLife);
    return Authorization{"Bearer " + token, std::chrono::steady_clock::now() + life - kTokenMargin};
}

std::optional<Credential> Session::credential(const std::string& domain) {
    {
        const std::lock_guard lock(mutex_);
        const auto found = credentials_.find(domain);
        if (found != credentials_.end()) return found->second;
    }
    auto looked_up = options_.credentials(domain);  // may run a helper: not under the lock
    const std::lock_guard lock(mutex_);
    return credentials_.emplace(domain, std::move(looked_up)).first->second;
}

}  // namespace shale::registry

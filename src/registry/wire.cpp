// See wire.hpp.
#include "wire.hpp"

namespace shale::registry {

Reply exchange(HttpTransport& transport, const HttpRequest& request, const Receiver& receiver) {
    return http::exchange(transport, request, receiver, error_message);
}

std::string error_message(std::string_view body) {
    if (!body.starts_with('{')) return http::first_line(body);
    try {
        const auto document = oci::Json::parse(body, "error document");
        const auto errors = document.find("errors");
        // Token servers say {"details": "..."} or {"message": "..."} instead.
        for (const char* name : {"details", "message", "error_description", "error"})
            if (const auto text = document.find(name); !errors && text && text->is_string())
                return http::one_line(text->string());
        if (!errors || errors->items().empty()) return {};
        const auto first = errors->items().front();
        const auto message = first.find("message"), code = first.find("code");
        if (message && !message->string().empty()) return http::one_line(message->string());
        return code ? http::one_line(code->string()) : std::string();
    } catch (const Error&) {
        return {};  // a refusal whose reason is unreadable is a refusal without a reason
    }
}

}  // namespace shale::registry

#include "redact.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace shale::build {
namespace {

constexpr std::string_view kStars = "****";
constexpr std::size_t kShortestValue = 6, kShortestLine = 16;

std::string_view without_line_end(std::string_view text) {
    while (text.ends_with('\n') || text.ends_with('\r'))
        text.remove_suffix(1);
    return text;
}

}  // namespace

Redactor::Redactor(const std::vector<std::string>& secrets) {
    for (const auto& secret : secrets) {
        std::string_view rest = without_line_end(secret);
        hide(rest, kShortestValue);
        while (rest.find('\n') != std::string_view::npos) {
            hide(without_line_end(rest.substr(0, rest.find('\n'))), kShortestLine);
            rest.remove_prefix(rest.find('\n') + 1);
            if (rest.find('\n') == std::string_view::npos) hide(rest, kShortestLine);
        }
    }
    std::ranges::stable_sort(secrets_, std::ranges::greater(), &std::string::size);
}

void Redactor::hide(std::string_view secret, std::size_t shortest) {
    if (secret.size() < shortest) return;
    secrets_.emplace_back(secret);
    starts_[static_cast<unsigned char>(secret.front())] = true;
}

std::string Redactor::add(std::string_view text) {
    if (secrets_.empty()) return std::string(text);
    const std::string all = std::exchange(held_, {}).append(text);
    std::string shown;
    std::string_view rest = all;
    const auto begins_secret = [&](const std::string& secret) { return rest.starts_with(secret); };
    const auto may_begin_secret = [&](const std::string& secret) {
        return std::string_view(secret).starts_with(rest);
    };
    while (!rest.empty()) {
        const auto plain = static_cast<std::size_t>(
            std::ranges::find_if(rest, [&](unsigned char c) { return starts_[c]; }) - rest.begin());
        shown.append(rest.substr(0, plain));
        rest.remove_prefix(plain);
        if (rest.empty()) break;
        // A longer one may still be coming: it is looked for before a shorter one is believed.
        if (std::ranges::any_of(secrets_, may_begin_secret)) {
            held_ = rest;
            break;
        }
        const auto found = std::ranges::find_if(secrets_, begins_secret);
        if (found == secrets_.end()) {
            shown.push_back(rest.front());
            rest.remove_prefix(1);
        } else {
            shown.append(kStars);
            rest.remove_prefix(found->size());
        }
    }
    return shown;
}

std::string Redactor::finish() {
    std::string shown;
    std::string_view rest = held_;
    while (!rest.empty()) {  // nothing longer comes any more
        const auto found = std::ranges::find_if(
            secrets_, [&](const std::string& secret) { return rest.starts_with(secret); });
        const bool is_secret = found != secrets_.end();
        shown.append(is_secret ? kStars : rest.substr(0, 1));
        rest.remove_prefix(is_secret ? found->size() : 1);
    }
    held_.clear();
    return shown;
}

}  // namespace shale::build

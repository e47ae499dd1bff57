// The grammar is ambiguous to a naive splitter: commas separate challenges, parameters of one
// challenge, and the actions inside a quoted scope. A word followed by '=' is a parameter of the
// current challenge; a word that is not begins the next one.
#include "challenge.hpp"

#include <algorithm>
#include <set>

namespace shale::registry {
namespace {

constexpr std::size_t kMaxHeader = 16 << 10;
constexpr std::size_t kMaxChallenges = 16;

class Scanner {
  public:
    explicit Scanner(std::string_view text) : text_(text.substr(0, kMaxHeader)) {}

    bool at_end() const { return at_ >= text_.size(); }
    void skip(std::string_view characters) {
        while (!at_end() && characters.find(text_[at_]) != std::string_view::npos)
            ++at_;
    }
    bool accept(char c) {
        if (at_end() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    std::string lower_token() {
        std::string out = token();
        for (char& c : out)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        return out;
    }
    std::string value() { return accept('"') ? quoted() : token(); }
    void advance() { ++at_; }

  private:
    std::string token() {
        const std::size_t start = at_;
        while (!at_end() && std::string_view(" \t,=\"").find(text_[at_]) == std::string_view::npos)
            ++at_;
        return std::string(text_.substr(start, at_ - start));
    }
    std::string quoted() {
        std::string out;
        while (!at_end() && text_[at_] != '"') {
            if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
            out.push_back(text_[at_++]);
        }
        accept('"');
        return out;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

std::set<std::string> split(std::string_view text, char separator) {
    std::set<std::string> out;
    while (true) {
        const auto end = text.find(separator);
        if (const auto piece = text.substr(0, end); !piece.empty()) out.emplace(piece);
        if (end == std::string_view::npos) return out;
        text.remove_prefix(end + 1);
    }
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
    std::vector<Challenge> out;
    Scanner scanner(header);
    while (out.size() <= kMaxChallenges) {
        scanner.skip(" \t,");
        if (scanner.at_end()) break;
        std::string word = scanner.lower_token();
        scanner.skip(" \t");
        if (word.empty()) {
            scanner.advance();  // a stray '=' or '"'
        } else if (!scanner.accept('=')) {
            out.push_back({std::move(word), {}});
        } else {
            scanner.skip(" \t");
            std::string value = scanner.value();
            if (!out.empty()) out.back().parameters.emplace(std::move(word), std::move(value));
        }
    }
    return out;
}

std::vector<std::string> merge_scopes(const std::vector<std::string>& ours,
                                      std::string_view challenged) {
    std::map<std::string, std::set<std::string>> actions;  // by "repository:name"
    std::set<std::string> scopes = split(challenged, ' ');
    scopes.insert(ours.begin(), ours.end());
    for (const auto& scope : scopes) {
        const auto colon = scope.rfind(':');
        if (colon == std::string::npos) continue;
        actions[scope.substr(0, colon)].merge(split(scope.substr(colon + 1), ','));
    }
    std::vector<std::string> out;
    for (const auto& [resource, wanted] : actions) {
        std::string list;
        for (const auto& action : wanted)
            list.append(list.empty() ? "" : ",").append(action);
        out.push_back(resource + ":" + list);
    }
    return out;
}

}  // namespace shale::registry

// Comma-separated options of RUN --mount and --device.
#include "mistake.hpp"
#include "mount_options.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::dockerfile {
namespace {

class CsvReader {
  public:
    CsvReader(std::string_view text, std::string_view what) : text_(text), what_(what) {}

    std::vector<std::string> fields() {
        std::vector<std::string> all;
        do {
            all.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted_field() : plain_field());
        } while (at_ < text_.size() && text_[at_++] == ',');
        return all;
    }

  private:
    std::string plain_field() {
        const std::size_t end = std::min(text_.find(',', at_), text_.size());
        const std::string_view field = text_.substr(at_, end - at_);
        if (const auto quote = field.find('"'); quote != std::string_view::npos)
            wrong(at_ + quote, "bare \" in non-quoted field");
        at_ = end;
        return std::string(field);
    }

    std::string quoted_field() {
        std::string field;
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] != '"') {
                field.push_back(text_[at_]);
                continue;
            }
            ++at_;
            if (at_ == text_.size() || text_[at_] == ',') return field;
            if (text_[at_] != '"') wrong(at_ - 1, "extraneous or missing \" in quoted-field");
            field.push_back('"');
        }
        wrong(at_, "extraneous or missing \" in quoted-field");
    }

    [[noreturn]] void wrong(std::size_t at, std::string_view why) const {
        reject(fmt::format("failed to parse csv {}: parse error on line 1, column {}: {}", what_,
                           at + 1, why));
    }

    std::string_view text_;
    std::string_view what_;
    std::size_t at_ = 0;
};

}  // namespace

std::vector<std::string> split_csv(std::string_view text, std::string_view what) {
    return CsvReader(text, what).fields();
}

}  // namespace shale::dockerfile

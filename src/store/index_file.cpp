// Cuts index.json into raw descriptors and puts it together again.
//
// The cutter knows just enough JSON to find where a value ends; what a descriptor means is decided
// by oci::decode_index, which is given one descriptor at a time so that a single odd one (another
// digest algorithm, a future media type with odd members) does not hide all tags of the store.
#include "index_file.hpp"

#include <algorithm>

namespace shale::store {

namespace {

constexpr std::size_t kMaxDepth = 64;

// Cuts values out of a JSON text without interpreting them.
class JsonCutter {
  public:
    explicit JsonCutter(std::string_view text) : text_(text) {}

    // Calls `use(raw key, raw value)` for every member of the object that is the whole text.
    template <typename Use>
    void members(Use&& use) {
        expect('{');
        if (!accept('}')) do {
                const std::string_view key = string();
                expect(':');
                use(key, value());
            } while (more('}'));
        end();
    }
    // Calls `use(raw element)` for every element of the array that is the whole text.
    template <typename Use>
    void elements(Use&& use) {
        expect('[');
        if (!accept(']')) do
                use(value());
            while (more(']'));
        end();
    }

  private:
    [[noreturn]] void corrupt(const std::string& why) const {
        fail(ErrorKind::Corrupt, "malformed JSON at offset " + std::to_string(at_) + ": " + why);
    }
    void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
    char peek() {
        skip_space();
        if (at_ == text_.size()) corrupt("it ends early");
        return text_[at_];
    }
    bool accept(char wanted) {
        if (peek() != wanted) return false;
        ++at_;
        return true;
    }
    void expect(char wanted) {
        if (!accept(wanted)) corrupt(std::string("expected '") + wanted + "'");
    }
    bool more(char close) {
        if (accept(close)) return false;
        expect(',');
        return true;
    }
    void end() {
        skip_space();
        if (at_ != text_.size()) corrupt("text after the end");
    }
    std::string_view string() {
        if (peek() != '"') corrupt("expected a string");
        const std::size_t begin = at_++;
        while (at_ < text_.size() && text_[at_] != '"')
            at_ += text_[at_] == '\\' ? 2 : 1;
        if (at_ >= text_.size()) corrupt("a string does not end");
        return text_.substr(begin, ++at_ - begin);
    }
    std::string_view value() {
        const char first = peek();
        if (first == '"') return string();
        if (first == '{' || first == '[') return nested();
        const std::size_t begin = at_;
        at_ = std::min(text_.find_first_of(" \t\r\n,]}:[{\"", at_), text_.size());
        if (at_ == begin) corrupt("expected a value");
        return text_.substr(begin, at_ - begin);
    }
    std::string_view nested() {
        const std::size_t begin = at_;
        std::string closers;
        do {
            const char here = peek();
            if (here == '"') {
                string();
                continue;
            }
            if (here == '{' || here == '[') closers.push_back(here == '{' ? '}' : ']');
            if (closers.size() > kMaxDepth) corrupt("nested too deep");
            if (here == '}' || here == ']') {
                if (closers.back() != here) corrupt("brackets do not match");
                closers.pop_back();
            }
            ++at_;
        } while (!closers.empty());
        return text_.substr(begin, at_ - begin);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

std::optional<oci::Reference> parse_name(const std::string& text) {
    try {
        return oci::Reference::parse(text);
    } catch (const Error&) {  // a name in another tool's style names nothing of ours
        return std::nullopt;
    }
}

// Two annotations may name an image. ref.name is what tools address and rewrite, so it decides;
// io.containerd.image.name completes it where it agrees, because BuildKit puts only the tag into
// ref.name. It disagrees where umoci copied a descriptor to a new ref.name, and is all that is left
// where skopeo gave the name to another descriptor.
std::optional<oci::Reference> name_of(const oci::Annotations& annotations) {
    const auto ref_name = annotations.find(std::string(kRefNameKey));
    if (ref_name == annotations.end()) return std::nullopt;
    const std::string& name = ref_name->second;
    const auto full_name = annotations.find(std::string(kContainerdNameKey));
    if (full_name != annotations.end()) {
        const auto full = parse_name(full_name->second);
        if (full && (name == full->familiar() || name == full->str() || name == full->tag))
            return full;
    }
    return parse_name(name);
}

IndexFile::Item make_item(std::string_view json) {
    IndexFile::Item item{std::string(json), std::nullopt, std::nullopt, false};
    try {
        const oci::Index index =
            oci::decode_index(R"({"schemaVersion":2,"manifests":[)" + item.json + "]}");
        if (index.manifests.size() == 1) item.descriptor = index.manifests.front();
    } catch (const Error&) {  // not a descriptor that we can use: carried along as it is
        return item;
    }
    if (!item.descriptor) return item;
    const auto& annotations = item.descriptor->annotations;
    item.name = name_of(annotations);
    // A tool that gave it a name meanwhile may have left our mark behind.
    item.unnamed = annotations.count(std::string(kUnnamedKey)) != 0 &&
                   annotations.count(std::string(kRefNameKey)) == 0;
    return item;
}

auto is_unnamed(const Digest& manifest) {
    return [&manifest](const IndexFile::Item& item) {
        return item.unnamed && item.descriptor->digest == manifest;
    };
}

std::string encode_descriptor(const oci::Descriptor& descriptor) {
    oci::Index index;
    index.manifests.push_back(descriptor);
    std::string json;
    JsonCutter(json_member(oci::encode(index), "manifests").value())
        .elements([&](std::string_view element) { json = element; });
    return json;
}

}  // namespace

std::optional<std::string> json_member(std::string_view text, std::string_view key) {
    const std::string raw_key = '"' + std::string(key) + '"';
    std::optional<std::string> result;
    JsonCutter(text).members([&](std::string_view name, std::string_view value) {
        if (name == raw_key) result = value;
    });
    return result;
}

IndexFile IndexFile::parse(std::string_view text) {
    IndexFile file;
    bool has_manifests = false;
    JsonCutter(text).members([&](std::string_view key, std::string_view value) {
        if (key != R"("manifests")") {
            file.members_.emplace_back(key, value);
            return;
        }
        if (has_manifests) fail(ErrorKind::Corrupt, "two lists of manifests");
        has_manifests = true;
        if (value == "null") return;  // how Go writes an empty list
        JsonCutter(value).elements(
            [&](std::string_view element) { file.items_.push_back(make_item(element)); });
    });
    if (!has_manifests) fail(ErrorKind::Corrupt, "no list of manifests");
    return file;
}

IndexFile IndexFile::empty() {
    IndexFile file;
    file.members_ = {{R"("schemaVersion")", "2"},
                     {R"("mediaType")", '"' + std::string(oci::media::kIndex) + '"'}};
    return file;
}

std::string IndexFile::str() const {
    std::string text = "{";
    for (const auto& [key, value] : members_)
        text.append(key).append(":").append(value).append(",");
    text.append(R"("manifests":[)");
    for (const Item& item : items_) {
        if (&item != &items_.front()) text.push_back(',');
        text.append(item.json);
    }
    return text.append("]}");
}

void IndexFile::put(const oci::Reference& name, const oci::Descriptor& manifest) {
    oci::Descriptor named = manifest;
    named.annotations[std::string(kRefNameKey)] = name.familiar();
    named.annotations[std::string(kContainerdNameKey)] = name.str();
    Item item = make_item(encode_descriptor(named));
    // What we write must be found again under the same name.
    if (item.name != name) fail(ErrorKind::Invalid, "cannot tag as \"" + name.str() + '"');

    const auto first = std::find_if(items_.begin(), items_.end(),
                                    [&](const Item& other) { return other.name == name; });
    auto place = first - items_.begin();
    remove(name);
    const auto behind = items_.begin() + place;
    const auto dropped = std::count_if(items_.begin(), behind, is_unnamed(manifest.digest));
    std::erase_if(items_, is_unnamed(manifest.digest));
    place -= dropped;
    items_.insert(items_.begin() + place, std::move(item));
}

bool IndexFile::keep(const oci::Descriptor& manifest) {
    const bool known = std::any_of(items_.begin(), items_.end(), [&](const Item& item) {
        return (item.name || item.unnamed) && item.descriptor->digest == manifest.digest;
    });
    if (known) return false;
    oci::Descriptor marked = manifest;
    marked.annotations[std::string(kUnnamedKey)] = "true";
    items_.push_back(make_item(encode_descriptor(marked)));
    return true;
}

bool IndexFile::forget(const Digest& manifest) {
    return std::erase_if(items_, is_unnamed(manifest)) > 0;
}

bool IndexFile::remove(const oci::Reference& name) {
    return std::erase_if(items_, [&](const Item& item) { return item.name == name; }) > 0;
}

}  // namespace shale::store

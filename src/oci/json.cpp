// Bounded JSON. Documents come from registries and archives that nobody vouches for, so the limits
// are enforced while parsing, not afterwards: nesting (our own readers recurse), the number of
// values (a byte of text can become a hundred bytes of tree), and duplicate names (two readers that
// resolve them differently would see two different images behind one digest). The library itself
// rejects text that is not UTF-8 and numbers that overflow.
#include "json.hpp"

#include <limits>
#include <set>

namespace shale::oci {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxValues = 500'000;
constexpr std::size_t kMaxReasonLength = 300;

// Watches the parser go by; every value is reported before it is built.
class Bounds {
  public:
    explicit Bounds(std::string_view what) : what_(what) {}

    bool operator()(int depth, json::parse_event_t event, const json& value) {
        if (++events_ > kMaxEvents) refuse("too many values");
        if (event == json::parse_event_t::object_start ||
            event == json::parse_event_t::array_start) {
            if (depth >= kMaxDepth) refuse("nested too deeply");
            if (event == json::parse_event_t::object_start) names_.emplace_back();
        }
        if (event == json::parse_event_t::object_end) names_.pop_back();
        if (event == json::parse_event_t::key) check_name(value.get_ref<const std::string&>());
        return true;
    }

  private:
    // A member is two events, an array or object is two as well.
    static constexpr std::size_t kMaxEvents = 2 * kMaxValues;

    [[noreturn]] void refuse(const std::string& why) const {
        fail(ErrorKind::Corrupt, std::string(what_) + ": " + why);
    }
    void check_name(const std::string& name) {
        if (!names_.back().insert(name).second)
            refuse("duplicate member \"" + name.substr(0, kMaxReasonLength) + "\"");
    }

    std::string_view what_;
    std::size_t events_ = 0;
    std::vector<std::set<std::string>> names_;  // of the objects that are open now
};

const json& as_json(const void* value) {
    return *static_cast<const json*>(value);
}

}  // namespace

json parse_bounded(std::string_view text, std::string_view what) {
    try {
        return json::parse(text, Bounds(what));
    } catch (const json::exception& error) {
        // The library's own type must not leave this room.
        std::string_view reason = error.what();  // "[json.exception...] parse error at line 1, ..."
        if (const auto name_end = reason.find("] "); reason.starts_with("[json.exception."))
            reason.remove_prefix(name_end + 2);
        reason = reason.substr(0, kMaxReasonLength);
        fail(ErrorKind::Corrupt, std::string(what) + ": " + std::string(reason));
    }
}

std::string dump_text(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Json Json::parse(std::string_view text, std::string_view what) {
    auto document = std::make_shared<const json>(parse_bounded(text, what));
    const void* root = document.get();
    return Json(std::move(document), root, std::string(what) + ": ");
}

bool Json::is_object() const {
    return as_json(value_).is_object();
}
bool Json::is_array() const {
    return as_json(value_).is_array();
}
bool Json::is_string() const {
    return as_json(value_).is_string();
}

std::optional<Json> Json::find(const std::string& name) const {
    const json& object = as_json(value_);
    if (!object.is_object()) corrupt("not an object");
    const auto member = object.find(name);
    if (member == object.end() || member->is_null()) return std::nullopt;
    return Json(document_, &*member, where_ + (where_.ends_with(": ") ? "" : ".") + name);
}

std::vector<std::pair<std::string, Json>> Json::members() const {
    const json& object = as_json(value_);
    if (!object.is_object()) corrupt("not an object");
    std::vector<std::pair<std::string, Json>> out;
    const std::string prefix = where_.ends_with(": ") ? where_ : where_ + ".";
    for (const auto& [name, value] : object.items())
        out.emplace_back(name, Json(document_, &value, prefix + name));
    return out;
}

std::vector<Json> Json::items() const {
    const json& array = as_json(value_);
    std::vector<Json> out;
    if (array.is_null()) return out;
    if (!array.is_array()) corrupt("not an array");
    out.reserve(array.size());
    for (const auto& item : array)
        out.push_back(Json(document_, &item, where_ + "[" + std::to_string(out.size()) + "]"));
    return out;
}

std::string Json::string() const {
    if (!is_string()) corrupt("not a string");
    return as_json(value_).get<std::string>();
}

std::int64_t Json::integer() const {
    const json& number = as_json(value_);
    const bool too_large = number.is_number_unsigned() &&
                           number.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max();
    if (!number.is_number_integer() || too_large) corrupt("not a whole number of 64 bits");
    return number.get<std::int64_t>();
}

bool Json::boolean() const {
    if (!as_json(value_).is_boolean()) corrupt("neither true nor false");
    return as_json(value_).get<bool>();
}

std::string Json::dump() const {
    return dump_text(as_json(value_));
}

void Json::corrupt(std::string_view why) const {
    std::string message = where_.substr(0, kMaxReasonLength);
    if (!message.ends_with(": ")) message += ": ";
    fail(ErrorKind::Corrupt, message.append(why));
}

std::string string_at(const Json& object, const std::string& name) {
    const auto member = object.find(name);
    return member ? member->string() : std::string();
}

std::vector<std::string> strings_at(const Json& object, const std::string& name) {
    std::vector<std::string> out;
    if (const auto member = object.find(name))
        for (const auto& item : member->items())
            out.push_back(item.string());
    return out;
}

std::map<std::string, std::string> string_map_at(const Json& object, const std::string& name) {
    std::map<std::string, std::string> out;
    if (const auto member = object.find(name))
        for (const auto& [key, value] : member->members())
            out.emplace(key, value.string());
    return out;
}

bool boolean_at(const Json& object, const std::string& name) {
    const auto member = object.find(name);
    return member && member->boolean();
}

std::int64_t integer_at(const Json& object, const std::string& name) {
    const auto member = object.find(name);
    return member ? member->integer() : 0;
}

Json required(const Json& object, const std::string& name) {
    if (auto member = object.find(name)) return *std::move(member);
    object.corrupt(name + " is missing");
}

Digest digest_of(const Json& value) {
    const std::string text = value.string();
    try {
        return Digest::parse(text);
    } catch (const Error& error) {
        // What is Invalid from a user is Corrupt in a document; Unsupported stays what it is.
        if (error.kind() == ErrorKind::Invalid) value.corrupt("not a sha256 digest");
        throw;
    }
}

}  // namespace shale::oci

// Reading RUN --mount.
//
// A mount is read twice: by parse(), which knows no variables and reports what is wrong anyway, and
// by expand_mount() when the instruction is about to run. Both go through MountReader, which checks
// options in the order they are written, because `required` and `size` are judged against the type
// seen so far.
#include "mount_options.hpp"

#include "characters.hpp"
#include "mistake.hpp"

#include <shale/base.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace shale::dockerfile {
namespace {

const std::vector<std::string> kKeys = {
    "type", "from", "source", "target", "readonly",    "id", "sharing", "required",  "size", "mode",
    "uid",  "gid",  "src",    "dst",    "destination", "ro", "rw",      "readwrite", "env"};
const std::vector<std::string> kTypes = {"bind", "cache", "tmpfs", "secret", "ssh"};
const std::vector<std::string> kSharing = {"shared", "private", "locked"};

bool is_unsigned(std::string_view text, int base) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

class MountReader {
  public:
    MountReader(std::string_view spec, const MountValue& value) : value_(value) {
        mount_.spec = spec;
    }

    Mount read() {
        for (const std::string& field : split_csv(mount_.spec, "mounts"))
            read_field(field);
        if (all_known_) check_type_rules();
        return std::move(mount_);
    }

  private:
    void read_field(const std::string& field) {
        const auto equals = field.find('=');
        const std::string key = lower(std::string_view(field).substr(0, equals));
        if (equals == std::string::npos) return read_bare(key, field);
        const std::string written = field.substr(equals + 1);
        if (key == "from") return read_from(written);
        if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end())
            reject("unexpected key '" + key + "' in '" + field + "'", suggest(key, kKeys));
        if (const auto value = value_(written))
            read_option(key, *value);
        else
            keep_unknown(key, written);
    }

    void read_bare(const std::string& key, const std::string& field) {
        if (key == "ro" || key == "readonly")
            mount_.read_only = true;
        else if (key == "rw" || key == "readwrite")
            mount_.read_only = false;
        else if (key == "required")
            set_required(true);
        else
            reject("invalid field '" + field + "' must be a key=value pair");
    }

    // A '$' that ends the value starts no variable.
    void read_from(const std::string& written) {
        const auto dollar = written.find('$');
        if (dollar != std::string::npos && dollar + 1 != written.size())
            reject("'from' doesn't support variable expansion, define alias stage instead");
        mount_.from = value_(written).value_or(written);
    }

    void read_option(const std::string& key, const std::string& value) {
        if (key == "type")
            set_type(value);
        else if (key == "readonly" || key == "ro")
            mount_.read_only = truth(key, value);
        else if (key == "readwrite" || key == "rw")
            mount_.read_only = !truth(key, value);
        else if (key == "required")
            set_required(truth(key, value));
        else if (key == "size")
            set_size(value);
        else if (key == "sharing")
            set_sharing(value);
        else if (key == "mode" || key == "uid" || key == "gid")
            set_number(key, value);
        else
            text_option(key) = value;
    }

    // The options that are plain text.
    std::string& text_option(std::string_view key) {
        if (key == "source" || key == "src") return mount_.source;
        if (key == "id") return mount_.id;
        if (key != "env") return mount_.target;
        mount_.has_env = true;
        return mount_.env;
    }

    void keep_unknown(const std::string& key, const std::string& written) {
        all_known_ = false;
        if (key == "type")
            type_known_ = false;
        else if (key == "size")
            mount_.size = written;
        else if (key == "sharing")
            mount_.sharing = written;
        else if (key == "mode" || key == "uid" || key == "gid")
            number(key) = written;
        else if (key != "required" && !key.starts_with('r'))  // not ro, rw and their long forms
            text_option(key) = written;
    }

    void set_type(const std::string& value) {
        const auto found = std::find(kTypes.begin(), kTypes.end(), lower(value));
        if (found == kTypes.end())
            reject("unsupported mount type " + quoted(value), suggest(value, kTypes));
        mount_.type = static_cast<MountType>(found - kTypes.begin());
        type_known_ = true;
    }

    bool is(MountType type) const { return mount_.type == type; }
    const std::string& type_name() const { return kTypes[static_cast<std::size_t>(mount_.type)]; }

    [[noreturn]] void reject_for_type(const std::string& key) const {
        reject("unexpected key '" + key + "' for mount type '" + type_name() + "'");
    }

    void set_required(bool value) {
        if (type_known_ && !is(MountType::Secret) && !is(MountType::Ssh))
            reject_for_type("required");
        mount_.required = value;
    }

    void set_size(const std::string& value) {
        if (type_known_ && !is(MountType::Tmpfs)) reject_for_type("size");
        if (!parse_size(value)) reject("invalid value for size: " + value);
        mount_.size = value;
    }

    void set_sharing(const std::string& value) {
        mount_.sharing = lower(value);
        if (std::find(kSharing.begin(), kSharing.end(), mount_.sharing) == kSharing.end())
            reject("unsupported sharing value " + quoted(value), suggest(value, kSharing));
    }

    std::optional<std::string>& number(std::string_view key) {
        return key == "mode" ? mount_.mode : key == "uid" ? mount_.uid : mount_.gid;
    }

    void set_number(const std::string& key, const std::string& value) {
        if (!is_unsigned(value, key == "mode" ? 8 : 10))
            reject("invalid value " + value + " for " + key);
        number(key) = value;
    }

    static bool truth(const std::string& key, const std::string& value) {
        const auto result = read_truth(value);
        if (!result) reject("invalid value for " + key + ": " + value);
        return *result;
    }

    void check_type_rules() const {
        const bool owned = is(MountType::Secret) || is(MountType::Ssh) || is(MountType::Cache);
        const auto refuse = [&](const std::string& key) {
            reject(key + " not allowed for " + quoted(type_name()) + " type mounts");
        };
        if (!owned && mount_.mode) refuse("mode");
        if (!owned && mount_.uid) refuse("uid");
        if (!owned && mount_.gid) refuse("gid");
        if (is(MountType::Secret)) check_secret();
        if (!mount_.sharing.empty() && !is(MountType::Cache))
            reject("invalid cache sharing set for " + type_name() + " mount");
        if (is(MountType::Ssh) && !mount_.source.empty()) reject("ssh does not support source");
        if (is(MountType::Secret) || is(MountType::Ssh)) return;
        // A relative target is below the working directory and known only to the build.
        if (mount_.target.starts_with('/') && clean_absolute_path(mount_.target) == "/")
            reject("invalid mount target " + quoted(mount_.target));
    }

    void check_secret() const {
        if (!mount_.from.empty()) reject("secret mount should not have a from");
        if (!mount_.sharing.empty()) reject("secret mount should not define sharing");
        if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty())
            reject("invalid secret mount. one of source, target required");
        if (!mount_.source.empty() && !mount_.id.empty()) reject("both source and id can't be set");
    }

    const MountValue& value_;
    Mount mount_;
    bool type_known_ = true;  // no type= means bind
    bool all_known_ = true;
};

}  // namespace

std::optional<bool> read_truth(std::string_view text) {
    constexpr std::array<std::string_view, 6> kTrue = {"1", "t", "T", "true", "TRUE", "True"};
    constexpr std::array<std::string_view, 6> kFalse = {"0", "f", "F", "false", "FALSE", "False"};
    if (std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end()) return true;
    if (std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end()) return false;
    return std::nullopt;
}

Mount read_mount(std::string_view spec, const MountValue& value) {
    return MountReader(spec, value).read();
}

Mount read_written_mount(std::string_view spec, char escape) {
    const std::string special = std::string("$'\"") + escape;
    return read_mount(spec, [&](std::string_view written) -> std::optional<std::string> {
        if (written.find_first_of(special) != std::string_view::npos) return std::nullopt;
        return std::string(written);
    });
}

Mount expand_mount(const Mount& written, const Lookup& lookup, char escape) {
    try {
        return read_mount(written.spec, [&](std::string_view value) {
            return std::optional(expand(value, lookup, escape));
        });
    } catch (const Mistake& mistake) {
        fail(ErrorKind::Invalid, message({Severity::Error, {}, mistake.text, mistake.hint, {}}));
    }
}

}  // namespace shale::dockerfile

#include "sbom_packages.hpp"

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/oci.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace shale::build {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFieldBytes = 4096;

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kBlank = " \t\r";
    const auto first = text.find_first_not_of(kBlank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string_view take_line(std::string_view& text) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

using Fields = std::map<std::string, std::string, std::less<>>;

// The next paragraph of "Name: value" lines. Lines that continue a field are left out: no field
// that matters here has any. False at the end.
bool next_paragraph(std::string_view& text, Fields& fields) {
    fields.clear();
    while (!text.empty()) {
        const auto line = take_line(text);
        if (trimmed(line).empty()) {
            if (!fields.empty()) return true;
            continue;
        }
        const auto colon = line.find(':');
        if (line.front() == ' ' || line.front() == '\t' || colon == std::string_view::npos)
            continue;
        const auto value = trimmed(line.substr(colon + 1));
        if (value.size() <= kMaxFieldBytes)
            fields.try_emplace(std::string(line.substr(0, colon)), value);
    }
    return !fields.empty();
}

std::string field(const Fields& fields, std::string_view name) {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string() : found->second;
}

bool is_complete(const Package& package) {
    return !package.name.empty() && !package.version.empty();
}

std::string encoded(std::string_view text) {
    std::string out;
    constexpr char kHex[] = "0123456789ABCDEF";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
                              c == '~' || c == ':';
        if (is_plain)
            out += c;
        else
            (out += '%').append({kHex[byte >> 4], kHex[byte & 15]});
    }
    return out;
}

std::string spdx_id(const Package& package) {
    const auto all = package_url(package) + "\n" + package.source;
    return "SPDXRef-Package-" + package.kind + "-" + codec::sha256(all).short_hex();
}

json package_json(const Package& package) {
    json out{{"SPDXID", spdx_id(package)},
             {"name", package.name},
             {"versionInfo", package.version},
             {"downloadLocation", "NOASSERTION"},
             {"filesAnalyzed", false},
             {"licenseConcluded", "NOASSERTION"},
             {"licenseDeclared", "NOASSERTION"},
             {"copyrightText", "NOASSERTION"},
             {"sourceInfo", "listed in /" + package.source},
             {"externalRefs",
              {{{"referenceCategory", "PACKAGE-MANAGER"},
                {"referenceType", "purl"},
                {"referenceLocator", package_url(package)}}}}};
    // In words: databases have more spellings of licenses than SPDX.
    if (!package.license.empty()) out["licenseComments"] = "listed as " + package.license;
    return out;
}

}  // namespace

std::string package_url(const Package& package) {
    std::string out = "pkg:" + package.kind + "/";
    if (!package.origin.empty()) out += encoded(package.origin) + "/";
    // A scope of npm is a namespace; everything else is one component.
    const auto slash = package.kind == "npm" ? package.name.find('/') : std::string::npos;
    if (slash != std::string::npos)
        out +=
            encoded(package.name.substr(0, slash)) + "/" + encoded(package.name.substr(slash + 1));
    else
        out += encoded(package.name);
    out += "@" + encoded(package.version);
    if (!package.architecture.empty()) out += "?arch=" + encoded(package.architecture);
    return out;
}

// It is repeated for each package.
constexpr std::size_t kMaxDistributionBytes = 64;

std::string distribution_of(std::string_view os_release) {
    while (!os_release.empty()) {
        auto line = trimmed(take_line(os_release));
        if (!line.starts_with("ID=")) continue;
        line.remove_prefix(3);
        if (line.size() > 1 && (line.front() == '"' || line.front() == '\'') &&
            line.back() == line.front())
            line = line.substr(1, line.size() - 2);
        return line.size() <= kMaxDistributionBytes ? std::string(line) : std::string();
    }
    return {};
}

std::vector<Package> packages_of_dpkg(std::string_view status, const std::string& source,
                                      const std::string& distribution) {
    std::vector<Package> packages;
    Fields fields;
    while (packages.size() < kMaxPackages && next_paragraph(status, fields)) {
        // Of "want flag state" only the state counts; a file of status.d has no such field.
        const auto state = field(fields, "Status");
        if (!state.empty() && !state.ends_with(" installed")) continue;
        Package package{"deb",
                        field(fields, "Package"),
                        field(fields, "Version"),
                        field(fields, "Architecture"),
                        {},
                        distribution,
                        source};
        if (is_complete(package)) packages.push_back(std::move(package));
    }
    return packages;
}

std::vector<Package> packages_of_apk(std::string_view installed, const std::string& source,
                                     const std::string& distribution) {
    std::vector<Package> packages;
    Fields fields;
    while (packages.size() < kMaxPackages && next_paragraph(installed, fields)) {
        Package package{"apk",
                        field(fields, "P"),
                        field(fields, "V"),
                        field(fields, "A"),
                        field(fields, "L"),
                        distribution,
                        source};
        if (is_complete(package)) packages.push_back(std::move(package));
    }
    return packages;
}

std::optional<Package> package_of_npm(std::string_view package_json, const std::string& source) {
    try {
        const auto document = oci::Json::parse(package_json, source);
        const auto text = [&](const char* name) {
            const auto member = document.find(name);
            return member && member->is_string() ? member->string() : std::string();
        };
        Package package{"npm", text("name"), text("version"), {}, text("license"), {}, source};
        if (is_complete(package) && package.name.size() <= kMaxFieldBytes &&
            package.version.size() <= kMaxFieldBytes && package.license.size() <= kMaxFieldBytes)
            return package;
    } catch (const Error&) {  // not what it is called
    }
    return std::nullopt;
}

std::optional<Package> package_of_python(std::string_view metadata, const std::string& source) {
    Fields fields;  // the headers; a description may follow them
    if (!next_paragraph(metadata, fields)) return std::nullopt;
    Package package{"pypi", field(fields, "Name"),    field(fields, "Version"),
                    {},     field(fields, "License"), {},
                    source};
    // The one spelling that package URLs know.
    for (char& c : package.name)
        c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return is_complete(package) ? std::optional(std::move(package)) : std::nullopt;
}

PackageFile package_file(std::string_view path) {
    if (path == "var/lib/dpkg/status") return PackageFile::DpkgStatus;
    constexpr std::string_view kStatusDirectory = "var/lib/dpkg/status.d/";
    if (path.starts_with(kStatusDirectory) && !path.ends_with(".md5sums"))
        return PackageFile::DpkgStatus;
    if (path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed")
        return PackageFile::ApkInstalled;
    if (path.ends_with(".dist-info/METADATA") || path.ends_with(".egg-info/PKG-INFO") ||
        (path.ends_with(".egg-info") && path.find("-packages/") != std::string_view::npos))
        return PackageFile::PythonMetadata;
    // node_modules/NAME/package.json or node_modules/@SCOPE/NAME/package.json: no other is an
    // installed package.
    constexpr std::string_view kFile = "/package.json", kModules = "node_modules/";
    if (!path.ends_with(kFile)) return PackageFile::None;
    auto directory = path.substr(0, path.size() - kFile.size());
    const auto modules = directory.rfind(kModules);
    if (modules == std::string_view::npos || (modules > 0 && directory[modules - 1] != '/'))
        return PackageFile::None;
    directory.remove_prefix(modules + kModules.size());
    const auto slashes = std::count(directory.begin(), directory.end(), '/');
    return slashes == (directory.starts_with('@') ? 1 : 0) ? PackageFile::NpmPackage
                                                           : PackageFile::None;
}

std::string spdx_document(const std::string& name, std::int64_t created_ns,
                          std::vector<Package> packages) {
    std::sort(packages.begin(), packages.end());
    packages.erase(std::unique(packages.begin(), packages.end()), packages.end());
    constexpr const char* kRoot = "SPDXRef-DocumentRoot";
    json list = json::array({{{"SPDXID", kRoot},
                              {"name", name},
                              {"downloadLocation", "NOASSERTION"},
                              {"filesAnalyzed", false},
                              {"primaryPackagePurpose", "CONTAINER"}}});
    json relations = json::array({{{"spdxElementId", "SPDXRef-DOCUMENT"},
                                   {"relationshipType", "DESCRIBES"},
                                   {"relatedSpdxElement", kRoot}}});
    for (const auto& package : packages) {
        list.push_back(package_json(package));
        relations.push_back({{"spdxElementId", kRoot},
                             {"relationshipType", "CONTAINS"},
                             {"relatedSpdxElement", spdx_id(package)}});
    }
    // A document's name in the world is made of what is in it.
    const auto contents = list.dump(-1, ' ', false, json::error_handler_t::replace);
    const json document{
        {"spdxVersion", "SPDX-2.3"},
        {"dataLicense", "CC0-1.0"},
        {"SPDXID", "SPDXRef-DOCUMENT"},
        {"name", name},
        {"documentNamespace", "https://shale.dev/spdx/" + codec::sha256(contents).hex()},
        {"creationInfo",
         {{"created", format_rfc3339(created_ns / kNsPerSecond * kNsPerSecond)},
          {"creators", {"Tool: shale"}}}},
        {"packages", std::move(list)},
        {"relationships", std::move(relations)}};
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace shale::build

// Which packages a root file system holds, read from what package managers leave behind. Nothing is
// run, nothing is guessed from names of files: what no database lists is not found.
//
// The files come from whoever made the image. What cannot be read as what it claims to be is left
// out; sizes and counts have bounds.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

struct Package {
    std::string kind;  // of a package URL: deb, apk, npm, pypi
    std::string name, version, architecture;
    std::string license;  // as the database has it; may be empty
    std::string origin;   // of the distribution: debian, ubuntu, alpine; may be empty
    std::string source;   // the file that lists it, without a slash at its start
    auto operator<=>(const Package&) const = default;
};

// "pkg:deb/debian/bash@5.2?arch=amd64".
std::string package_url(const Package& package);

// The value of ID= in /etc/os-release; empty if there is none.
std::string distribution_of(std::string_view os_release);

// What each kind of file lists. `source` goes into every package.
std::vector<Package> packages_of_dpkg(std::string_view status, const std::string& source,
                                      const std::string& distribution);
std::vector<Package> packages_of_apk(std::string_view installed, const std::string& source,
                                     const std::string& distribution);
std::optional<Package> package_of_npm(std::string_view package_json, const std::string& source);
std::optional<Package> package_of_python(std::string_view metadata, const std::string& source);

// The files of a tree that list packages.
enum class PackageFile { None, DpkgStatus, ApkInstalled, NpmPackage, PythonMetadata };
PackageFile package_file(std::string_view path);

inline constexpr std::size_t kMaxPackages = 100'000;
inline constexpr std::size_t kMaxPackageFileBytes = 64u << 20;

// An SPDX 2.3 document in JSON. `name` is what was scanned; `created_ns` goes into it, and all
// packages, sorted, each once.
std::string spdx_document(const std::string& name, std::int64_t created_ns,
                          std::vector<Package> packages);

}  // namespace shale::build

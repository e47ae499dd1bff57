// What package managers leave behind, and what only looks like it.
#include "sbom_packages.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace shale::build {
namespace {

TEST(PackageFiles, AreFoundByPathAlone) {
    const std::pair<const char*, PackageFile> kCases[] = {
        {"var/lib/dpkg/status", PackageFile::DpkgStatus},
        {"var/lib/dpkg/status-old", PackageFile::None},
        {"var/lib/dpkg/status.d/base", PackageFile::DpkgStatus},
        {"var/lib/dpkg/status.d/base.md5sums", PackageFile::None},
        {"lib/apk/db/installed", PackageFile::ApkInstalled},
        {"app/node_modules/a/package.json", PackageFile::NpmPackage},
        {"node_modules/@s/a/package.json", PackageFile::NpmPackage},
        {"node_modules/a/lib/package.json", PackageFile::None},
        {"node_modules/@s/package.json", PackageFile::None},
        {"not_node_modules/a/package.json", PackageFile::None},
        {"app/package.json", PackageFile::None},
        {"node_modules/a/node_modules/b/package.json", PackageFile::NpmPackage},
        {"usr/lib/python3/dist-packages/x-1.dist-info/METADATA", PackageFile::PythonMetadata},
        {"usr/lib/python3/dist-packages/x.egg-info/PKG-INFO", PackageFile::PythonMetadata},
        {"usr/lib/python3/dist-packages/x.egg-info", PackageFile::PythonMetadata},
        {"home/x.egg-info", PackageFile::None},
    };
    for (const auto& [path, kind] : kCases)
        EXPECT_EQ(package_file(path), kind) << path;
}

TEST(PackageFiles, DpkgListsWhatIsInstalled) {
    const auto found =
        packages_of_dpkg("Package: a\nStatus: install ok installed\nVersion: 1:2~3\n"
                         "Architecture: all\nDescription: x\n more: lines\n\n\n"
                         "Package: b\nStatus: deinstall ok config-files\nVersion: 1\n"
                         "\nPackage: c\nVersion: 2",
                         "var/lib/dpkg/status", "debian");
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(package_url(found[0]), "pkg:deb/debian/a@1:2~3?arch=all");
    EXPECT_EQ(package_url(found[1]), "pkg:deb/debian/c@2");
}

TEST(PackageFiles, ApkListsPackages) {
    const auto found =
        packages_of_apk("C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\nP:only-a-name"
                        "\n\n",
                        "lib/apk/db/installed", "alpine");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(package_url(found[0]), "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64");
    EXPECT_EQ(found[0].license, "MIT");
}

TEST(PackageFiles, NpmAndPythonDescribeOneEach) {
    const auto npm = package_of_npm(R"({"name":"@s/a","version":"1.0.0","license":"ISC"})", "f");
    ASSERT_TRUE(npm);
    EXPECT_EQ(package_url(*npm), "pkg:npm/%40s/a@1.0.0");
    for (const char* text : {"", "[]", "{", R"({"name":"a"})", R"({"name":1,"version":"1"})"})
        EXPECT_FALSE(package_of_npm(text, "f")) << text;
    const auto python = package_of_python("Metadata-Version: 2.1\nName: Typing_Extensions\n"
                                          "Version: 4.4.0\n\nName: not this\n",
                                          "f");
    ASSERT_TRUE(python);
    EXPECT_EQ(package_url(*python), "pkg:pypi/typing-extensions@4.4.0");
    EXPECT_FALSE(package_of_python("nothing here", "f"));
}

TEST(PackageFiles, ReleasesNameTheDistribution) {
    EXPECT_EQ(distribution_of("NAME=x\nID=debian\n"), "debian");
    EXPECT_EQ(distribution_of("ID=\"alpine\""), "alpine");
    EXPECT_EQ(distribution_of("VERSION_ID=1\n"), "");
    EXPECT_EQ(distribution_of("ID=" + std::string(65, 'x') + "\n"), "") << "it is in every URL";
}

TEST(Spdx, IsTheSameForTheSamePackagesInAnyOrder) {
    const Package a{"deb", "a", "1", "", "", "debian", "s"}, b{"npm", "b", "2", "", "", "", "t"};
    const auto text = spdx_document("sbom", 1'600'000'000'123'456'789, {a, b});
    EXPECT_EQ(text, spdx_document("sbom", 1'600'000'000'123'456'789, {b, a, b}));
    const auto document = nlohmann::json::parse(text);
    EXPECT_EQ(document["creationInfo"]["created"], "2020-09-13T12:26:40Z");
    EXPECT_EQ(document["packages"].size(), 3u);
    EXPECT_EQ(document["relationships"].size(), 3u);
    // Every element that is related exists.
    std::set<std::string> ids{"SPDXRef-DOCUMENT"};
    for (const auto& package : document["packages"])
        EXPECT_TRUE(ids.insert(package["SPDXID"]).second);
    for (const auto& relation : document["relationships"])
        EXPECT_TRUE(ids.contains(relation["relatedSpdxElement"]));
}

}  // namespace
}  // namespace shale::build

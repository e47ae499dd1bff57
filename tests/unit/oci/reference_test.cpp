// Image references: what is accepted, what it means, and what is refused.
#include <shale/oci.hpp>

#include <gtest/gtest.h>

namespace shale::oci {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

struct Accepted {
    std::string text, canonical, familiar;
};

void PrintTo(const Accepted& c, std::ostream* out) {
    *out << c.text;
}

class AcceptedReference : public testing::TestWithParam<Accepted> {};

TEST_P(AcceptedReference, IsReadInFull) {
    const auto& c = GetParam();
    const auto reference = Reference::parse(c.text);
    EXPECT_EQ(reference.str(), c.canonical);
    EXPECT_EQ(reference.familiar(), c.familiar);
    EXPECT_EQ(Reference::parse(reference.str()), reference) << "the long form reads back";
    EXPECT_EQ(Reference::parse(reference.familiar()), reference) << "the short form reads back";
}

INSTANTIATE_TEST_SUITE_P(
    Reference, AcceptedReference,
    testing::Values(
        Accepted{"node", "docker.io/library/node:latest", "node:latest"},
        Accepted{"node:18", "docker.io/library/node:18", "node:18"},
        Accepted{"team/app:1.0_rc-1", "docker.io/team/app:1.0_rc-1", "team/app:1.0_rc-1"},
        Accepted{"docker.io/node", "docker.io/library/node:latest", "node:latest"},
        Accepted{"index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"},
        Accepted{"library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"},
        Accepted{"index.docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"},
        Accepted{"localhost/x", "localhost/x:latest", "localhost/x:latest"},
        Accepted{"localhost:5000/x:t", "localhost:5000/x:t", "localhost:5000/x:t"},
        Accepted{"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
        Accepted{"127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest",
                 "127.0.0.1:5000/a/b/c:latest"},
        Accepted{"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"},
        Accepted{"[2001:db8::1]/x:t", "[2001:db8::1]/x:t", "[2001:db8::1]/x:t"},
        Accepted{"Host/x", "Host/x:latest", "Host/x:latest"},
        Accepted{"ghcr.io/o/a__b.c---d", "ghcr.io/o/a__b.c---d:latest",
                 "ghcr.io/o/a__b.c---d:latest"},
        Accepted{"x@" + kDigest, "docker.io/library/x@" + kDigest, "x@" + kDigest},
        Accepted{"x:1@" + kDigest, "docker.io/library/x:1@" + kDigest, "x:1@" + kDigest},
        Accepted{"a/b:" + std::string(128, 't'), "docker.io/a/b:" + std::string(128, 't'),
                 "a/b:" + std::string(128, 't')},
        Accepted{kHex + ":tag", "docker.io/library/" + kHex + ":tag", kHex + ":tag"}));

struct Refused {
    std::string text, message;
};

void PrintTo(const Refused& c, std::ostream* out) {
    *out << c.text.substr(0, 60);
}

class RefusedReference : public testing::TestWithParam<Refused> {};

TEST_P(RefusedReference, IsInvalidAndQuoted) {
    try {
        const auto reference = Reference::parse(GetParam().text);
        FAIL() << "accepted as " << reference.str();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid);
        EXPECT_EQ(std::string(error.what()), "invalid reference format" + GetParam().message);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Reference, RefusedReference,
    testing::Values(
        Refused{"", R"(: "")"}, Refused{"A:B:C", R"(: "A:B:C")"}, Refused{":1", R"(: ":1")"},
        Refused{"x:", R"(: "x:")"}, Refused{"x:-t", R"(: "x:-t")"}, Refused{"x y", R"(: "x y")"},
        Refused{"/x", R"(: "/x")"}, Refused{"a//b", R"(: "a//b")"}, Refused{"a/", R"(: "a/")"},
        Refused{"a/../b", R"(: "a/../b")"}, Refused{"-a/b", R"(: "-a/b")"},
        Refused{"a_-b", R"(: "a_-b")"}, Refused{"a___b", R"(: "a___b")"},
        Refused{"a..b", R"(: "a..b")"}, Refused{"a.b:x/c", R"(: "a.b:x/c")"},
        Refused{"a.b:/c", R"(: "a.b:/c")"}, Refused{"-h.io/c", R"(: "-h.io/c")"},
        Refused{"h..io/c", R"(: "h..io/c")"}, Refused{"[::1/x", R"(: "[::1/x")"},
        Refused{"[xyz]/x", R"(: "[xyz]/x")"}, Refused{"x\n", ": \"x\n\""},
        Refused{"x@sha256:12", R"(: invalid digest: "sha256:12")"},
        Refused{"x@", R"(: invalid digest: "")"},
        Refused{"x@" + kDigest + "@" + kDigest,
                ": invalid digest: \"" + kDigest + "@" + kDigest + "\""},
        Refused{"UPPER", R"(: "UPPER": repository name must be lowercase)"},
        Refused{"h.io/Up", R"(: "h.io/Up": repository name must be lowercase)"},
        Refused{kHex, ": \"" + kHex + "\": 64 hexadecimal digits cannot be a repository name"},
        Refused{"x:" + std::string(129, 't'), ": \"x:" + std::string(129, 't') + "\""}));

TEST(Reference, RepositoryNameLengthIsBounded) {
    const std::string longest = "h.io/" + std::string(255, 'a');
    EXPECT_EQ(Reference::parse(longest).repository.size(), 255u);
    EXPECT_THROW(Reference::parse(longest + "a"), Error);
}

TEST(Reference, HugeInputIsNotEchoedInFull) {
    try {
        Reference::parse(std::string(1 << 20, '!'));
        FAIL();
    } catch (const Error& error) {
        EXPECT_LT(std::string(error.what()).size(), 400u);
    }
}

TEST(Reference, DigestOfAnotherAlgorithmIsUnsupported) {
    try {
        Reference::parse("x@sha512:" + std::string(128, 'a'));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
    }
}

}  // namespace
}  // namespace shale::oci

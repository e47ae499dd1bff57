// What Dockerfiles and servers say about sources: git references, URLs, checksums, dates. A
// reference that is accepted must not be able to become an option or a refspec of git.
#include <shale/remote.hpp>

#include <cstdlib>

using namespace shale;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto form : {remote::ShortForm::Refused, remote::ShortForm::Accepted})
        try {
            const auto reference = remote::parse_git(text, form);
            if (!reference) continue;
            const auto& directory = reference->directory;
            const bool safe =
                !reference->ref.starts_with('-') && reference->ref.find(':') == std::string::npos &&
                !reference->remote.starts_with('-') && directory != ".." &&
                !directory.starts_with("../") && directory.find("/../") == std::string::npos &&
                !directory.starts_with('/');
            if (!safe) std::abort();
        } catch (const Error&) {
        }
    const auto name = remote::file_name(text);
    if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..")
        std::abort();
    remote::parse_http_date(text);
    try {
        if (remote::Checksum::parse(text).str() != text) std::abort();
    } catch (const Error&) {
    }
    try {
        const auto url = http::Url::parse(text, "fuzz");
        url.resolve(text);
    } catch (const Error&) {
    }
    return 0;
}

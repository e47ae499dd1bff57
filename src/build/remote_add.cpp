#include "remote_add.hpp"

#include <shale/remote.hpp>

namespace shale::build {
namespace {

RemoteOperand clone(Sources& sources, const dockerfile::Copy& add, remote::GitReference reference,
                    const std::string& checksum) {
    if (add.keep_git_dir && reference.keep_git_dir && *add.keep_git_dir != *reference.keep_git_dir)
        fail(ErrorKind::Invalid, "inconsistent keep-git-dir configuration");
    if (!checksum.empty() && !reference.commit.empty() && checksum != reference.commit)
        fail(ErrorKind::Invalid,
             "checksum mismatch \"" + checksum + "\" != \"" + reference.commit + "\"");
    if (!checksum.empty()) remote::expect_commit(reference, checksum);
    GitOptions options;
    options.keep_git_dir =
        add.keep_git_dir.value_or(false) || reference.keep_git_dir.value_or(false);
    options.times_of_commit = reference.times_of_commit;
    return {sources.git(reference, options), "", false};
}

}  // namespace

std::optional<RemoteOperand> fetch_operand(Sources& sources, const dockerfile::Copy& add,
                                           const std::string& source, const std::string& checksum) {
    if (!add.is_add) return std::nullopt;
    if (const auto reference = remote::parse_git(source))
        return clone(sources, add, *reference, checksum);
    if (!remote::is_http_url(source)) return std::nullopt;
    std::optional<remote::Checksum> wanted;
    if (!checksum.empty()) wanted = remote::Checksum::parse(checksum);
    const auto name = remote::file_name(source);
    return RemoteOperand{sources.download(source, name, wanted), name, add.unpack.value_or(false)};
}

}  // namespace shale::build

// What a build may show of the user's to those it fetches from: secrets with the names that
// builders have agreed on, and the ssh agent.
#pragma once

#include "sources.hpp"

#include <shale/build.hpp>
#include <shale/remote.hpp>

#include <string>

namespace shale::build {

// HTTP_AUTH_HEADER_<host> as it is, HTTP_AUTH_TOKEN_<host> as a bearer token; else empty.
std::string http_authorization(const Request& request, const std::string& url);

// GIT_AUTH_HEADER and GIT_AUTH_TOKEN, those with ".<host>" first; the agent that was forwarded as
// "default", or for a repository named on the command line, that of the user.
remote::GitAccess git_access(const Request& request, const remote::GitReference& reference,
                             NamedBy named_by);

}  // namespace shale::build

// Docker's config.json: where it is, what it calls a registry, which helper it names.
//
// The same registry is written in several ways (https://host/v1/, host), Docker Hub in more. A
// helper is a program of the user's, but its name comes from a file: it may only be a plain word,
// is found on $PATH as docker-credential-<word>, and no shell ever sees it.
#pragma once

#include <shale/oci.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shale::registry {

inline constexpr std::uint64_t kMaxConfigFile = 1 << 20;

// Of the environment; empty if it is not set.
std::string variable(const char* name);
std::string config_path();  // empty if there is no place for it
oci::Json read_json(const std::string& path);
std::optional<oci::Json> docker_config();  // nullopt if there is none

std::string host_of_server(std::string_view server);  // "docker.io" for all of Docker Hub's
std::string server_of(const std::string& domain);     // the key under which docker stores
bool is_of_a_part(std::string_view server);
std::string text_of(const oci::Json& object, const std::string& name);       // empty if absent
std::string helper_for(const oci::Json& config, const std::string& domain);  // empty: none

}  // namespace shale::registry

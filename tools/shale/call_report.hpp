// Answers to --check and --call as text for people and as JSON for programs. The JSON has the
// members that docker buildx prints, so that what reads it there reads it here.
#pragma once

#include <shale/build.hpp>

#include <string>

namespace shale::cli {

std::string check_text(const build::CheckResult& result);
std::string check_json(const build::CheckResult& result);
std::string targets_text(const std::vector<build::Target>& targets);
std::string targets_json(const std::vector<build::Target>& targets, const dockerfile::File& file);
std::string outline_text(const build::Outline& outline);
std::string outline_json(const build::Outline& outline, const dockerfile::File& file);
std::string methods_text();
std::string methods_json();

}  // namespace shale::cli

// The catalogue of lint rules. Names, descriptions and pages are those of Docker's build checks:
// people look them up there, and silence them by these names.
#include <shale/dockerfile.hpp>

#include <algorithm>
#include <iterator>

namespace shale::dockerfile {
namespace {

#define SHALE_RULE_PAGE "https://docs.docker.com/go/dockerfile/rule/"

constexpr Rule kRules[] = {
    {"ConsistentInstructionCasing",
     "All commands within the Dockerfile should use the same casing (either upper or lower)",
     SHALE_RULE_PAGE "consistent-instruction-casing/"},
    {"CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore",
     SHALE_RULE_PAGE "copy-ignored-file/"},
    {"DuplicateStageName", "Stage names should be unique", SHALE_RULE_PAGE "duplicate-stage-name/"},
    {"ExposeInvalidFormat",
     "IP address and host-port mapping should not be used in EXPOSE instruction. This will become "
     "an error in a future release",
     SHALE_RULE_PAGE "expose-invalid-format/"},
    {"ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase",
     SHALE_RULE_PAGE "expose-proto-casing/"},
    {"FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword",
     SHALE_RULE_PAGE "from-as-casing/"},
    {"FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value",
     SHALE_RULE_PAGE "from-platform-flag-const-disallowed/"},
    {"InvalidBaseImagePlatform", "Base image platform does not match expected target platform",
     SHALE_RULE_PAGE "invalid-base-image-platform/"},
    {"InvalidDefaultArgInFrom",
     "Default value for global ARG results in an empty or invalid base image name",
     SHALE_RULE_PAGE "invalid-default-arg-in-from/"},
    {"InvalidDefinitionDescription",
     "Comment for build stage or argument should follow the format: `# <arg/stage name> "
     "<description>`. If this is not intended to be a description comment, add an empty line or "
     "comment between the instruction and the comment.",
     SHALE_RULE_PAGE "invalid-definition-description/"},
    {"JSONArgsRecommended",
     "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS "
     "signals",
     SHALE_RULE_PAGE "json-args-recommended/"},
    {"LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used",
     SHALE_RULE_PAGE "legacy-key-value-format/"},
    {"MaintainerDeprecated",
     "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
     SHALE_RULE_PAGE "maintainer-deprecated/"},
    {"MultipleInstructionsDisallowed",
     "Multiple instructions of the same type should not be used in the same stage",
     SHALE_RULE_PAGE "multiple-instructions-disallowed/"},
    {"NoEmptyContinuation", "Empty continuation lines will become errors in a future release",
     SHALE_RULE_PAGE "no-empty-continuation/"},
    {"RedundantTargetPlatform",
     "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default "
     "behavior",
     SHALE_RULE_PAGE "redundant-target-platform/"},
    {"ReservedStageName", "Reserved words should not be used as stage names",
     SHALE_RULE_PAGE "reserved-stage-name/"},
    {"SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
     SHALE_RULE_PAGE "secrets-used-in-arg-or-env/"},
    {"StageNameCasing", "Stage names should be lowercase", SHALE_RULE_PAGE "stage-name-casing/"},
    {"UndefinedArgInFrom", "FROM command must use declared ARGs",
     SHALE_RULE_PAGE "undefined-arg-in-from/"},
    {"UndefinedVar", "Variables should be defined before their use",
     SHALE_RULE_PAGE "undefined-var/"},
    {"WorkdirRelativePath",
     "Relative workdir without an absolute workdir declared within the build can have unexpected "
     "results if the base image changes",
     SHALE_RULE_PAGE "workdir-relative-path/"},
};

}  // namespace

const Rule* find_rule(std::string_view name) {
    const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                     [&](const Rule& rule) { return rule.name == name; });
    return found == std::end(kRules) ? nullptr : found;
}

}  // namespace shale::dockerfile

// Progress of commands that copy images, for people who look on: nothing is shown where standard
// error is no terminal.
#pragma once

#include "console.hpp"
#include "progress.hpp"

#include <shale/build.hpp>
#include <shale/image_archive.hpp>

#include <unistd.h>

#include <memory>
#include <string>

namespace shale::cli {

// Calls `body` with an OnCopied. `activity` ("Saving") heads the display, `what` names its one
// line.
template <typename Body>
void with_copy_display(const std::string& activity, const std::string& what, bool quiet,
                       const Body& body) {
    const bool is_shown = !quiet && is_terminal(STDERR_FILENO);
    if (!is_shown) return body(build::OnCopied());
    const auto display = make_display(ProgressMode::Auto, activity);
    build::Tracker tracker(*display);
    tracker.run(what, [&](build::VertexId vertex) {
        body(
            build::OnCopied([&](const std::string& part, std::uint64_t bytes, std::uint64_t total) {
                display->status(vertex, part, bytes, total);
            }));
        return build::Outcome::Done;
    });
    display->close();
}

}  // namespace shale::cli

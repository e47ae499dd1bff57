// How the kernel tells of changes: two backends, one interface.
#pragma once

#include "dirty_set.hpp"

#include <memory>
#include <string>

namespace shale::watch {

class Notifier {
  public:
    virtual ~Notifier() = default;
    virtual int fd() const = 0;  // readable when there are events
    virtual std::string_view name() const = 0;
    // Puts all events there are into `into`. Never blocks.
    virtual void drain(DirtySet& into) = 0;
};

// `root_fd` is the directory, `root` its path without symbolic links; both outlive the notifier.
// nullptr if the kernel or a missing privilege forbids it.
std::unique_ptr<Notifier> create_fanotify(int root_fd, const std::string& root);
std::unique_ptr<Notifier> create_inotify(int root_fd, const std::string& root);

}  // namespace shale::watch

// A file that appears complete or not at all, written as a stream.
#pragma once

#include <shale/base.hpp>

#include <string>

namespace shale::cli {

// An anonymous file in `directory`: gone when closed, whatever kills the program.
UniqueFd anonymous_file(const std::string& directory);

// "-" is standard output; an existing device or pipe is written directly. Otherwise the bytes go to
// an anonymous file beside the target, and commit() gives it the name in one step.
class OutputFile {
  public:
    explicit OutputFile(const std::string& path);
    void write(Bytes bytes);
    void commit();
    bool is_stdout() const { return path_ == "-"; }

  private:
    void publish();

    std::string path_;
    UniqueFd fd_;
    bool direct_ = false;
};

}  // namespace shale::cli

// Contents, owners, attributes and times of extracted files, on a thread beside the one that makes
// their names. Names are made in the order of the archive, because each depends on what stands
// there; what a file holds and who owns it depends on nothing but its descriptor.
#pragma once

#include <shale/tar.hpp>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace shale::layer {

class FileFinisher {
  public:
    FileFinisher();
    ~FileFinisher();  // abandons what is left
    FileFinisher(const FileFinisher&) = delete;

    // A file that was just created, open for writing, and its whole content. May wait. Throws what
    // stopped an earlier one.
    void finish(UniqueFd file, tar::Member member, std::vector<std::byte> content);
    // Until all files are as they shall be. Throws what stopped one of them.
    void wait();

  private:
    struct Job {
        UniqueFd file;
        tar::Member member;
        std::vector<std::byte> content;
    };
    void run();
    void rethrow();

    std::mutex mutex_;  // guards all up to failure_
    std::condition_variable changed_;
    std::deque<Job> jobs_;
    std::size_t files_ = 0, bytes_ = 0;  // waiting or being written
    bool stopped_ = false;
    std::exception_ptr failure_;
    std::jthread thread_;  // last: joined before anything it uses goes
};

// All of a regular file but its name: content that is written already, or is empty, and the rest.
void finish_file(int file, const tar::Member& member);

}  // namespace shale::layer

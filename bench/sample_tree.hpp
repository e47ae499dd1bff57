// Inputs of the benchmarks: a directory with the shape of a package tree, from a fixed seed.
//
// Shape: 6 files per directory, sizes log-uniform from 64 bytes to 32 KB (median about 1.4 KB), 4
// levels deep. SHALE_BENCH_TREE names an existing directory to use instead.
#pragma once

#include <shale/base.hpp>

#include <fcntl.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>

namespace shale::bench {

class SampleTree {
  public:
    explicit SampleTree(unsigned files) {
        if (const char* given = std::getenv("SHALE_BENCH_TREE")) {
            path_ = given;
            return;
        }
        made_.emplace(TempDir::default_parent(), "shale-bench-");
        path_ = made_->path();
        std::mt19937 random(1);
        const std::string bytes(32 << 10, 'x');
        std::string directory;
        for (unsigned at = 0; at < files; ++at) {
            if (at % 6 == 0) {
                const unsigned number = at / 6;
                directory = path_ + "/p" + std::to_string(number % 40) + "/d" +
                            std::to_string(number / 40 % 40) + "/s" + std::to_string(number / 1600);
                make_directories(directory);
            }
            const double exponent = std::uniform_real_distribution<>(6, 15)(random);
            const auto size = static_cast<std::size_t>(std::exp2(exponent));
            const UniqueFd fd = open_file(directory + "/file" + std::to_string(at) + ".js",
                                          O_WRONLY | O_CREAT | O_TRUNC);
            write_all(fd.get(), as_bytes(std::string_view(bytes).substr(0, size)), directory);
        }
    }
    const std::string& path() const { return path_; }

  private:
    std::optional<TempDir> made_;
    std::string path_;
};

}  // namespace shale::bench

// Writes a directory tree to measure on, the same bytes on every machine for one seed.
//
//   small   200,000 files in 33,000 directories, the shape of node_modules: packages with lib, dist
//           and nested packages; median 1 KB, mean about 7 KB
//   mono    1,000,000 files in 60,000 directories, the shape of a large source repository; median
//           1 KB, mean about 2 KB
//   big     300 files of 1 to 60 MB, 3 GB in all: a third text, a third random, a third of both
//
// usage: make_tree small|mono|big DIR [--scale PERCENT] [--seed N]
//
// Sizes are log-normal with the medians and means that were counted in real trees. Text is made of
// words with a skewed distribution, so it compresses about as source code does, and every file
// begins with a line of its own, so no two files are equal.
#include <shale/base.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace shale;

struct Shape {
    std::string name;
    std::uint64_t files, directories;
    double median_bytes, sigma, largest_bytes;  // of the log-normal distribution
    unsigned depth;
};

const Shape kShapes[] = {{"small", 200'000, 33'000, 1000, 2.0, 3e6, 8},
                         {"mono", 1'000'000, 60'000, 1000, 1.15, 200e3, 10},
                         {"big", 300, 4, 8e6, 0.7, 60e6, 1}};

constexpr std::size_t kPoolBytes = 64 << 20;

const char* const kWords[] = {"const ", "function ", "return ",   "this.",  "value",   "index",
                              " = ",    "(",         ") {\n    ", "}\n",    "if (",    "module",
                              "error",  "string",    "length",    "items",  "config",  "=> ",
                              "null",   "undefined", "exports.",  "path",   "name",    "; ",
                              ", ",     "\n  ",      "['",        "']",     "options", "callback(",
                              "async ", "await ",    "import ",   "from '", "';\n",    "// "};

// Text to cut files from. Words come with falling probability, and rare identifiers in between.
std::string text_pool(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::geometric_distribution<std::size_t> rank(0.06);
    std::string pool;
    pool.reserve(kPoolBytes + 64);
    while (pool.size() < kPoolBytes) {
        const std::size_t at = rank(random);
        if (at < std::size(kWords))
            pool += kWords[at];
        else
            pool += "id" + std::to_string(random() % 5000) + " ";
    }
    return pool;
}

std::string random_pool(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string pool;
    pool.reserve(kPoolBytes + 8);
    while (pool.size() < kPoolBytes) {
        const std::uint64_t word = random();
        pool.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    return pool;
}

class TreeWriter {
  public:
    TreeWriter(Shape shape, std::string root, std::uint64_t seed)
        : shape_(std::move(shape)), root_(std::move(root)), seed_(seed), text_(text_pool(seed)) {
        if (shape_.name == "big") random_ = random_pool(seed + 1);
        make_all_directories();
    }

    void write(unsigned threads) {
        std::vector<std::jthread> workers;
        for (unsigned at = 0; at < threads; ++at)
            workers.emplace_back([this, at, threads] {
                for (std::uint64_t file = at; file < shape_.files; file += threads)
                    write_file(file);
            });
    }

  private:
    // Each directory hangs below a random earlier one that is not too deep.
    void make_all_directories() {
        std::mt19937_64 random(seed_);
        static const char* const kNames[] = {"lib", "dist", "src", "node_modules", "test", "util"};
        std::vector<unsigned> depths = {0};
        directories_ = {root_};
        make_directories(root_);
        while (directories_.size() < shape_.directories) {
            const std::size_t parent = random() % directories_.size();
            if (depths[parent] >= shape_.depth) continue;
            const auto number = directories_.size();
            directories_.push_back(directories_[parent] + "/" + kNames[number % 6] + "-" +
                                   std::to_string(number));
            depths.push_back(depths[parent] + 1);
            make_directories(directories_.back());
        }
    }

    void write_file(std::uint64_t number) const {
        // A generator per file: threads may write in any order.
        std::mt19937_64 random(seed_ * 1'000'003 + number);
        std::lognormal_distribution<double> sizes(std::log(shape_.median_bytes), shape_.sigma);
        const auto bytes =
            static_cast<std::uint64_t>(std::clamp(sizes(random), 20.0, shape_.largest_bytes));
        const auto& directory = directories_[random() % directories_.size()];
        const std::string path = directory + "/module" + std::to_string(number) + ".js";
        const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
        const std::string header =
            "// " + std::to_string(seed_) + "." + std::to_string(number) + "\n";
        write_all(fd.get(), as_bytes(header), path);
        for (std::uint64_t left = bytes - std::min<std::uint64_t>(bytes, header.size());
             left > 0;) {
            const bool use_random = !random_.empty() && random() % 2 == 0;
            const std::string& pool = use_random ? random_ : text_;
            const std::size_t from = random() % (pool.size() / 2);
            const auto count = std::min<std::uint64_t>({left, pool.size() - from, 1 << 20});
            write_all(fd.get(), as_bytes(std::string_view(pool).substr(from, count)), path);
            left -= count;
        }
    }

    const Shape shape_;
    const std::string root_;
    const std::uint64_t seed_;
    std::string text_, random_;
    std::vector<std::string> directories_;
};

int usage() {
    std::fprintf(stderr, "usage: make_tree small|mono|big DIR [--scale PERCENT] [--seed N]\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return usage();
    const auto shape = std::find_if(std::begin(kShapes), std::end(kShapes),
                                    [&](const Shape& known) { return known.name == argv[1]; });
    if (shape == std::end(kShapes)) return usage();
    Shape chosen = *shape;
    std::uint64_t seed = 1;
    for (int at = 3; at + 1 < argc; at += 2) {
        const std::string flag = argv[at];
        const auto value = std::strtoull(argv[at + 1], nullptr, 10);
        if (flag == "--seed") {
            seed = value;
        } else if (flag == "--scale" && value > 0) {
            chosen.files = std::max<std::uint64_t>(1, chosen.files * value / 100);
            chosen.directories = std::max<std::uint64_t>(1, chosen.directories * value / 100);
        } else {
            return usage();
        }
    }
    try {
        TreeWriter(chosen, argv[2], seed).write(2);
    } catch (const Error& error) {
        std::fprintf(stderr, "make_tree: %s\n", error.what());
        return 1;
    }
    return 0;
}

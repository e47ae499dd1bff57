// Blocks go to workers through a queue and come back in order: the caller, who delivers them, waits
// for the oldest once as many are under way as all threads can use. A stream of a single block
// starts no thread.
#include "gzip_encoder.hpp"

#include "gzip_header.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <thread>
#include <vector>

namespace shale::codec {

namespace {

constexpr std::size_t kDictionaryBytes = 32 << 10;
// Large enough that the dictionary, which is compressed for nothing, costs little.
constexpr std::size_t kBlockBytes = 512 << 10;
constexpr unsigned kMaxThreads = 16;
constexpr int kRawDeflate = -15;  // the largest window, no wrapper
constexpr int kZlibMemoryLevel = 8;

struct Block {
    std::string input, dictionary;
    bool is_last = false;
    std::string output;
    uLong crc = 0;
    std::exception_ptr failure;
    std::atomic<bool> done = false;
};

// zlib only reads through these pointers, but declares them mutable.
Bytef* zlib_bytes(const std::string& text) {
    return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
}

class Deflater {
  public:
    explicit Deflater(int level) {
        if (deflateInit2(&stream_, level, Z_DEFLATED, kRawDeflate, kZlibMemoryLevel,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            fail(ErrorKind::Invalid, fmt::format("gzip level {} is outside -1..9", level));
    }
    ~Deflater() { deflateEnd(&stream_); }
    Deflater(const Deflater&) = delete;
    Deflater& operator=(const Deflater&) = delete;

    void compress(Block& block) {
        SHALE_ENSURE(deflateReset(&stream_) == Z_OK);
        if (!block.dictionary.empty())
            SHALE_ENSURE(deflateSetDictionary(&stream_, zlib_bytes(block.dictionary),
                                              static_cast<uInt>(block.dictionary.size())) == Z_OK);
        // Room for the marker of a sync flush, too.
        block.output.resize(deflateBound(&stream_, block.input.size()) + 16);
        stream_.next_in = zlib_bytes(block.input);
        stream_.avail_in = static_cast<uInt>(block.input.size());
        stream_.next_out = reinterpret_cast<Bytef*>(block.output.data());
        stream_.avail_out = static_cast<uInt>(block.output.size());
        const int status = deflate(&stream_, block.is_last ? Z_FINISH : Z_SYNC_FLUSH);
        SHALE_ENSURE(status == (block.is_last ? Z_STREAM_END : Z_OK) && stream_.avail_out > 0);
        block.output.resize(block.output.size() - stream_.avail_out);
        block.crc = crc32_z(0, zlib_bytes(block.input), block.input.size());
    }

  private:
    z_stream stream_{};
};

}  // namespace

struct GzipEncoder::State {
    explicit State(int compression_level)
        : level(compression_level), deflater(compression_level),
          threads(std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads)),
          queue(most_under_way()) {}
    ~State() { queue.close(); }

    std::size_t most_under_way() const { return 2 * std::size_t{threads}; }
    void submit(bool is_last, const Sink& output);
    void deliver_oldest(const Sink& output);
    void start_workers();

    const int level;
    Deflater deflater;  // of the caller
    const unsigned threads;
    std::string input;       // of the block being filled
    std::string dictionary;  // the end of what came before it
    uLong crc = crc32_z(0, nullptr, 0);
    std::uint64_t bytes = 0;
    bool has_header = false;
    BoundedQueue<Block*> queue;
    std::deque<std::unique_ptr<Block>> under_way;
    std::vector<std::jthread> workers;  // last: joined before what they use goes
};

void GzipEncoder::State::start_workers() {
    for (unsigned i = 0; i < threads; ++i)
        workers.emplace_back([this] {
            Deflater own(level);
            while (const auto block = queue.pop()) {
                try {
                    own.compress(**block);
                } catch (...) {  // carried to the caller
                    (*block)->failure = std::current_exception();
                }
                (*block)->done = true;
                (*block)->done.notify_one();
            }
        });
}

void GzipEncoder::State::submit(bool is_last, const Sink& output) {
    auto block = std::make_unique<Block>();
    block->is_last = is_last;
    block->dictionary = std::exchange(dictionary, {});
    block->input = std::exchange(input, {});
    const std::size_t kept = std::min(block->input.size(), kDictionaryBytes);
    dictionary = block->input.substr(block->input.size() - kept);
    under_way.push_back(std::move(block));
    if (is_last && workers.empty()) {
        deflater.compress(*under_way.back());
        under_way.back()->done = true;
        return;
    }
    if (workers.empty()) start_workers();
    if (under_way.size() > most_under_way()) deliver_oldest(output);
    queue.push(under_way.back().get());
}

void GzipEncoder::State::deliver_oldest(const Sink& output) {
    Block& block = *under_way.front();
    block.done.wait(false);
    if (block.failure) std::rethrow_exception(block.failure);
    if (!std::exchange(has_header, true)) output(as_bytes(gzip_header(level)));
    crc = crc32_combine(crc, block.crc, static_cast<z_off_t>(block.input.size()));
    bytes += block.input.size();
    output(as_bytes(block.output));
    under_way.pop_front();
}

GzipEncoder::GzipEncoder(int level) : state_(std::make_unique<State>(level)) {}
GzipEncoder::~GzipEncoder() = default;

void GzipEncoder::write(Bytes bytes, const Sink& output) {
    while (!bytes.empty()) {
        // Not before more follows, so that the last block is known to be the last.
        if (state_->input.size() == kBlockBytes) state_->submit(false, output);
        const std::size_t count = std::min(bytes.size(), kBlockBytes - state_->input.size());
        state_->input.append(as_text(bytes.first(count)));
        bytes = bytes.subspan(count);
    }
}

void GzipEncoder::finish(const Sink& output) {
    state_->submit(true, output);
    while (!state_->under_way.empty())
        state_->deliver_oldest(output);
    std::string trailer;
    put_little(trailer, static_cast<std::uint32_t>(state_->crc));
    put_little(trailer, static_cast<std::uint32_t>(state_->bytes));
    output(as_bytes(trailer));
}

}  // namespace shale::codec

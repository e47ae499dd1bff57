// Three blocks travel between the caller, who fills one, and a thread that writes another: the
// device works while the caller goes on, and memory stays bounded.
#include <shale/uncached_writer.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace shale {

namespace {

// What O_DIRECT asks of addresses, lengths and offsets on any device with sectors up to a page.
constexpr std::size_t kAlignment = 4096;
constexpr std::size_t kBlockBytes = 1 << 20;
constexpr std::size_t kBlocks = 3;

struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
};

}  // namespace

struct UncachedWriter::Block {
    Block() : memory(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kBlockBytes))) {
        if (!memory) throw std::bad_alloc();
    }
    Bytes bytes() const { return {memory.get(), used}; }

    std::unique_ptr<std::byte, Free> memory;
    std::size_t used = 0;
};

struct UncachedWriter::Pipeline {
    Pipeline() {
        for (Block& block : blocks)
            empty.push(&block);
    }
    std::array<Block, kBlocks> blocks;
    BoundedQueue<Block*> empty{kBlocks}, full{kBlocks};
    std::atomic<bool> has_failed = false;
};

UncachedWriter::UncachedWriter(int fd, std::string subject, std::uint64_t cached_bytes)
    : fd_(fd), subject_(std::move(subject)), cached_left_(cached_bytes) {
    SHALE_ENSURE(cached_bytes % kAlignment == 0);
}

UncachedWriter::~UncachedWriter() {
    if (pipeline_) pipeline_->has_failed = true;  // nobody wants the rest
    stop();
}

void UncachedWriter::write(Bytes bytes) {
    const auto cached = std::min<std::uint64_t>(bytes.size(), cached_left_);
    write_all(fd_, bytes.first(cached), subject_);
    cached_left_ -= cached;
    if (cached < bytes.size()) write_direct(bytes.subspan(cached));
}

void UncachedWriter::write_direct(Bytes bytes) {
    if (!pipeline_) {
        auto pipeline = std::make_unique<Pipeline>();
        is_direct_ = set_direct(true);
        thread_ = std::jthread([this, from = pipeline.get()] { write_blocks(*from); });
        pipeline_ = std::move(pipeline);
    }
    while (!bytes.empty()) {
        if (!filling_) filling_ = *pipeline_->empty.pop();
        const auto room = std::min(bytes.size(), kBlockBytes - filling_->used);
        std::memcpy(filling_->memory.get() + filling_->used, bytes.data(), room);
        filling_->used += room;
        bytes = bytes.subspan(room);
        if (filling_->used == kBlockBytes) hand_on();
    }
}

void UncachedWriter::hand_on() {
    if (pipeline_->has_failed) finish();
    pipeline_->full.push(std::exchange(filling_, nullptr));
}

void UncachedWriter::finish() {
    if (filling_ && pipeline_) pipeline_->full.push(std::exchange(filling_, nullptr));
    stop();
    if (failure_) std::rethrow_exception(failure_);
    if (is_direct_) is_direct_ = set_direct(false);  // for whoever writes to it next
}

void UncachedWriter::stop() {
    if (!thread_.joinable()) return;
    pipeline_->full.close();
    thread_.join();
}

void UncachedWriter::write_blocks(Pipeline& pipeline) {
    while (const auto block = pipeline.full.pop()) {
        try {
            if (!pipeline.has_failed) write_block((*block)->bytes());
        } catch (...) {  // carried to the caller
            failure_ = std::current_exception();
            pipeline.has_failed = true;
        }
        (*block)->used = 0;
        pipeline.empty.push(*block);
    }
}

void UncachedWriter::write_block(Bytes bytes) {
    // Only the last block ends within a page, so that everything direct begins at one.
    while (is_direct_ && bytes.size() >= kAlignment) {
        const auto whole = bytes.size() / kAlignment * kAlignment;
        const ssize_t count = ::write(fd_, bytes.data(), whole);
        if (count < 0 && errno == EINTR) continue;
        // Some file systems take the flag and refuse the write, or ask for larger units.
        if (count < 0 && errno != EINVAL) throw_errno("write", subject_);
        if (count < 0) break;
        const auto written = static_cast<std::size_t>(count);
        direct_bytes_ += written;
        bytes = bytes.subspan(written);
        if (written % kAlignment != 0) break;
    }
    if (bytes.empty()) return;
    if (is_direct_) is_direct_ = set_direct(false);
    write_all(fd_, bytes, subject_);
}

// Returns what is the case afterwards.
bool UncachedWriter::set_direct(bool is_direct) {
    const int flags = ::fcntl(fd_, F_GETFL);
    if (flags < 0) throw_errno("fcntl", subject_);
    const int wanted = is_direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    if (::fcntl(fd_, F_SETFL, wanted) == 0) return is_direct;
    if (!is_direct) throw_errno("fcntl", subject_);
    return false;
}

}  // namespace shale

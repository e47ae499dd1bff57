// Reading contents through frames: right bytes at any offset, one fetch per frame however many ask,
// a cache that keeps to its budget, and errors that are not remembered.
#include "trees.hpp"

#include <atomic>
#include <thread>

namespace shale::layer {
namespace {

using namespace testing;

// Holds every read back until the gate opens.
class GatedBlobs : public oci::BlobSource {
  public:
    explicit GatedBlobs(MemoryBlobs& blobs) : blobs_(blobs) {}
    void open() {
        open_ = true;
        open_.notify_all();
    }
    std::uint64_t blob_size(const Digest& blob) override { return blobs_.blob_size(blob); }
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override {
        open_.wait(false);
        blobs_.read_blob(blob, offset, out);
    }

  private:
    MemoryBlobs& blobs_;
    std::atomic<bool> open_ = false;
};

class Contended : public ::testing::Test {
  protected:
    Contended() {
        snapshot::TreeBuilder builder;
        for (int i = 0; i < 20; ++i) {
            std::string text = std::to_string(i);
            while (text.size() < 700u * static_cast<std::size_t>(i) + 1)
                text += "," + std::to_string(text.size() * 31);
            texts_.push_back(text);
            builder.put("f" + std::to_string(i), file_spec(contents_, text));
        }
        WriteOptions options;
        options.frame_bytes = 4096;
        const auto layer =
            write(snapshot::TreeBuilder().finish(), builder.finish(), contents_, options);
        blob_ = blobs_.put(layer.blob);
        toc_ = std::make_shared<const Toc>(layer.written.toc);
        index_.add(blob_, *toc_);
    }
    std::string read(ContentReader& reader, const std::string& text, std::uint64_t offset,
                     std::size_t size) {
        std::string out(size, '\0');
        out.resize(
            reader.read(codec::sha256(text), offset, std::as_writable_bytes(std::span(out))));
        return out;
    }

    Contents contents_;
    MemoryBlobs blobs_;
    Digest blob_;
    std::shared_ptr<const Toc> toc_;
    ContentIndex index_;
    std::vector<std::string> texts_;
};

TEST_F(Contended, BytesAreRightAtEveryOffset) {
    ContentReader reader(index_, blobs_);
    std::mt19937 random(5);
    for (const auto& text : texts_) {
        for (int i = 0; i < 40; ++i) {
            const std::size_t offset = random() % (text.size() + 2), size = random() % 9000;
            EXPECT_EQ(read(reader, text, offset, size),
                      offset > text.size() ? "" : text.substr(offset, size));
        }
        EXPECT_EQ(drain(reader.open(codec::sha256(text)), 1000), text);
    }
    // Frames that hold nothing but headers are never asked for.
    EXPECT_LE(reader.stats().frames_fetched, toc_->frames.size())
        << "a cache larger than the layer fetches no frame twice";
}

TEST_F(Contended, UnknownContentIsNotFoundAndEmptyContentIsEmpty) {
    ContentReader reader(index_, blobs_);
    EXPECT_EQ(read(reader, "", 0, 10), "");
    EXPECT_EQ(drain(reader.open(codec::sha256(""))), "");
    try {
        reader.open(codec::sha256("nobody has this"));
        ADD_FAILURE() << "opened";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    }
    EXPECT_EQ(blobs_.reads(), 0u);
}

TEST_F(Contended, ConcurrentReadersOfOneFrameShareOneFetch) {
    GatedBlobs gated(blobs_);
    ContentReader reader(index_, gated);
    constexpr std::size_t kReaders = 8;
    std::vector<std::string> results(kReaders);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < kReaders; ++i)
            threads.emplace_back([&, i] { results[i] = read(reader, texts_[1], 0, 10); });
        // All but the one that fetches have found the frame being loaded.
        while (reader.stats().frames_from_cache < kReaders - 1)
            std::this_thread::yield();
        gated.open();
    }
    for (const auto& result : results)
        EXPECT_EQ(result, texts_[1].substr(0, 10));
    EXPECT_EQ(reader.stats().frames_fetched, 1u);
    EXPECT_EQ(blobs_.reads(), 1u);
}

TEST_F(Contended, ReadersOfDifferentFramesDoNotWaitForEachOther) {
    // The gate stays shut for the blob of one layer; another layer's frames are read meanwhile.
    MemoryBlobs other_blobs;
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("x", file_spec(contents, "elsewhere"));
    const auto layer = write(snapshot::TreeBuilder().finish(), builder.finish(), contents);
    class TwoSources : public oci::BlobSource {
      public:
        TwoSources(oci::BlobSource& a, const Digest& of_b, oci::BlobSource& b)
            : a_(a), b_(b), of_b_(of_b) {}
        std::uint64_t blob_size(const Digest& d) override { return pick(d).blob_size(d); }
        void read_blob(const Digest& d, std::uint64_t at, MutableBytes out) override {
            pick(d).read_blob(d, at, out);
        }

      private:
        oci::BlobSource& pick(const Digest& d) { return d == of_b_ ? b_ : a_; }
        oci::BlobSource &a_, &b_;
        Digest of_b_;
    };
    const Digest other = other_blobs.put(layer.blob);
    index_.add(other, layer.written.toc);
    GatedBlobs gated(blobs_);
    TwoSources both(gated, other, other_blobs);
    ContentReader reader(index_, both);
    std::jthread blocked([&] { read(reader, texts_[1], 0, 10); });
    while (reader.stats().frames_fetched == 0)
        std::this_thread::yield();
    EXPECT_EQ(read(reader, "elsewhere", 0, 100), "elsewhere");
    gated.open();
}

TEST_F(Contended, ManyThreadsReadTheSameBytes) {
    ContentReader reader(index_, blobs_, 3 * 4096);  // evicts all the time
    std::atomic<int> wrong = 0;
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < 4; ++i)
            threads.emplace_back([&, i] {
                std::mt19937 random(i);
                for (int n = 0; n < 300; ++n) {
                    const auto& text = texts_[random() % texts_.size()];
                    const std::size_t offset = random() % text.size();
                    if (read(reader, text, offset, 5000) != text.substr(offset, 5000)) ++wrong;
                }
            });
    }
    EXPECT_EQ(wrong, 0);
    const auto stats = reader.stats();
    EXPECT_EQ(stats.frames_fetched, blobs_.reads());
}

TEST_F(Contended, CacheKeepsToItsBudget) {
    ContentReader none(index_, blobs_, 0);
    for (int i = 0; i < 3; ++i)
        read(none, texts_[1], 0, 10);
    EXPECT_EQ(none.stats().frames_fetched, 3u);
    EXPECT_EQ(none.stats().frames_from_cache, 0u);

    // Room for the most recent: alternating between two far apart, with room for both, fetches
    // twice.
    ContentReader two(index_, blobs_, 20000);
    for (int i = 0; i < 10; ++i) {
        read(two, texts_[1], 0, 10);
        read(two, texts_[19], 0, 10);
    }
    EXPECT_EQ(two.stats().frames_fetched, 2u);
    EXPECT_EQ(two.stats().frames_from_cache, 18u);
}

TEST_F(Contended, LeastRecentlyUsedFrameGoesFirst) {
    const auto frame_bytes = [&](std::size_t file) {
        const std::uint64_t at = index_.find(codec::sha256(texts_[file]))->range.tar_offset;
        for (const Frame& frame : toc_->frames)
            if (at - frame.tar_offset < frame.tar_bytes) return frame.tar_bytes;
        return std::uint64_t{0};
    };
    // Room for two of the three.
    ContentReader reader(index_, blobs_,
                         frame_bytes(1) + std::max(frame_bytes(12), frame_bytes(15)));
    const auto touch = [&](std::size_t file) { read(reader, texts_[file], 0, 1); };
    touch(1);
    touch(12);
    touch(1);   // 12 is the older one now
    touch(15);  // evicts it
    const auto before = reader.stats().frames_fetched;
    touch(1);
    EXPECT_EQ(reader.stats().frames_fetched, before);
    touch(12);
    EXPECT_EQ(reader.stats().frames_fetched, before + 1);
}

TEST_F(Contended, FailedFetchIsTriedAgain) {
    class FailsOnce : public oci::BlobSource {
      public:
        explicit FailsOnce(oci::BlobSource& blobs) : blobs_(blobs) {}
        std::uint64_t blob_size(const Digest& blob) override { return blobs_.blob_size(blob); }
        void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override {
            if (!std::exchange(failed_, true)) fail(ErrorKind::Network, "peer went away");
            blobs_.read_blob(blob, offset, out);
        }

      private:
        oci::BlobSource& blobs_;
        bool failed_ = false;
    } flaky(blobs_);
    ContentReader reader(index_, flaky);
    EXPECT_THROW(read(reader, texts_[3], 0, 10), Error);
    EXPECT_EQ(read(reader, texts_[3], 0, 10), texts_[3].substr(0, 10));
}

TEST_F(Contended, DamagedFrameIsCorruptAndNamesBlobAndOffset) {
    const std::string& text = texts_[3];
    const auto place = index_.find(codec::sha256(text));
    const auto frame = std::find_if(toc_->frames.begin(), toc_->frames.end(), [&](const Frame& f) {
        return place->range.tar_offset < f.tar_offset + f.tar_bytes;
    });
    ASSERT_NE(frame, toc_->frames.end());
    auto damaged = blobs_.at(blob_);
    damaged.replace(frame->blob_offset + frame->blob_bytes / 2, 4, "\x5a\x5a\x5a\x5a");
    blobs_.put_as(blob_, damaged);
    ContentReader reader(index_, blobs_);
    ASSERT_FALSE(text.empty());
    try {
        read(reader, text, 0, 10);
        FAIL() << "read";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
        EXPECT_NE(std::string(error.what()).find(blob_.str()), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("offset"), std::string::npos) << error.what();
    }
}

TEST(ContentIndex, EarlierLayersWin) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("x", file_spec(contents, "shared"));
    const auto tree = builder.finish();
    const auto layer = write(snapshot::TreeBuilder().finish(), tree, contents);
    const Toc& toc = layer.written.toc;
    ContentIndex index;
    const Digest first = codec::sha256("first"), second = codec::sha256("second");
    index.add(first, toc);
    index.add(second, toc);
    EXPECT_EQ(index.find(codec::sha256("shared"))->blob, first);
    EXPECT_EQ(index.find(codec::sha256("shared"))->range.size, 6u);
    EXPECT_FALSE(index.find(codec::sha256("other")));
    const ContentIndex copy(index);
    EXPECT_EQ(copy.find(codec::sha256("shared"))->blob, first);
}

}  // namespace
}  // namespace shale::layer

// Layers read in parts from a registry that tells what it was asked, and that may lie.
#include "../../support/error_kind.hpp"

#include <shale/codec.hpp>
#include <shale/lazy.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <future>
#include <map>
#include <numeric>
#include <set>
#include <thread>

namespace shale::lazy {
namespace {

class NoBlobs final : public oci::BlobSource {
  public:
    std::uint64_t blob_size(const Digest& blob) override { return refuse(blob); }
    void read_blob(const Digest& blob, std::uint64_t, MutableBytes) override { refuse(blob); }

  private:
    [[noreturn]] static std::uint64_t refuse(const Digest& blob) {
        fail(ErrorKind::NotFound, blob.str());
    }
};

// One layer of two files, each large enough for frames of its own.
class RemoteBlobsTest : public testing::Test {
  protected:
    RemoteBlobsTest() {
        snapshot::TreeBuilder builder;
        for (const char name : {'a', 'b'}) {
            std::string content;
            for (int i = 0; i < 50'000; ++i)  // hardly compressible
                content += codec::sha256(name + std::to_string(i)).hex().substr(0, 4);
            snapshot::EntrySpec spec;
            spec.type = FileType::Regular;
            spec.size = content.size();
            spec.content = codec::sha256(content);
            builder.put(std::string(1, name), spec);
            contents_[spec.content] = content;
        }
        const auto empty = snapshot::TreeBuilder().finish();
        const auto tree = builder.finish();
        layer::WriteOptions options;
        options.frame_bytes = 8 << 10;
        written_ = layer::write_layer(
            diff::compare(empty, tree), tree,
            [this](std::string_view, const snapshot::Entry& entry) -> codec::Source {
                return [text = contents_.at(entry.content),
                        at = std::size_t{0}](MutableBytes out) mutable {
                    const auto count = std::min(out.size(), text.size() - at);
                    std::memcpy(out.data(), text.data() + at, count);
                    at += count;
                    return count;
                };
            },
            options, [this](Bytes bytes) { blob_.append(as_text(bytes)); });
        descriptor_.digest = written_.blob;
        descriptor_.size = blob_.size();
        const auto& last = written_.toc.frames.back();
        vouch_for(blob_.size() - last.blob_offset - last.blob_bytes);
    }
    void vouch_for(std::uint64_t bytes) {
        descriptor_.annotations[std::string(layer::kAnnotationTocBytes)] = std::to_string(bytes);
        descriptor_.annotations[std::string(layer::kAnnotationTocDigest)] =
            codec::sha256(blob_.substr(blob_.size() - bytes)).str();
    }
    std::string read_all(const std::shared_ptr<const layer::Toc>& toc, const std::string& name) {
        layer::ContentIndex index;
        index.add(descriptor_.digest, *toc);
        layer::ContentReader reader(std::move(index), *remote_, 0);  // no cache
        for (const auto& entry : toc->entries)
            if (entry.member.path == name) {
                std::string out(entry.member.size, '\0');
                reader.read(entry.content, 0, std::as_writable_bytes(std::span(out)));
                return out;
            }
        return {};
    }

    using Asked = std::vector<std::pair<std::uint64_t, std::size_t>>;
    // What the registry was asked for so far.
    Asked asked() const {
        const std::lock_guard lock(mutex_);
        return asked_;
    }
    std::uint64_t bytes_asked() const {
        std::uint64_t bytes = 0;
        for (const auto& [offset, size] : asked())
            bytes += size;
        return bytes;
    }
    void answer(std::uint64_t offset, MutableBytes out) {
        std::unique_lock lock(mutex_);
        asked_.emplace_back(offset, out.size());
        may_answer_.wait(lock, [&] { return !is_slow_ || is_down_; });
        if (is_down_ || fails_once_.erase(offset) > 0)
            fail(ErrorKind::Network, "the registry is down");
        std::memcpy(out.data(), blob_.data() + offset, out.size());
    }
    void set(bool& what, bool value) {
        {
            const std::lock_guard lock(mutex_);
            what = value;
        }
        may_answer_.notify_all();
    }
    void flip(const layer::Frame& frame) {
        const std::lock_guard lock(mutex_);
        blob_[frame.blob_offset + frame.blob_bytes / 2] ^= 1;
    }
    std::string read(const layer::Frame& frame) {
        std::string out(frame.blob_bytes, '\0');
        remote_->read_blob(descriptor_.digest, frame.blob_offset,
                           std::as_writable_bytes(std::span(out)));
        return out;
    }
    std::string wanted(const layer::Frame& frame) const {
        return blob_.substr(frame.blob_offset, frame.blob_bytes);
    }
    // What is fetched ahead is fetched by others.
    void wait_for_bytes(std::uint64_t bytes) const {
        while (bytes_asked() < bytes)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::exception_ptr fetch_all(const std::vector<RemoteBlobs::Place>& places) {
        std::promise<std::exception_ptr> done;
        remote_->fetch_in_background(places, [&](std::exception_ptr why) { done.set_value(why); });
        return done.get_future().get();
    }
    std::vector<RemoteBlobs::Place> places(const layer::Toc& toc) const {
        std::vector<RemoteBlobs::Place> all;
        for (const auto& frame : toc.frames)
            all.push_back({descriptor_.digest, frame.blob_offset});
        return all;
    }

    std::map<Digest, std::string> contents_;
    std::string blob_;
    layer::Written written_;
    oci::Descriptor descriptor_;
    mutable std::mutex mutex_;  // guards what follows, and blob_ while somebody reads
    std::condition_variable may_answer_;
    Asked asked_;
    bool is_slow_ = false, is_down_ = false;
    std::set<std::uint64_t> fails_once_;  // requests at these offsets
    NoBlobs local_;
    TempDir directory_;
    std::unique_ptr<RemoteBlobs> remote_ =
        std::make_unique<RemoteBlobs>([this](const oci::Descriptor&, std::uint64_t offset,
                                             MutableBytes out) { answer(offset, out); },
                                      local_, directory_.path());
};

TEST_F(RemoteBlobsTest, TableComesWithOneRequestAndAFrameWithOneMore) {
    const auto toc = remote_->add(descriptor_);
    ASSERT_TRUE(toc);
    ASSERT_EQ(asked().size(), 1u);
    const auto& frame = toc->frames.at(toc->frames.size() / 2);
    EXPECT_EQ(read(frame), wanted(frame));
    EXPECT_EQ(asked().back(), std::pair(frame.blob_offset, std::size_t{frame.blob_bytes}));
    EXPECT_EQ(read(frame), wanted(frame));
    EXPECT_EQ(asked().size(), 2u) << "what was fetched is kept, and nothing else is fetched";
    EXPECT_EQ(remote_->stats().bytes, bytes_asked());
    EXPECT_EQ(remote_->stats().requests, 2u);
}

TEST_F(RemoteBlobsTest, FilesAreWhatTheyWere) {
    const auto toc = remote_->add(descriptor_);
    ASSERT_EQ(toc->entries.size(), 2u);
    for (const int i : {1, 0, 1}) {
        const auto& entry = toc->entries[static_cast<std::size_t>(i)];
        EXPECT_EQ(read_all(toc, entry.member.path), contents_[entry.content]);
    }
}

TEST_F(RemoteBlobsTest, ReadFromEndToEndItIsFetchedOnceInFewRequests) {
    const auto toc = remote_->add(descriptor_);
    ASSERT_GE(toc->frames.size(), 12u);
    const auto tail = bytes_asked();
    for (const auto& frame : toc->frames)
        EXPECT_EQ(read(frame), wanted(frame));
    EXPECT_EQ(bytes_asked() - tail, blob_.size() - tail) << "each frame once";
    // One by one in the beginning, then in runs twice as long each time.
    EXPECT_LE(asked().size(), toc->frames.size() / 2);
}

TEST_F(RemoteBlobsTest, WhatIsReadHereAndThereFetchesNothingElse) {
    const auto toc = remote_->add(descriptor_);
    std::uint64_t bytes = bytes_asked();
    for (std::size_t i = 0; i < toc->frames.size(); i += 2) {
        read(toc->frames[i]);
        bytes += toc->frames[i].blob_bytes;
    }
    remote_.reset();  // waits for whoever is still at it
    EXPECT_EQ(bytes_asked(), bytes);
}

TEST_F(RemoteBlobsTest, NoMoreIsFetchedAheadThanWasRead) {
    const auto toc = remote_->add(descriptor_);
    const auto tail = bytes_asked();
    std::uint64_t read_bytes = 0;
    bool any_ahead = false;
    for (std::size_t i = 5; i < toc->frames.size(); ++i) {
        read(toc->frames[i]);
        read_bytes += toc->frames[i].blob_bytes;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // others fetch meanwhile
        EXPECT_LE(bytes_asked() - tail, 2 * read_bytes) << i;
        any_ahead = any_ahead || bytes_asked() - tail > read_bytes;
    }
    EXPECT_TRUE(any_ahead);
}

TEST_F(RemoteBlobsTest, NothingIsFetchedAheadWhereItIsNotAllowed) {
    const auto toc = remote_->add(descriptor_);
    remote_->allow_ahead(false);
    for (std::size_t i = 0; i < 6; ++i)
        read(toc->frames[i]);
    remote_->allow_ahead(false);  // nobody has been started
    EXPECT_EQ(asked().size(), 1u + 6u);
    remote_->allow_ahead(true);
    for (const auto& frame : toc->frames)
        EXPECT_EQ(read(frame), wanted(frame));
    EXPECT_LT(asked().size(), 1u + toc->frames.size());
}

// As after fork(2): the file of what is kept is shared, what is known of it is not.
TEST_F(RemoteBlobsTest, WhatAKilledProcessKeptIsFound) {
    const auto toc = remote_->add(descriptor_);
    remote_->allow_ahead(false);
    const auto child = ::fork();
    if (child == 0) {
        for (const std::size_t i : {0u, 1u, 4u})
            read(toc->frames[i]);
        ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    remote_->look_for_kept();
    remote_->allow_ahead(true);
    EXPECT_EQ(read(toc->frames[4]), wanted(toc->frames[4]));
    EXPECT_EQ(asked().size(), 1u);
    EXPECT_EQ(fetch_all(remote_->frames()), nullptr);
    std::uint64_t kept = 0;
    for (const std::size_t i : {0u, 1u, 4u})
        kept += toc->frames[i].blob_bytes;
    EXPECT_EQ(bytes_asked() + kept, blob_.size());
    for (const auto& frame : toc->frames)
        EXPECT_EQ(read(frame), wanted(frame));
}

TEST_F(RemoteBlobsTest, ReadersOfOneFrameShareItsFetch) {
    const auto toc = remote_->add(descriptor_);
    set(is_slow_, true);
    std::vector<std::future<std::string>> readers;
    for (int i = 0; i < 8; ++i)
        readers.push_back(std::async(std::launch::async, [&] { return read(toc->frames[3]); }));
    while (asked().size() < 2)
        std::this_thread::yield();
    set(is_slow_, false);
    for (auto& reader : readers)
        EXPECT_EQ(reader.get(), wanted(toc->frames[3]));
    EXPECT_EQ(asked().size(), 2u);
}

TEST_F(RemoteBlobsTest, AFetchThatFailsIsTriedAgainByWhoeverWaited) {
    const auto toc = remote_->add(descriptor_);
    set(is_slow_, true);
    const auto attempt = [&] {
        return std::async(std::launch::async,
                          [&] { return kind_of([&] { read(toc->frames[3]); }); });
    };
    auto first = attempt(), second = attempt();
    while (asked().size() < 2)
        std::this_thread::yield();
    set(is_down_, true);
    EXPECT_EQ(first.get(), ErrorKind::Network);
    EXPECT_EQ(second.get(), ErrorKind::Network);
    EXPECT_EQ(asked().size(), 3u);
    set(is_down_, false);
    set(is_slow_, false);
    EXPECT_EQ(read(toc->frames[3]), wanted(toc->frames[3]));
}

TEST_F(RemoteBlobsTest, OneBadFrameOfARunSpoilsNoOther) {
    const auto toc = remote_->add(descriptor_);
    flip(toc->frames[4]);
    for (std::size_t i = 0; i < toc->frames.size(); ++i) {
        const auto& frame = toc->frames[i];
        if (i == 4)
            EXPECT_EQ(kind_of([&] { read(frame); }), ErrorKind::Corrupt);
        else
            EXPECT_EQ(read(frame), wanted(frame)) << i;
    }
    flip(toc->frames[4]);
    EXPECT_EQ(read(toc->frames[4]), wanted(toc->frames[4]));
}

TEST_F(RemoteBlobsTest, APlanIsFetchedInItsOrderNeighboursTogether) {
    const auto toc = remote_->add(descriptor_);
    auto plan = places(*toc);
    const auto last = plan.back();
    plan.resize(5);
    plan.insert(plan.begin(), last);
    plan.push_back({codec::sha256("another blob"), 0});
    plan.push_back({descriptor_.digest, 1});  // where no frame begins
    plan.push_back(last);                     // twice
    EXPECT_EQ(fetch_all(plan), nullptr);
    auto ranges = asked();
    ASSERT_EQ(ranges.size(), 3u);
    std::sort(ranges.begin(), ranges.end());
    EXPECT_EQ(ranges[0].first, toc->frames[0].blob_offset);
    EXPECT_EQ(ranges[0].second, toc->frames[5].blob_offset - toc->frames[0].blob_offset);
    EXPECT_EQ(ranges[1].first, last.offset);
    for (const std::size_t i : {0u, 1u, 2u, 3u, 4u})
        EXPECT_EQ(read(toc->frames[i]), wanted(toc->frames[i]));
    EXPECT_EQ(asked().size(), 3u);
}

TEST_F(RemoteBlobsTest, WhenAllIsHereTheRegistryIsNotNeeded) {
    const auto toc = remote_->add(descriptor_);
    read(toc->frames[7]);
    auto all = remote_->frames();
    EXPECT_EQ(all, places(*toc));
    EXPECT_EQ(fetch_all(all), nullptr);
    EXPECT_EQ(bytes_asked(), blob_.size()) << "what was here is not fetched again";
    set(is_down_, true);
    for (const auto& frame : toc->frames)
        EXPECT_EQ(read(frame), wanted(frame));
}

TEST_F(RemoteBlobsTest, APlanIsGivenUpWhenTheRegistryIsDown) {
    const auto toc = remote_->add(descriptor_);
    std::vector<RemoteBlobs::Place> plan;  // no neighbours, so each needs a request
    for (std::size_t i = 0; i < toc->frames.size(); i += 2)
        plan.push_back({descriptor_.digest, toc->frames[i].blob_offset});
    set(is_down_, true);
    const auto why = fetch_all(plan);
    ASSERT_NE(why, nullptr);
    EXPECT_EQ(kind_of([&] { std::rethrow_exception(why); }), ErrorKind::Network);
    set(is_down_, false);
    remote_.reset();
    EXPECT_LE(asked().size(), 1u + 4u) << "three in a row, and one that was under way";
}

TEST_F(RemoteBlobsTest, APlanWaitsForWhatOthersFetchAndTriesAgain) {
    const auto toc = remote_->add(descriptor_);
    fails_once_ = {toc->frames[3].blob_offset, toc->frames[0].blob_offset};
    set(is_slow_, true);
    auto reader =
        std::async(std::launch::async, [&] { return kind_of([&] { read(toc->frames[3]); }); });
    while (asked().size() < 2)
        std::this_thread::yield();
    std::promise<std::exception_ptr> done;
    remote_->fetch_in_background(remote_->frames(),
                                 [&](std::exception_ptr why) { done.set_value(why); });
    while (asked().size() < 3)
        std::this_thread::yield();
    set(is_slow_, false);
    EXPECT_EQ(reader.get(), ErrorKind::Network);
    EXPECT_EQ(done.get_future().get(), nullptr);
    set(is_down_, true);
    for (const auto& frame : toc->frames)
        EXPECT_EQ(read(frame), wanted(frame));
}

TEST_F(RemoteBlobsTest, EndsWhileSomethingIsFetchedAhead) {
    const auto toc = remote_->add(descriptor_);
    set(is_slow_, true);
    remote_->fetch_in_background(remote_->frames(),
                                 [](std::exception_ptr why) { EXPECT_NE(why, nullptr); });
    while (asked().size() < 2)
        std::this_thread::yield();
    std::thread end([&] { remote_.reset(); });
    set(is_down_, true);  // as whoever ends it makes sure
    end.join();
    EXPECT_LE(asked().size(), 10u);
}

TEST_F(RemoteBlobsTest, ContentsAreFoundInFrames) {
    const auto toc = remote_->add(descriptor_);
    layer::ContentIndex index;
    index.add(descriptor_.digest, *toc);
    std::vector<Digest> contents{codec::sha256("nobody has it")};
    for (const auto& entry : toc->entries)
        if (entry.member.path == "b") contents.insert(contents.end(), 2, entry.content);
    const auto places = frames_of(index, contents);
    ASSERT_FALSE(places.empty());
    EXPECT_LT(places.size(), toc->frames.size()) << "those of a are not needed";
    EXPECT_EQ(fetch_all(places), nullptr);
    const auto before = asked().size();
    EXPECT_EQ(read_all(toc, "b"), contents_[contents.back()]);
    EXPECT_EQ(asked().size(), before);
    std::set<std::uint64_t> offsets;
    for (const auto& place : places)
        EXPECT_TRUE(offsets.insert(place.offset).second);
}

TEST_F(RemoteBlobsTest, ChangedFrameIsNeverShownAndTriedAgain) {
    const auto toc = remote_->add(descriptor_);
    for (std::size_t i = 0; i < toc->frames.size(); i += 2) {  // so that nothing is fetched ahead
        const auto& frame = toc->frames[i];
        flip(frame);
        EXPECT_EQ(kind_of([&] { read(frame); }), ErrorKind::Corrupt);
        flip(frame);
        EXPECT_EQ(read(frame), wanted(frame));
    }
}

TEST_F(RemoteBlobsTest, ChangedTableIsRefused) {
    blob_[blob_.size() - 100] ^= 1;
    EXPECT_EQ(kind_of([&] { remote_->add(descriptor_); }), ErrorKind::Corrupt);
}

TEST_F(RemoteBlobsTest, IsNotReadInPartsUnlessTheManifestVouches) {
    auto silent = descriptor_;
    silent.annotations.clear();
    EXPECT_FALSE(remote_->add(silent));
    for (const char* bytes : {"", "0", "-1", "x", "99999999999999999999999", "1e3"}) {
        auto odd = descriptor_;
        odd.annotations[std::string(layer::kAnnotationTocBytes)] = bytes;
        EXPECT_FALSE(remote_->add(odd)) << bytes;
    }
    EXPECT_TRUE(asked().empty());
    vouch_for(40);  // no footer fits into that
    EXPECT_ANY_THROW(remote_->add(descriptor_));
}

TEST_F(RemoteBlobsTest, RangesThatAreNoFrameAreRefused) {
    const auto toc = remote_->add(descriptor_);
    const auto& frame = toc->frames.at(1);
    std::string out(frame.blob_bytes - 1, '\0');
    const auto bytes = std::as_writable_bytes(std::span(out));
    for (const auto offset : {frame.blob_offset, frame.blob_offset + 1})
        EXPECT_EQ(kind_of([&] { remote_->read_blob(descriptor_.digest, offset, bytes); }),
                  ErrorKind::Corrupt);
    EXPECT_EQ(kind_of([&] { remote_->read_blob(descriptor_.digest, blob_.size() - 1, bytes); }),
              ErrorKind::Corrupt);
    EXPECT_EQ(kind_of([&] { remote_->read_blob(codec::sha256("other"), 0, bytes); }),
              ErrorKind::NotFound);
}

}  // namespace
}  // namespace shale::lazy

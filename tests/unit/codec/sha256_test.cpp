// Our SHA-256 against OpenSSL's, for every length around the block boundaries, in every number of
// lanes, and in pieces.
#include "sha256_kernel.hpp"

#include <shale/codec.hpp>
#include <shale/codec_state.hpp>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <random>

namespace shale::codec {
namespace {

Digest oracle(std::string_view text) {
    Digest digest;
    EVP_Digest(text.data(), text.size(), digest.bytes.data(), nullptr, EVP_sha256(), nullptr);
    return digest;
}

std::string random_text(std::mt19937& random, std::size_t bytes) {
    std::string text(bytes, '\0');
    for (char& c : text)
        c = static_cast<char>(random());
    return text;
}

TEST(Sha256Oracle, EveryShortLengthAgrees) {
    std::mt19937 random(1);
    const std::string text = random_text(random, 300);
    for (std::size_t length = 0; length <= text.size(); ++length)
        ASSERT_EQ(sha256(text.substr(0, length)), oracle(text.substr(0, length))) << length;
}

TEST(Sha256Oracle, PiecesOfEverySizeAgree) {
    std::mt19937 random(2);
    for (int round = 0; round < 300; ++round) {
        const std::string text = random_text(random, random() % 5000);
        Sha256 hash;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t piece = std::min<std::size_t>(random() % 200, text.size() - at);
            hash.update(as_bytes(std::string_view(text).substr(at, piece)));
            at += piece;
        }
        ASSERT_EQ(hash.finish(), oracle(text)) << "round " << round;
    }
}

TEST(Sha256Kernel, OwnAndOpenSslGiveTheSameStatesInEveryNumberOfLanes) {
    if (sha256_kernel() != ShaKernel::Own) GTEST_SKIP() << "this processor has no SHA extensions";
    std::mt19937 random(3);
    for (std::size_t count = 1; count <= kMaxShaLanes; ++count)
        for (std::size_t blocks : {1u, 2u, 17u}) {
            ShaWords own[kMaxShaLanes], other[kMaxShaLanes];
            ShaLane own_lanes[kMaxShaLanes], other_lanes[kMaxShaLanes];
            std::string texts[kMaxShaLanes];
            for (std::size_t lane = 0; lane < count; ++lane) {
                texts[lane] = random_text(random, blocks * kShaBlockBytes);
                own[lane] = other[lane] = kShaStart;
                own[lane][lane] ^= 0x12345678;  // lanes that differ in their states, too
                other[lane] = own[lane];
                own_lanes[lane] = {&own[lane], as_bytes(texts[lane]).data()};
                other_lanes[lane] = {&other[lane], as_bytes(texts[lane]).data()};
            }
            compress_with(ShaKernel::Own, own_lanes, count, blocks);
            compress_with(ShaKernel::OpenSsl, other_lanes, count, blocks);
            for (std::size_t lane = 0; lane < count; ++lane) {
                ASSERT_EQ(own[lane], other[lane]) << count << " lanes, " << blocks << " blocks";
                ASSERT_EQ(own_lanes[lane].data,
                          as_bytes(texts[lane]).data() + blocks * kShaBlockBytes);
            }
        }
}

// Streams of uneven progress and messages of uneven lengths, together.
TEST(Sha256Together, GivesWhatEachAloneWouldGive) {
    std::mt19937 random(4);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::string> so_far(random() % 5), pieces(so_far.size());
        std::vector<Sha256Stream> hashes(so_far.size());
        std::vector<Sha256Update> updates;
        for (std::size_t i = 0; i < so_far.size(); ++i) {
            so_far[i] = random_text(random, random() % 200);
            pieces[i] = random_text(random, random() % 1000);
            hashes[i].update(as_bytes(so_far[i]));
            updates.push_back({&hashes[i], as_bytes(pieces[i])});
        }
        std::vector<std::string> texts(random() % 9);
        std::vector<Bytes> messages;
        for (std::string& text : texts) {
            text = random_text(random, random() % 300);
            messages.push_back(as_bytes(text));
        }
        std::vector<Digest> digests(texts.size());
        sha256_together(updates, messages, digests);
        for (std::size_t i = 0; i < texts.size(); ++i)
            ASSERT_EQ(digests[i], oracle(texts[i])) << "round " << round << " message " << i;
        for (std::size_t i = 0; i < hashes.size(); ++i) {
            hashes[i].update(as_bytes("end"));
            ASSERT_EQ(hashes[i].finish(), oracle(so_far[i] + pieces[i] + "end"))
                << "round " << round << " stream " << i;
        }
    }
}

TEST(Sha256State, ContinuesAfterSaveAndRestore) {
    std::mt19937 random(5);
    for (std::size_t before : {0u, 1u, 63u, 64u, 65u, 1000u}) {
        const std::string text = random_text(random, before + 100);
        Sha256Stream first;
        first.update(as_bytes(text.substr(0, before)));
        auto second = Sha256Stream::restore(first.save());
        ASSERT_TRUE(second);
        second->update(as_bytes(text.substr(before)));
        EXPECT_EQ(second->finish(), oracle(text)) << before;
    }
}

TEST(Sha256State, OnlyWhatSaveGivesIsRestored) {
    auto state = Sha256Stream().save();
    EXPECT_FALSE(Sha256Stream::restore(Bytes(state).first(state.size() - 1)));
    state.back() = std::byte{1};  // beyond the bytes that the block holds so far
    EXPECT_FALSE(Sha256Stream::restore(state));
}

}  // namespace
}  // namespace shale::codec

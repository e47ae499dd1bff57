// Foreign layers, already decompressed, on their way into the store: re-framed or refused with an
// Error. A blob that comes out has a table of contents that its footer leads to, gives back the tar
// stream byte for byte, and shows contents whose digests are true.
#include <shale/layer.hpp>

#include <algorithm>

using namespace shale;

namespace {

class OneBlob : public oci::BlobSource {
  public:
    OneBlob(Digest digest, std::string bytes) : digest_(digest), bytes_(std::move(bytes)) {}
    std::uint64_t blob_size(const Digest& blob) override {
        SHALE_ENSURE(blob == digest_);
        return bytes_.size();
    }
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override {
        SHALE_ENSURE(blob == digest_ && offset + out.size() <= bytes_.size());
        std::copy_n(as_bytes(bytes_).begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                    out.begin());
    }

  private:
    Digest digest_;
    std::string bytes_;
};

codec::Source source_of(Bytes bytes) {
    return [bytes](MutableBytes out) mutable {
        const std::size_t count = std::min(out.size(), bytes.size());
        std::copy_n(bytes.begin(), count, out.begin());
        bytes = bytes.subspan(count);
        return count;
    };
}

std::string drain(const codec::Source& source) {
    std::string out, buffer(64 << 10, '\0');
    while (const std::size_t got = source(std::as_writable_bytes(std::span(buffer))))
        out.append(buffer, 0, got);
    return out;
}

// A sparse file of terabytes is a few bytes of tar; hashing its holes would take the day.
bool promises_too_much(Bytes bytes) {
    tar::Reader reader(source_of(bytes), "input");
    std::uint64_t total = 0;
    while (const auto member = reader.next()) {
        if (member->size > (1u << 20)) return true;
        if ((total += member->size) > (4u << 20)) return true;
    }
    return false;
}

void check(Bytes bytes) {
    std::string blob_bytes;
    const auto written = layer::reframe(
        source_of(bytes), "input", {.level = 1, .frame_bytes = 4096, .threads = 1},
        [&](Bytes piece) {
            blob_bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        });
    SHALE_ENSURE(codec::sha256(blob_bytes) == written.blob);
    OneBlob blob(written.blob, std::move(blob_bytes));
    const auto toc = layer::read_toc(blob, written.blob);
    SHALE_ENSURE(toc && layer::encode_toc(*toc) == layer::encode_toc(written.toc));
    const std::string tar = drain(layer::tar_stream(blob, written.blob, *toc));
    SHALE_ENSURE(codec::sha256(tar) == written.diff_id);
    SHALE_ENSURE(tar.size() <= bytes.size() &&
                 std::equal(tar.begin(), tar.end(), bytes.begin(), [](char ours, std::byte theirs) {
                     return static_cast<std::byte>(ours) == theirs;
                 }));
    layer::ContentIndex index;
    index.add(written.blob, *toc);
    layer::ContentReader reader(index, blob);
    for (const auto& entry : toc->entries) {
        if (entry.member.type != tar::MemberType::Regular) continue;
        SHALE_ENSURE(codec::sha256(drain(reader.open(entry.content))) == entry.content);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes = std::as_bytes(std::span(data, size));
    try {
        if (!promises_too_much(bytes)) check(bytes);
    } catch (const Error&) {  // a refusal is an answer
    }
    return 0;
}

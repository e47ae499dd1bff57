// Tables of contents of other programs' layers, from strangers. The first byte says how the rest is
// taken: as a blob with its footer, or as the JSON of a table, behind which the blob is made that a
// fuzzer would hardly find. A table that is accepted stands being merged, read through, and
// compared with what it is about.
#include <shale/gzip_member.hpp>
#include <shale/layer_form.hpp>

#include <algorithm>
#include <map>

using namespace shale;

namespace {

class OneBlob final : public oci::BlobSource {
  public:
    explicit OneBlob(std::string bytes) : bytes_(std::move(bytes)) {}
    std::uint64_t blob_size(const Digest&) override { return bytes_.size(); }
    void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
        if (offset > bytes_.size() || bytes_.size() - offset < out.size())
            fail(ErrorKind::Corrupt, "the blob ends early");
        std::copy_n(as_bytes(bytes_).begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                    out.begin());
    }

  private:
    std::string bytes_;
};

std::string chunked(std::string_view json, bool old) {
    std::string blob(200, 'x'), packed, footer;
    codec::FrameCompressor(1).compress(as_bytes(json), packed);
    for (const std::uint64_t value : {std::uint64_t{208}, std::uint64_t{packed.size()},
                                      std::uint64_t{json.size()}, std::uint64_t{1}})
        put_little(footer, value);
    footer.append(old ? 0 : 24, '\0').append(old ? "GnUlInUx" : "GNUlInUx");
    codec::append_skippable_frame(as_bytes(packed), blob);
    codec::append_skippable_frame(as_bytes(footer), blob);
    return blob;
}

std::string estargz(std::string_view json) {
    std::string blob;
    codec::GzipMemberCompressor gzip(1);
    gzip.compress(as_bytes(std::string(300, 'y')), blob);
    tar::Member member;
    member.path = "stargz.index.json";
    member.size = json.size();
    const std::string toc_at = to_hex(as_bytes([&] {
        std::string big;
        for (int shift = 56; shift >= 0; shift -= 8)
            big.push_back(static_cast<char>(blob.size() >> shift & 0xff));
        return big;
    }()));
    gzip.compress(as_bytes(tar::encode_header(member).append(json).append(
                      tar::padding(json.size()) + tar::kTrailerBytes, '\0')),
                  blob);
    blob.append("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0", 16);
    return blob.append(toc_at).append("STARGZ").append("\x01\0\0\xff\xff\0\0\0\0\0\0\0\0", 13);
}

// As for who fetches pieces: all of a blob that begin in one place, compared together.
void check_all_pieces(const layer::Toc& toc, OneBlob& blob) {
    std::map<std::uint64_t, std::vector<std::size_t>> places;
    for (std::size_t i = 0; i < toc.frames.size(); ++i)
        places[toc.frames[i].blob_offset].push_back(i);
    for (const auto& [offset, pieces] : places)
        try {
            std::vector<std::byte> packed(toc.frames[pieces.front()].blob_bytes);
            blob.read_blob({}, offset, packed);
            layer::check_pieces(toc, pieces, packed);
        } catch (const Error&) {  // a refusal is an answer
        }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto rest = as_text(std::as_bytes(std::span(data, size)).subspan(1));
    OneBlob blob(data[0] == '1'   ? chunked(rest, false)
                 : data[0] == '2' ? chunked(rest, true)
                 : data[0] == '3' ? estargz(rest)
                                  : std::string(rest));
    try {
        const auto toc = layer::read_layer_toc(blob, {});
        if (!toc) return 0;
        layer::merge(snapshot::TreeBuilder().finish(), *toc);
        layer::ContentIndex index;
        index.add(Digest(), *toc);
        layer::ContentReader reader(std::move(index), blob);
        std::byte buffer[512];
        for (const auto& entry : toc->entries)
            if (entry.member.size > 0) reader.read(entry.content, 0, buffer);
        if (toc->coding != layer::FrameCoding::Frames) check_all_pieces(*toc, blob);
    } catch (const Error&) {  // a refusal is an answer
    }
    return 0;
}

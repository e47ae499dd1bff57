// Names of frames by what goes into them. A key is known before any content is read: it covers the
// headers and the digests of the contents, which together determine the tar bytes, and everything
// that decides how those are compressed.
#pragma once

#include <shale/codec_state.hpp>
#include <shale/layer.hpp>

#include <span>

namespace shale::layer {

class FrameKeys {
  public:
    explicit FrameKeys(const WriteOptions& options);

    // A frame of small members, one after another, possibly with the end of the archive.
    class Group {
      public:
        // `content` is zero for a member without content of its own in this frame.
        void add(std::string_view header, const Digest& content);
        void add_end_of_archive();
        Digest finish() { return hash_.finish(); }

      private:
        friend class FrameKeys;
        explicit Group(codec::Sha256Stream seed) : hash_(seed) {}
        codec::Sha256Stream hash_;
    };
    Group group() const { return Group(seed_); }
    // Where a section begins: the path of its first member, whether that is the layer's first, how
    // much tar lies since the content before, and what MemberGroups knows behind that member.
    Digest section(std::string_view path, bool is_first, std::uint64_t gap,
                   std::uint64_t directory_bytes) const;
    // The text of a section's entries in the table of contents, by its groups and the digests of
    // the large contents behind them.
    class Text {
      public:
        void add(const Digest& part);
        Digest finish() { return hash_.finish(); }

      private:
        friend class FrameKeys;
        explicit Text(codec::Sha256Stream seed) : hash_(seed) {}
        codec::Sha256Stream hash_;
    };
    Text text(bool is_first, std::uint64_t gap) const;
    // The digests of its contents, one after another, as text.
    Digest digests(std::span<const ContentTable::Content> contents) const;
    // The `ordinal`-th chunk of a large content.
    Digest chunk(const Digest& content, std::uint64_t ordinal) const;
    // A chunk by its bytes. Not proof that two are equal, only reason to compare them.
    Digest similar(Bytes chunk) const;
    // `prefix` and one more frame.
    static Digest extend(const Digest& prefix, const Digest& key);

  private:
    codec::Sha256Stream seed_;
};

}  // namespace shale::layer

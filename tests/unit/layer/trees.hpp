// Generated trees and random edits of them, for laws that must hold whatever the trees look like.
#pragma once

#include "layers.hpp"

namespace shale::layer::testing {

struct TreeShape {
    bool devices = false;  // need root to extract
    bool binary_names = true;
    std::size_t large_file = 40000;
};

class TreeGenerator {
  public:
    TreeGenerator(unsigned seed, Contents& contents, TreeShape shape = {})
        : random_(seed), contents_(contents), shape_(shape) {}

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    void fill(snapshot::TreeBuilder& builder, int count) {
        for (int i = 0; i < count; ++i)
            builder.put(new_path(builder), spec());
        for (int i = 0; i < count / 8; ++i)
            link(builder);
    }

    // Adds, replaces (type changes included), removes, touches, links.
    void edit(snapshot::TreeBuilder& builder, int count) {
        for (int i = 0; i < count; ++i) {
            const std::string path = existing(builder);
            switch (below(6)) {
            case 0:
                builder.put(new_path(builder), spec());
                break;
            case 1:
                if (!path.empty()) builder.remove(path);
                break;
            case 2:
                if (!path.empty()) builder.put(path, spec());
                break;
            case 3:
                touch(builder, path);
                break;
            case 4:
                link(builder);
                break;
            case 5:
                builder.clear_children(path);
                fill_below(builder, path);
                break;
            }
        }
    }

  private:
    static std::string under(const std::string& directory, const std::string& name) {
        return directory.empty() ? name : directory + "/" + name;
    }
    bool is_directory(snapshot::TreeBuilder& builder, const std::string& path) {
        const auto spec = builder.get(path);
        return spec && spec->type == FileType::Directory;
    }
    std::string existing(snapshot::TreeBuilder& builder) {
        std::string path;
        while (true) {
            if (!is_directory(builder, path)) return path;
            const auto names = builder.children(path);
            if (names.empty() || below(4) == 0) return path;
            path = under(path, names[below(names.size())]);
        }
    }
    std::string existing_directory(snapshot::TreeBuilder& builder) {
        std::string path = existing(builder);
        while (!is_directory(builder, path)) {
            const auto slash = path.rfind('/');
            path = slash == std::string::npos ? "" : path.substr(0, slash);
        }
        return path;
    }
    std::string new_path(snapshot::TreeBuilder& builder) {
        return under(existing_directory(builder), name());
    }
    std::string name() {
        static const char* const kNames[] = {"a", "b",   "c",   "lib", "x.txt",
                                             "A", "a.b", "a-b", "~",   "\xc3\xa9"};
        if (shape_.binary_names && below(8) == 0)
            return std::string(1 + below(3), static_cast<char>(0x80 + below(0x80))) + "\"\\\n";
        if (below(20) == 0) return std::string(100 + below(120), 'l');
        return kNames[below(std::size(kNames))];
    }
    std::string bytes() {
        std::string out;
        const std::uint64_t size = below(10) == 0 ? below(shape_.large_file) : below(600);
        while (out.size() < size)
            out += std::to_string(below(10000)) + " ";
        out.resize(size);
        return out;
    }
    snapshot::EntrySpec spec() {
        snapshot::EntrySpec spec;
        switch (below(10)) {
        case 0:
        case 1:
        case 2:
            spec.type = FileType::Directory;
            break;
        case 3:
            spec = link_spec("some/../where");
            break;
        case 4:
            spec.type = FileType::Fifo;
            break;
        case 5:
            if (shape_.devices) {
                spec.type = below(2) ? FileType::CharDevice : FileType::BlockDevice;
                spec.device_major = static_cast<std::uint32_t>(1 + below(200));
                spec.device_minor = static_cast<std::uint32_t>(below(200));
                break;
            }
            [[fallthrough]];
        default:
            spec = file_spec(contents_, bytes());
        }
        decorate(spec);
        return spec;
    }
    void decorate(snapshot::EntrySpec& spec) {
        static constexpr std::uint32_t kModes[] = {0755, 0644, 0700, 04755, 01777, 0400};
        if (spec.type != FileType::Symlink) spec.mode = kModes[below(std::size(kModes))];
        spec.uid = static_cast<std::uint32_t>(below(3) == 0 ? below(70000) : 0);
        spec.gid = static_cast<std::uint32_t>(below(3) == 0 ? below(70000) : 0);
        spec.mtime_ns = static_cast<std::int64_t>(below(1ull << 60));
        if (below(2) == 0) spec.mtime_ns -= spec.mtime_ns % 1'000'000'000;
        const bool may_have_xattrs =
            spec.type == FileType::Regular || spec.type == FileType::Directory;
        if (may_have_xattrs && below(6) == 0)
            spec.xattrs = {{"user.note", std::string("a=\n\0", 4)}, {"user.other", "x"}};
    }
    void touch(snapshot::TreeBuilder& builder, const std::string& path) {
        auto spec = builder.get(path);
        if (!spec || spec->link_group != 0) return;  // a group's members are equal
        decorate(*spec);
        builder.put(path, *spec);
    }
    void link(snapshot::TreeBuilder& builder) {
        const std::string from = existing(builder);
        auto spec = builder.get(from);
        const std::string to = new_path(builder);
        if (!spec || spec->type != FileType::Regular || from == to) return;
        if (spec->link_group == 0) {
            spec->link_group = next_group_++;
            builder.put(from, *spec);
        }
        builder.put(to, *spec);
    }
    void fill_below(snapshot::TreeBuilder& builder, const std::string& path) {
        if (!is_directory(builder, path)) return;
        for (std::uint64_t i = below(4); i-- > 0;)
            builder.put(under(path, name()), spec());
    }

    std::mt19937_64 random_;
    Contents& contents_;
    TreeShape shape_;
    std::uint64_t next_group_ = 1'000'000;
};

}  // namespace shale::layer::testing

// Building archives from members, reading them back, and running other tools on them.
#pragma once

#include <shale/tar.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace shale::tar::testing {

inline Source source_of(std::string text, std::size_t piece = SIZE_MAX) {
    return [text = std::move(text), piece, at = std::size_t{0}](MutableBytes out) mutable {
        const std::size_t count = std::min({out.size(), piece, text.size() - at});
        std::copy_n(as_bytes(text).begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
        at += count;
        return count;
    };
}

struct Item {
    Member member;
    std::string content;
};

inline std::string archive_of(const std::vector<Item>& items) {
    std::string out;
    for (const Item& item : items) {
        out += encode_header(item.member);
        out += item.content;
        out.append(padding(item.content.size()), '\0');
    }
    return out.append(kTrailerBytes, '\0');
}

inline std::string read_content(Reader& reader, std::size_t step = 1000) {
    std::string out, buffer(step, '\0');
    while (const std::size_t made = reader.read(std::as_writable_bytes(std::span(buffer))))
        out.append(buffer, 0, made);
    return out;
}

inline std::vector<Item> read_archive(const std::string& bytes, std::size_t piece = SIZE_MAX) {
    Reader reader(source_of(bytes, piece), "test archive");
    std::vector<Item> items;
    while (auto member = reader.next()) {
        Item item{std::move(*member), {}};
        if (item.member.type == MemberType::Regular) item.content = read_content(reader);
        items.push_back(std::move(item));
    }
    return items;
}

// Makes the checksum of the header block at `at` right again after its bytes were edited.
inline void reseal(std::string& archive, std::size_t at = 0) {
    std::fill_n(archive.begin() + static_cast<std::ptrdiff_t>(at) + 148, 8, ' ');
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i)
        sum += static_cast<unsigned char>(archive[at + i]);
    for (std::size_t digit = 6; digit-- > 0; sum /= 8)
        archive[at + 148 + digit] = static_cast<char>('0' + sum % 8);
    archive[at + 154] = '\0';
}

// Printed by gtest when members differ.
inline std::string describe(const Member& member) {
    std::string out = member.path + " type=" + std::to_string(static_cast<int>(member.type)) +
                      " mode=" + std::to_string(member.mode) +
                      " uid=" + std::to_string(member.uid) + " gid=" + std::to_string(member.gid) +
                      " size=" + std::to_string(member.size) +
                      " mtime=" + std::to_string(member.mtime_ns) +
                      " dev=" + std::to_string(member.device_major) + ":" +
                      std::to_string(member.device_minor) + " link=" + member.link_target;
    for (const Xattr& xattr : member.xattrs)
        out += " " + xattr.name + "=" + to_hex(as_bytes(xattr.value));
    return out;
}

inline Member regular(std::string path, std::uint64_t size) {
    Member member;
    member.path = std::move(path);
    member.mode = 0644;
    member.size = size;
    return member;
}

// Exit status and standard output of a shell command.
inline std::pair<int, std::string> run(const std::string& command) {
    std::FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) throw_errno("popen");
    std::string out;
    char buffer[4096];
    while (const std::size_t made = std::fread(buffer, 1, sizeof buffer, pipe))
        out.append(buffer, made);
    const int status = ::pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out};
}

inline bool has_tool(const std::string& name) {
    return run("command -v " + name + " >/dev/null 2>&1").first == 0;
}

}  // namespace shale::tar::testing

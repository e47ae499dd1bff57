// Columns of text for people. Programs get --json instead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shale::cli {

class Table {
  public:
    explicit Table(std::vector<std::string> header) { add(std::move(header)); }
    // Cells are made printable; a missing cell is empty.
    void add(std::vector<std::string> row);
    // Columns as wide as their widest cell, three blanks between them, no blanks at line ends.
    std::string str() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

// "5 minutes ago", as docker prints ages; the future reads "in the future".
std::string format_age(std::int64_t now_ns, std::int64_t then_ns);

}  // namespace shale::cli

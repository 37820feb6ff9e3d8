// For tests: runs a tokenizer over golden files.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace fathom {

inline std::vector<nlohmann::json> read_golden_lines(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in) << path;
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

// Every row that has `text`: its ids. Every row that has `decoded`: the text of its ids, with and without special
// tokens.
inline void check_goldens(const Tokenizer& tokenizer, const std::string& path, size_t min_rows) {
  const auto rows = read_golden_lines(path);
  EXPECT_GE(rows.size(), min_rows) << path;
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(path + " line " + std::to_string(i + 1));
    const auto ids = rows[i].at("ids").get<std::vector<int32_t>>();
    if (rows[i].contains("text")) {
      EXPECT_EQ(tokenizer.encode(rows[i]["text"].get<std::string>()), ids) << rows[i]["text"].dump();
    }
    if (rows[i].contains("decoded")) {
      EXPECT_EQ(tokenizer.decode(ids), rows[i]["decoded"].get<std::string>());
      EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/true), rows[i]["decoded_skip_special"].get<std::string>());
    }
  }
}

}  // namespace fathom

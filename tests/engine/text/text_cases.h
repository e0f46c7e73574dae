// Tokenizers and texts that the tests of engine/text share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/text/tokenizer.h"

namespace caretd::engine::test {

/// The tokenizer of the embedded model and that of the published models. Loaded once a process.
const Tokenizer& tiny_tokenizer();
const Tokenizer& deepseek_tokenizer();

/// Where deepseek_tokenizer() comes from.
std::filesystem::path deepseek_folder();

std::string read_file(const std::filesystem::path& file);

/// A tokenizer.json with ids 0 to 255 for the bytes, 256 and up for "ab", "abab", "abc" and " a",
/// a pre-tokenizer of all step types, and 300, 301 for the end-of-sentence and FIM-hole tokens.
nlohmann::json small_tokenizer_document();

/// Fragments that meet all parts of a pre-tokenizer: letters of several scripts, digits, spaces
/// of all kinds, newlines, punctuation, emoji, control strings.
const std::vector<std::string>& fragments();

/// A text of `count` random fragments.
std::string random_text(std::mt19937_64& random, int count);
/// `count` random bytes, most of them no UTF-8, mixed with fragments.
std::string random_bytes(std::mt19937_64& random, int count);

/// A folder that is removed with its content.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

}  // namespace caretd::engine::test

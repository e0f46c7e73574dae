// A whole file mapped read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "support/result.h"

namespace caretd::engine {

/// Owns one read-only mapping; movable. The pages are read when they are touched.
/// A file that is shortened by somebody else while it is mapped is outside of what a reader can
/// guard against: touching the lost pages raises SIGBUS. Replace model files by renaming.
class MappedFile {
 public:
  [[nodiscard]] static Result<MappedFile> open(const std::filesystem::path& file);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

/// Takes the whole pages inside `mapped`, which must lie in a MappedFile, out of the process's
/// memory; they are read again when touched. A pass over a checkpoint larger than memory then does
/// not push everything else out.
void drop_pages(std::span<const std::byte> mapped);

/// Reads a small text file (config.json, an index); refuses more than `limit` bytes.
[[nodiscard]] Result<std::string> read_text_file(const std::filesystem::path& file, size_t limit);

}  // namespace caretd::engine

// A whole file mapped read-only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "engine/checkpoint/mapping_guard.h"
#include "support/result.h"

namespace caretd::engine {

/// Owns one read-only mapping; movable. The pages are read when they are touched.
/// Bytes of a file that is shortened while it is mapped read as zeros; whoever has read them asks
/// intact() before using them.
class MappedFile {
 public:
  [[nodiscard]] static Result<MappedFile> open(const std::filesystem::path& file);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  /// Whether everything that was read so far came from the file. Any thread.
  [[nodiscard]] bool intact() const { return guard_.intact(); }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes), guard_(bytes) {}
  std::span<const std::byte> bytes_;
  MappingGuard guard_;
};

/// Takes the whole pages inside `mapped`, which must lie in a MappedFile, out of the process's
/// memory; they are read again when touched. A pass over a checkpoint larger than memory then does
/// not push everything else out.
void drop_pages(std::span<const std::byte> mapped);

/// Reads a small text file (config.json, an index); refuses more than `limit` bytes.
[[nodiscard]] Result<std::string> read_text_file(const std::filesystem::path& file, size_t limit);

}  // namespace caretd::engine

// Anonymous memory for weights and KV pages, and how much of it the machine has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "support/result.h"

namespace caretd::engine {

/// Zeroed memory from the system, page-aligned; a page of it is committed when first written.
class MappedMemory {
 public:
  MappedMemory() = default;
  /// ErrorKind::out_of_memory when the system has no such range. `large_pages` asks for huge
  /// pages where the system offers them: fewer address translations for what is read in full.
  [[nodiscard]] static Result<MappedMemory> allocate(std::size_t bytes, bool large_pages);
  ~MappedMemory();
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedMemory(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

/// Memory that programs can still take without swapping; unlimited where the system does not say.
[[nodiscard]] std::int64_t available_memory();

}  // namespace caretd::engine

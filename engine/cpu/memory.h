// Anonymous memory for weights and KV pages, and how much of it the machine has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <new>
#include <span>
#include <vector>

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

/// Starts every allocation on a cache line, so that no SIMD load straddles two.
template <typename T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <typename U>
  LineAllocator(const LineAllocator<U>&) {}  // NOLINT: allocators convert

  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), kLine));
  }
  void deallocate(T* values, std::size_t) { ::operator delete(values, kLine); }
  friend bool operator==(LineAllocator, LineAllocator) { return true; }
};
using Floats = std::vector<float, LineAllocator<float>>;

/// Memory that this program can still take without swapping, or being ended for it by a container's
/// limit; kUnlimitedMemory where the system does not say.
[[nodiscard]] std::int64_t available_memory();
inline constexpr std::int64_t kUnlimitedMemory = std::numeric_limits<std::int64_t>::max();

/// What the control groups of a process (version 2) leave it: `groups` is where they are mounted,
/// `membership` a file like /proc/self/cgroup.
[[nodiscard]] std::int64_t memory_left_in_groups(const std::filesystem::path& groups,
                                                 const std::filesystem::path& membership);

/// As much of a budget for what is filled little by little as may be promised now: an eighth of
/// what is free is left to others.
[[nodiscard]] std::int64_t affordable(std::int64_t budget);

}  // namespace caretd::engine

#include "engine/cpu/memory.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include <sys/mman.h>

namespace caretd::engine {
namespace {

std::int64_t memory_of_system() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::int64_t kilobytes = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
  }
  return kUnlimitedMemory;
}

/// The cache of files counts as used, and is given up first.
std::int64_t cached_files(const std::filesystem::path& group) {
  std::ifstream file(group / "memory.stat");
  std::string name;
  std::int64_t bytes = 0;
  std::int64_t total = 0;
  while (file >> name >> bytes) {
    if (name == "inactive_file" || name == "active_file") total += bytes;
  }
  return total;
}

std::int64_t left_in_group(const std::filesystem::path& group) {
  std::int64_t limit = 0;
  std::int64_t used = 0;
  // Without a limit the file says "max"; the topmost group has none of these files.
  if (!(std::ifstream(group / "memory.max") >> limit)) return kUnlimitedMemory;
  if (!(std::ifstream(group / "memory.current") >> used)) return kUnlimitedMemory;
  return std::max<std::int64_t>(0, limit - used + cached_files(group));
}

}  // namespace

Result<MappedMemory> MappedMemory::allocate(std::size_t bytes, bool large_pages) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return fail(ErrorKind::out_of_memory,
                "The system refused to reserve " + std::to_string(bytes >> 20) +
                    " MB of memory; choose a smaller model or a smaller KV budget.");
  }
  // Advice only: without huge pages everything works, a little slower.
  if (large_pages) madvise(address, bytes, MADV_HUGEPAGE);
  return MappedMemory({static_cast<std::byte*>(address), bytes});
}

MappedMemory::~MappedMemory() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

std::int64_t memory_left_in_groups(const std::filesystem::path& groups,
                                   const std::filesystem::path& membership) {
  constexpr std::string_view kVersionTwo = "0::/";
  std::ifstream file(membership);
  std::filesystem::path own;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kVersionTwo)) own = line.substr(kVersionTwo.size());
  }
  std::int64_t left = left_in_group(groups);
  for (; !own.empty(); own = own.parent_path()) {
    left = std::min(left, left_in_group(groups / own));
  }
  return left;
}

std::int64_t available_memory() {
  return std::min(memory_of_system(), memory_left_in_groups("/sys/fs/cgroup", "/proc/self/cgroup"));
}

std::int64_t affordable(std::int64_t budget) {
  const std::int64_t available = available_memory();
  return std::min(budget, available - available / 8);
}

}  // namespace caretd::engine

#include "engine/cpu/memory.h"

#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include <sys/mman.h>

namespace caretd::engine {

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

std::int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::int64_t kilobytes = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
  }
  return std::numeric_limits<std::int64_t>::max();
}

}  // namespace caretd::engine

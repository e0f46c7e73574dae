#include "engine/checkpoint/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace caretd::engine {
namespace {

/// Closes a descriptor at the end of the scope; a mapping outlives its descriptor.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

tl::unexpected<Error> system_failure(const std::filesystem::path& file, const char* action) {
  const int code = errno;
  return fail(
      code == ENOENT ? ErrorKind::not_found : ErrorKind::io,
      file.string() + ": cannot be " + action + ": " + std::generic_category().message(code) + ".");
}

/// The size of a regular file; anything else (a folder, a pipe, a device) is refused.
Result<size_t> regular_file_size(const Descriptor& descriptor, const std::filesystem::path& file) {
  struct stat status {};
  if (::fstat(descriptor.number(), &status) != 0) return system_failure(file, "examined");
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::invalid_input, file.string() + ": is not a regular file.");
  }
  return static_cast<size_t>(status.st_size);
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& file) {
  // O_NONBLOCK: opening a pipe that somebody put there must not hang.
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.number() < 0) return system_failure(file, "opened");
  const auto size = regular_file_size(descriptor, file);
  if (!size) return tl::unexpected(size.error());
  if (*size == 0) return MappedFile();
  void* address = ::mmap(nullptr, *size, PROT_READ, MAP_SHARED, descriptor.number(), 0);
  if (address == MAP_FAILED) return system_failure(file, "mapped");
  return MappedFile(std::span(static_cast<const std::byte*>(address), *size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), guard_(std::move(other.guard_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(guard_, other.guard_);
  return *this;
}

MappedFile::~MappedFile() {
  // Before the range may become somebody else's.
  guard_ = MappingGuard();
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void drop_pages(std::span<const std::byte> mapped) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data());
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + mapped.size()) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Result<std::string> read_text_file(const std::filesystem::path& file, size_t limit) {
  auto mapped = MappedFile::open(file);
  if (!mapped) return pass_on(std::move(mapped));
  const auto bytes = mapped->bytes();
  if (bytes.size() > limit) {
    return fail(ErrorKind::invalid_input, file.string() + ": is larger than the " +
                                              std::to_string(limit) +
                                              " bytes such a file may have.");
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace caretd::engine

#include "daemon/quantities.h"

#include <spdlog/fmt/fmt.h>

namespace caretd::daemon {

std::string parameter_count(std::int64_t parameters) {
  const auto count = static_cast<double>(parameters);
  return count < 1e9 ? fmt::format("{:.1f} million", count / 1e6)
                     : fmt::format("{:.1f} billion", count / 1e9);
}

std::string disk_size(std::int64_t bytes) {
  const auto size = static_cast<double>(bytes);
  return size < 1e9 ? fmt::format("{:.1f} MB", size / 1e6) : fmt::format("{:.2f} GB", size / 1e9);
}

std::string memory_size(std::int64_t bytes) {
  constexpr std::int64_t kGibibyte = std::int64_t{1} << 30;
  const auto size = static_cast<double>(bytes);
  return bytes < kGibibyte ? fmt::format("{:.1f} MiB", size / (1 << 20))
                           : fmt::format("{:.1f} GiB", size / static_cast<double>(kGibibyte));
}

}  // namespace caretd::daemon

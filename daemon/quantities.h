// Quantities as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace caretd::daemon {

/// "28.8 million", "15.7 billion".
[[nodiscard]] std::string parameter_count(std::int64_t parameters);

/// "34 MB", "31.41 GB": powers of ten, as disks and model cards count.
[[nodiscard]] std::string disk_size(std::int64_t bytes);

/// "256.0 MiB", "29.3 GiB": powers of two, as memory is counted.
[[nodiscard]] std::string memory_size(std::int64_t bytes);

}  // namespace caretd::daemon

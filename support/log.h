// Logging: spdlog to stderr. stdout belongs to the protocol; the contents of documents, prompts
// and completions are never logged.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

#include <spdlog/spdlog.h>

namespace caretd {

using Logger = std::shared_ptr<spdlog::logger>;

/// A logger that writes to stderr. `level` is one of trace, debug, info, warn, error, off;
/// an unknown word means info. Thread-safe.
[[nodiscard]] Logger make_stderr_logger(std::string_view level);

/// A logger that writes to a file, which is renamed at `max_bytes`; `files` old ones are kept.
/// Throws nothing: where the file cannot be opened it writes to stderr and says so.
[[nodiscard]] Logger make_file_logger(const std::filesystem::path& file, std::string_view level,
                                      std::size_t max_bytes, std::size_t files);

/// A logger that drops everything. For tests.
[[nodiscard]] Logger make_null_logger();

}  // namespace caretd

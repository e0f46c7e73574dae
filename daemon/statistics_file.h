// Statistics that outlive the process: a JSON file in the user's state folder. It stays on this
// machine; the counters hold no text and no paths.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "lsp/features/statistics.h"
#include "support/log.h"
#include "support/result.h"

namespace caretd::daemon {

inline constexpr const char* kStatisticsFileName = "statistics.json";

/// What is kept there; empty where there is no file. An Error names a file that cannot be read or
/// does not hold statistics.
[[nodiscard]] Result<lsp::StatisticsRecord> read_statistics(const std::filesystem::path& file);

/// Adds to what is kept there, or begins a file (mode 0600). Other processes may do so at the same
/// time: a lock beside the file makes them take turns, and the file is replaced as a whole. One
/// that does not hold statistics is renamed to end in ".broken" and begun anew.
[[nodiscard]] Result<void> add_statistics(const std::filesystem::path& file,
                                          const lsp::StatisticsRecord& more);

/// Statistics that begin with what the file holds. What they count is added to it every `interval`
/// and when the last owner lets go. Trouble with the file is logged once and costs nothing else.
[[nodiscard]] std::shared_ptr<lsp::Statistics> keep_statistics(
    const std::filesystem::path& file, Logger log,
    std::chrono::milliseconds interval = std::chrono::seconds(5));

}  // namespace caretd::daemon

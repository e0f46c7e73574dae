// SHA-256 sums of files, and the text files that list them.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "support/result.h"

namespace caretd::engine {

/// The sum as 64 lower-case hexadecimal digits. `advance` is told of every stretch of bytes that
/// is done; their pages are given back to the system.
[[nodiscard]] Result<std::string> sha256_of(std::span<const std::byte> mapped,
                                            const std::function<void(size_t)>& advance,
                                            const std::stop_token& stop);

struct ListedSum {
  std::string file;    ///< a plain name, or with "./" before it in the list
  std::string sha256;  ///< lower case
};

/// Reads what `sha256sum` prints: "SUM  NAME", "SUM *NAME" and the --tag form
/// "SHA256 (NAME) = SUM". Empty lines and lines that start with # are skipped; anything else,
/// and a name that leads out of the folder, is an error with its line number.
[[nodiscard]] Result<std::vector<ListedSum>> parse_sums(const std::string& text);

}  // namespace caretd::engine

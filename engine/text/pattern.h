// Patterns that pre-tokenisation splits at. Patterns of tokenizer.json are written for Oniguruma
// (Ruby syntax, Unicode); make_pattern either keeps their meaning exactly or refuses them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/result.h"

namespace caretd::engine {

/// Bytes [begin, end) of a text.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const Span&, const Span&) = default;
};

/// Immutable after creation; thread-safe.
class Pattern {
 public:
  virtual ~Pattern() = default;
  /// Appends the matches in `text` (well-formed UTF-8): leftmost first, not overlapping, none of
  /// them empty.
  virtual void find_all(std::string_view text, std::vector<Span>& matches) const = 0;
};

/// Matches `text` itself, which must not be empty.
[[nodiscard]] std::unique_ptr<Pattern> make_literal_pattern(std::string text);

/// Matches one numeric character (Unicode general category N).
[[nodiscard]] std::unique_ptr<Pattern> make_number_pattern();

/// A pattern of the shape C, C+, A?C, A?C+ or C+$ (A and C character classes) becomes a scanner
/// that takes linear time whatever the text; everything else goes to PCRE2.
[[nodiscard]] Result<std::unique_ptr<Pattern>> make_regex_pattern(std::string_view oniguruma);

/// As above, without the scanner. For tests, which compare the two.
[[nodiscard]] Result<std::unique_ptr<Pattern>> make_pcre2_pattern(std::string_view oniguruma);

/// The scanner alone; null where the pattern has another shape.
[[nodiscard]] std::unique_ptr<Pattern> make_scanner(std::string_view oniguruma);

/// True if every match is exactly one character and "\n" always is one.
[[nodiscard]] bool isolates_newlines(std::string_view oniguruma);

}  // namespace caretd::engine

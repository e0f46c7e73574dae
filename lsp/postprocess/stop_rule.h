// Where a completion ends, decided inside the decode loop.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "lsp/context/prompt_parts.h"

namespace caretd::lsp {

/// One per request; used by one thread at a time (the engine's), so it must be quick.
class StopRule {
 public:
  virtual ~StopRule() = default;

  /// `text` is everything generated so far; it only grows. Returns how many of its bytes are the
  /// completion when decoding is to end, nothing to go on.
  [[nodiscard]] virtual std::optional<std::size_t> end_of_completion(std::string_view text) = 0;

  /// Why the last call said stop, in a word for `caretd/why` ("line", "statement", "closer", ...).
  [[nodiscard]] virtual std::string_view reason() const = 0;
};

/// Stops without syntax: at the end of the line where the hole has text behind it on its line,
/// else after `max_lines` lines; and where the output reaches the next non-blank line of the
/// document that is longer than a closer or two.
class LineStopRule final : public StopRule {
 public:
  LineStopRule(const PromptQuery& query, int max_lines);

  [[nodiscard]] std::optional<std::size_t> end_of_completion(std::string_view text) override;
  [[nodiscard]] std::string_view reason() const override { return reason_; }

 private:
  int lines_left_;
  std::string next_line_;       // trimmed; empty if there is none worth comparing
  std::size_t line_begin_ = 0;  // of the line of the output in progress
  std::string_view reason_;
};

}  // namespace caretd::lsp

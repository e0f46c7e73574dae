// Regular expressions: PCRE2 in UTF mode, compiled to machine code where PCRE2 can.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/pattern.h"
#include "support/result.h"

struct pcre2_real_code_8;

namespace caretd::engine {

/// Immutable after compile; thread-safe. Texts are well-formed UTF-8.
class Regex {
 public:
  [[nodiscard]] static Result<Regex> compile(std::string_view pattern);

  /// See Pattern::find_all. A pattern that exceeds PCRE2's match limit matches no further.
  void find_all(std::string_view text, std::vector<Span>& matches) const;
  /// True if a match begins exactly at `at`.
  [[nodiscard]] bool matches_at(std::string_view text, std::size_t at) const;
  [[nodiscard]] bool may_match_nothing() const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Regex(std::unique_ptr<pcre2_real_code_8, FreeCode> code) : code_(std::move(code)) {}
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

/// The same pattern in PCRE2's syntax. Refuses constructs that PCRE2 lacks or reads differently.
[[nodiscard]] Result<std::string> pcre2_from_oniguruma(std::string_view pattern);

}  // namespace caretd::engine

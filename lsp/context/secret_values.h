// What looks like a key, token or password in a line, by its form or by the name it is assigned to.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "lsp/context/secrets.h"

namespace caretd::lsp {

/// Recognises secrets in one line (without its terminator). Whatever the line is, asking for all of
/// its bytes from left to right takes time in proportion to its length.
class SecretScanner {
 public:
  explicit SecretScanner(std::string_view line) : line_(line) {}

  /// The secret that is recognised at byte `at`: where a token of a known form begins, at the sign
  /// that assigns a value, in front of a URL's user, at the name of an authorization scheme. What
  /// is secret may begin behind `at`.
  [[nodiscard]] std::optional<SecretSpan> secret_at(std::size_t at);

 private:
  [[nodiscard]] std::optional<SecretSpan> known_form_at(std::size_t at);
  [[nodiscard]] std::optional<SecretSpan> assigned_value_at(std::size_t at);
  [[nodiscard]] std::optional<SecretSpan> bearer_at(std::size_t at);
  [[nodiscard]] std::size_t end_of_run(std::size_t begin);

  std::string_view line_;
  // The run of key characters found last: one with many names in it is walked through once.
  std::size_t run_begin_ = 0;
  std::size_t run_end_ = 0;
};

}  // namespace caretd::lsp

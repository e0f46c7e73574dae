// Keeps secrets out of prompts: which files never enter one, and what is cut from ordinary files
// before they are encoded.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace caretd::lsp {

/// Whether a file is a secret by its name: .env, private keys, credentials, key stores. Only the
/// last components of `path` count; forward slashes.
[[nodiscard]] bool is_secret_file(std::string_view path);

/// What one line hands to the next: whether it is inside a private key block.
struct RedactionState {
  bool in_key_block = false;

  friend bool operator==(const RedactionState&, const RedactionState&) = default;
};

/// The state at byte `offset` of a text, found without looking at every line.
[[nodiscard]] RedactionState redaction_state_at(std::string_view text, std::size_t offset);

/// Bytes of a line.
struct SecretSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// What looks like a secret in one line (without its terminator): tokens with a known form, JSON
/// web tokens, values that look random and are assigned to a name such as password or api_key,
/// passwords in URLs, the body of a private key block. Ascending, not overlapping.
[[nodiscard]] std::vector<SecretSpan> find_secrets(std::string_view line, RedactionState& state);

/// The line with each secret replaced by kRedacted. Lines stay lines.
[[nodiscard]] std::string redact_line(std::string_view line, RedactionState& state);

/// The same for several lines; line ends are kept as they are.
[[nodiscard]] std::string redact(std::string_view text, RedactionState state = {});

inline constexpr std::string_view kRedacted = "REDACTED";

}  // namespace caretd::lsp

// Stop strings in streamed text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caretd::engine {

/// Finds the first of several stop strings in a text that arrives in pieces. Text that may be the
/// beginning of a stop string is held back until it is known not to be one.
class StopMatcher {
 public:
  StopMatcher() = default;
  /// Empty strings, and strings that begin inside a UTF-8 character, never match.
  explicit StopMatcher(std::vector<std::string> stops);

  /// Appends `piece` (whole UTF-8 characters) and returns the text that became certain. Once a
  /// stop has matched, the text before it was returned and nothing more follows.
  [[nodiscard]] std::string push(std::string_view piece);

  /// The text ended without a stop: what is still held back.
  [[nodiscard]] std::string finish();

  /// The stop string that ended the text; empty if none did.
  [[nodiscard]] const std::string& matched() const { return matched_; }

 private:
  [[nodiscard]] bool match();
  [[nodiscard]] size_t length_to_hold() const;

  std::vector<std::string> stops_;
  std::string held_;
  std::string matched_;
};

}  // namespace caretd::engine

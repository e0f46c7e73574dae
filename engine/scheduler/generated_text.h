// From generated tokens to the text a sink sees: healed bytes removed, whole characters only, up
// to the first stop string.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scheduler/stop_matcher.h"
#include "engine/text/tokenizer.h"

namespace caretd::engine {

class GeneratedText {
 public:
  GeneratedText(std::shared_ptr<const Tokenizer> tokenizer, std::string forced_prefix,
                std::vector<std::string> stop);
  // Holds references between its members.
  GeneratedText(const GeneratedText&) = delete;
  GeneratedText& operator=(const GeneratedText&) = delete;

  /// Bytes of the forced prefix that the next tokens must still produce.
  [[nodiscard]] std::string_view forced() const { return forced_; }

  /// The text that became certain with this token.
  [[nodiscard]] std::string push(TokenId id);
  /// What was held back, for when no more tokens follow.
  [[nodiscard]] std::string finish();

  /// The stop string that ended the text; empty if none did.
  [[nodiscard]] const std::string& matched_stop() const { return stops_.matched(); }

 private:
  /// The bytes of a token without those that the forced prefix asked for.
  [[nodiscard]] std::string_view without_forced(std::string_view bytes);

  std::shared_ptr<const Tokenizer> tokenizer_;
  StreamingDetokenizer detokenizer_;
  std::string forced_;
  StopMatcher stops_;
};

}  // namespace caretd::engine

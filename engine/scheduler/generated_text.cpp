#include "engine/scheduler/generated_text.h"

#include <algorithm>
#include <utility>

namespace caretd::engine {

GeneratedText::GeneratedText(std::shared_ptr<const Tokenizer> tokenizer, std::string forced_prefix,
                             std::vector<std::string> stop)
    : tokenizer_(std::move(tokenizer)),
      detokenizer_(*tokenizer_),
      forced_(std::move(forced_prefix)),
      stops_(std::move(stop)) {}

std::string GeneratedText::push(TokenId id) {
  return stops_.push(detokenizer_.push(without_forced(tokenizer_->bytes(id))));
}

std::string GeneratedText::finish() {
  std::string text = stops_.push(detokenizer_.finish());
  text += stops_.finish();
  return text;
}

std::string_view GeneratedText::without_forced(std::string_view bytes) {
  const size_t consumed = std::min(bytes.size(), forced_.size());
  forced_.erase(0, consumed);
  return bytes.substr(consumed);
}

}  // namespace caretd::engine

#include "engine/encode_prompt.h"

#include <string>
#include <string_view>
#include <variant>

namespace caretd::engine {
namespace {

std::string_view name_of(ControlToken token) {
  switch (token) {
    case ControlToken::begin_of_sentence:
      return "begin-of-sentence";
    case ControlToken::end_of_sentence:
      return "end-of-sentence";
    case ControlToken::fim_begin:
      return "fill-in-the-middle begin";
    case ControlToken::fim_hole:
      return "fill-in-the-middle hole";
    case ControlToken::fim_end:
      return "fill-in-the-middle end";
    case ControlToken::user:
      return "user";
    case ControlToken::assistant:
      return "assistant";
  }
  return "unknown";
}

class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  Result<void> operator()(const std::string& text) {
    append(tokenizer_.encode(text));
    return {};
  }

  Result<void> operator()(ControlToken token) {
    const std::optional<TokenId> id = tokenizer_.control(token);
    if (!id) {
      return fail(ErrorKind::unsupported, "The model's tokenizer has no " +
                                              std::string(name_of(token)) +
                                              " token; choose a prompt form that it supports.");
    }
    ids_.push_back(*id);
    return {};
  }

  Result<void> operator()(const std::vector<TokenId>& ids) {
    for (const TokenId id : ids) {
      if (id >= 0 && id < tokenizer_.size()) continue;
      return fail(ErrorKind::invalid_input, "Token id " + std::to_string(id) +
                                                " of the prompt does not exist; the model has " +
                                                std::to_string(tokenizer_.size()) + " tokens.");
    }
    append(ids);
    return {};
  }

  std::vector<TokenId> take() { return std::move(ids_); }

 private:
  void append(const std::vector<TokenId>& ids) { ids_.insert(ids_.end(), ids.begin(), ids.end()); }

  const Tokenizer& tokenizer_;
  std::vector<TokenId> ids_;
};

}  // namespace

Result<std::vector<TokenId>> encode_prompt(const Prompt& prompt, const Tokenizer& tokenizer) {
  Encoder encoder(tokenizer);
  for (const PromptPart& part : prompt) {
    if (auto encoded = std::visit(encoder, part); !encoded) return pass_on(std::move(encoded));
  }
  std::vector<TokenId> ids = encoder.take();
  if (ids.empty()) {
    return fail(ErrorKind::invalid_input, "The prompt is empty; give it at least one token.");
  }
  return ids;
}

}  // namespace caretd::engine

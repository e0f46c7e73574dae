#include "engine/text/prompt.h"

#include <string>
#include <string_view>
#include <variant>

namespace caretd::engine {
namespace {

std::string_view describe(ControlToken token) {
  switch (token) {
    case ControlToken::begin_of_sentence:
      return "begin-of-sentence";
    case ControlToken::end_of_sentence:
      return "end-of-sentence";
    case ControlToken::fim_begin:
    case ControlToken::fim_hole:
    case ControlToken::fim_end:
      return "fill-in-the-middle";
    case ControlToken::user:
    case ControlToken::assistant:
      return "chat role";
  }
  return "required";
}

}  // namespace

Result<std::vector<TokenId>> encode_prompt(const Tokenizer& tokenizer, const Prompt& prompt) {
  std::vector<TokenId> ids;
  std::string text;
  const auto append = [&ids](const std::vector<TokenId>& more) {
    ids.insert(ids.end(), more.begin(), more.end());
  };
  const auto flush = [&] {
    append(tokenizer.encode(text));
    text.clear();
  };
  for (const PromptPart& part : prompt) {
    if (const auto* more = std::get_if<std::string>(&part)) {
      text += *more;
      continue;
    }
    flush();
    if (const auto* known = std::get_if<std::vector<TokenId>>(&part)) {
      append(*known);
      continue;
    }
    const auto control = std::get<ControlToken>(part);
    const auto id = tokenizer.control(control);
    if (!id) {
      return fail(ErrorKind::unsupported, "The model's tokenizer has no " +
                                              std::string(describe(control)) +
                                              " token, which this request needs");
    }
    ids.push_back(*id);
  }
  flush();
  return ids;
}

}  // namespace caretd::engine

#include "engine/text/fim_prompt.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace caretd::engine {
namespace {

// Tokens that the beginning of one longer token may be split into: " js" "o" for " json".
constexpr std::size_t kMostHealed = 4;

bool is_empty(const PromptPart& part) {
  const auto* text = std::get_if<std::string>(&part);
  const auto* ids = std::get_if<std::vector<TokenId>>(&part);
  return (text != nullptr && text->empty()) || (ids != nullptr && ids->empty());
}

void append(Prompt& prompt, PromptPart part) {
  if (!is_empty(part)) prompt.push_back(std::move(part));
}

}  // namespace

bool has_fim_tokens(const Tokenizer& tokenizer) {
  return tokenizer.control(ControlToken::fim_begin) && tokenizer.control(ControlToken::fim_hole) &&
         tokenizer.control(ControlToken::fim_end);
}

Prompt fim_prompt(FimParts parts) {
  Prompt prompt{ControlToken::begin_of_sentence, ControlToken::fim_begin};
  append(prompt, std::move(parts.prefix));
  prompt.emplace_back(ControlToken::fim_hole);
  append(prompt, std::move(parts.suffix));
  prompt.emplace_back(ControlToken::fim_end);
  append(prompt, std::move(parts.typed));
  return prompt;
}

Prompt left_to_right_prompt(FimParts parts) {
  Prompt prompt{ControlToken::begin_of_sentence};
  append(prompt, std::move(parts.prefix));
  append(prompt, std::move(parts.typed));
  return prompt;
}

HealedTokens heal(const Tokenizer& tokenizer, std::string_view text) {
  HealedTokens healed{tokenizer.encode(text), {}};
  const bool at_line_start = text.ends_with('\n') && tokenizer.splits_at_newlines();
  if (healed.kept.empty() || at_line_start) return healed;
  std::size_t dropped = 1;
  std::string end;
  for (std::size_t count = 1; count <= std::min(kMostHealed, healed.kept.size()); ++count) {
    end.insert(0, tokenizer.bytes(healed.kept[healed.kept.size() - count]));
    if (tokenizer.has_longer_token(end)) dropped = count;
  }
  const auto first = healed.kept.end() - static_cast<std::ptrdiff_t>(dropped);
  for (auto token = first; token != healed.kept.end(); ++token) {
    healed.forced_prefix += tokenizer.bytes(*token);
  }
  healed.kept.erase(first, healed.kept.end());
  return healed;
}

}  // namespace caretd::engine

#include "daemon/http/prompts.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "engine/text/chat_prompt.h"
#include "engine/text/fim_prompt.h"
#include "engine/text/prompt.h"
#include "lsp/context/anchored_prompt.h"
#include "lsp/syntax/language.h"

namespace caretd::daemon::api {

namespace {

using engine::ControlToken;
using engine::TokenId;
using engine::Tokenizer;
using Ids = std::vector<TokenId>;

constexpr int kFimTokens = 4;

ApiError no_fim_tokens() {
  return unsupported_field("suffix", "The model cannot fill in the middle; send no suffix.");
}

Parsed<BuiltPrompt> fitting(BuiltPrompt prompt, const PromptTarget& target) {
  const auto room = static_cast<std::size_t>(std::max(1, target.model.context_tokens));
  if (prompt.tokens.size() < room) return prompt;
  ApiError error =
      invalid_field("prompt", "The prompt has " + std::to_string(prompt.tokens.size()) +
                                  " tokens and the model's context ends at " +
                                  std::to_string(room) + "; shorten the prompt.");
  error.code = "context_length_exceeded";
  return tl::unexpected(std::move(error));
}

Parsed<BuiltPrompt> encoded(const engine::Prompt& parts, std::string forced,
                            const PromptTarget& target) {
  auto tokens = engine::encode_prompt(target.tokenizer, parts);
  if (!tokens) return tl::unexpected(to_api_error(tokens.error()));
  return fitting({*std::move(tokens), std::move(forced), false}, target);
}

/// Where the last line begins: the prefix ends there, so that it stays equal while the line grows.
std::size_t last_line_start(std::string_view text) {
  const std::size_t newline = text.rfind('\n');
  return newline == std::string_view::npos ? 0 : newline + 1;
}

Ids raw_tokens(const std::string& text, bool add_special, const Tokenizer& tokenizer) {
  Ids ids = tokenizer.encode(text, Tokenizer::ControlStrings::as_tokens);
  const auto begin = tokenizer.control(ControlToken::begin_of_sentence);
  const bool begins = begin && !ids.empty() && ids.front() == *begin;
  if (add_special && begin && !begins) ids.insert(ids.begin(), *begin);
  return ids;
}

/// The pieces of an infill prompt as ids, before they are cut to the context.
struct InfillParts {
  std::vector<Ids> extra;  ///< in the order sent, the newest last
  Ids prefix;
  Ids suffix;
  engine::HealedTokens typed;
};

std::string with_file_name(const ExtraContext& piece) {
  const lsp::Language& language = lsp::find_language({}, piece.filename);
  const std::string header =
      piece.filename.empty() ? std::string() : lsp::path_header(language, piece.filename);
  return header + piece.text + (piece.text.ends_with('\n') ? "" : "\n");
}

InfillParts encode_parts(const InfillFields& fields, const Tokenizer& tokenizer) {
  const std::string before = fields.prefix + fields.typed;
  const std::size_t line = last_line_start(before);
  const std::string_view text = before;
  InfillParts parts;
  for (const ExtraContext& piece : fields.extra) {
    parts.extra.push_back(tokenizer.encode(with_file_name(piece)));
  }
  parts.prefix = tokenizer.encode(text.substr(0, line));
  parts.suffix = tokenizer.encode(fields.suffix);
  parts.typed = engine::heal(tokenizer, text.substr(line));
  return parts;
}

/// Cuts the parts to `budget` tokens; true if anything had to go.
bool cut_to(InfillParts& parts, std::size_t budget) {
  bool cut = false;
  const auto keep_last = [&cut](Ids& ids, std::size_t count) {
    if (ids.size() <= count) return;
    ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(count));
    cut = true;
  };
  keep_last(parts.typed.kept, budget / 2);
  budget -= parts.typed.kept.size();
  if (parts.suffix.size() > budget / 4 && parts.prefix.size() + parts.suffix.size() > budget) {
    const std::size_t beside = budget - std::min(budget, parts.prefix.size());
    const std::size_t count = std::min(parts.suffix.size(), std::max(budget / 4, beside));
    cut = cut || count < parts.suffix.size();
    parts.suffix.resize(count);
  }
  budget -= parts.suffix.size();
  keep_last(parts.prefix, budget);
  budget -= parts.prefix.size();
  std::size_t kept = 0;
  auto piece = parts.extra.rbegin();
  while (piece != parts.extra.rend() && kept + piece->size() <= budget) {
    kept += piece->size();
    ++piece;
  }
  cut = cut || piece != parts.extra.rend();
  parts.extra.erase(parts.extra.begin(), piece.base());
  return cut;
}

}  // namespace

Parsed<BuiltPrompt> completion_prompt(const CompletionFields& fields, const RawPrompt& prompt,
                                      const PromptTarget& target) {
  if (const auto* ids = std::get_if<Ids>(&prompt)) return fitting({*ids, {}, false}, target);
  const auto& text = std::get<std::string>(prompt);
  if (!fields.suffix) {
    Ids ids = raw_tokens(text, fields.add_special_tokens, target.tokenizer);
    return fitting({std::move(ids), {}, false}, target);
  }
  if (!target.model.fill_in_the_middle) return tl::unexpected(no_fim_tokens());
  const std::size_t line = last_line_start(text);
  engine::HealedTokens typed = engine::heal(target.tokenizer, std::string_view(text).substr(line));
  const engine::Prompt parts =
      engine::fim_prompt({text.substr(0, line), *fields.suffix, std::move(typed.kept)});
  return encoded(parts, std::move(typed.forced_prefix), target);
}

Parsed<BuiltPrompt> conversation_prompt(const ChatFields& fields, const PromptTarget& target) {
  const auto form = engine::read_chat_template(target.tokenizer);
  if (!form) return tl::unexpected(to_api_error(form.error()));
  return encoded(engine::chat_prompt(*form, fields.messages), {}, target);
}

Parsed<BuiltPrompt> infill_prompt(const InfillFields& fields, const PromptTarget& target) {
  if (!target.model.fill_in_the_middle) return tl::unexpected(no_fim_tokens());
  InfillParts parts = encode_parts(fields, target.tokenizer);
  const int answer = std::min(fields.max_tokens, target.model.context_tokens / 4);
  const int budget = std::max(8, target.model.context_tokens - answer - kFimTokens);
  const bool truncated = cut_to(parts, static_cast<std::size_t>(budget));
  Ids prefix;
  for (const Ids& piece : parts.extra) prefix.insert(prefix.end(), piece.begin(), piece.end());
  prefix.insert(prefix.end(), parts.prefix.begin(), parts.prefix.end());
  auto prompt = encoded(
      engine::fim_prompt({std::move(prefix), std::move(parts.suffix), std::move(parts.typed.kept)}),
      std::move(parts.typed.forced_prefix), target);
  if (prompt) prompt->truncated = truncated;
  return prompt;
}

}  // namespace caretd::daemon::api

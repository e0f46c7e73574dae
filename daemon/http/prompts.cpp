#include "daemon/http/prompts.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "engine/text/chat_prompt.h"
#include "engine/text/fim_prompt.h"
#include "engine/text/prompt.h"
#include "engine/text/utf8.h"
#include "lsp/context/anchored_prompt.h"
#include "lsp/syntax/language.h"

namespace caretd::daemon::api {

namespace {

using engine::ControlToken;
using engine::TokenId;
using engine::Tokenizer;
using Ids = std::vector<TokenId>;

constexpr int kFimTokens = 4;
/// Bytes for a token of a model elsewhere, whose tokens are not at hand to be counted. Source code
/// has more; the server refuses what turns out too long.
constexpr int kBytesPerToken = 2;
constexpr int kAssumedContextTokens = 4096;  ///< where the server does not say

ApiError no_filling_in() {
  return unsupported_field("suffix", "The model does not fill in the middle; send no suffix.");
}

Parsed<BuiltPrompt> fitting(Ids ids, std::string forced, const PromptTarget& target) {
  const auto room = static_cast<std::size_t>(std::max(1, target.model.context_tokens));
  const std::size_t size = ids.size();
  if (size < room || !target.model.local) {
    return BuiltPrompt{{std::move(ids)}, std::move(forced), false};
  }
  ApiError error = invalid_field("prompt", "The prompt has " + std::to_string(size) +
                                               " tokens and the model's context ends at " +
                                               std::to_string(room) + "; shorten the prompt.");
  error.code = "context_length_exceeded";
  return tl::unexpected(std::move(error));
}

Parsed<BuiltPrompt> encoded(engine::Prompt parts, std::string forced, const PromptTarget& target) {
  if (!target.model.local) return BuiltPrompt{std::move(parts), std::move(forced), false};
  auto tokens = engine::encode_prompt(*target.tokenizer, parts);
  if (!tokens) return tl::unexpected(to_api_error(tokens.error()));
  return fitting(*std::move(tokens), std::move(forced), target);
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

/// What an infill prompt is made of, before it is cut to the context: ids, or text.
template <typename Piece>
struct InfillParts {
  std::vector<Piece> extra;  ///< in the order sent, the newest last
  Piece prefix;
  Piece suffix;
  Piece typed;
};

std::string with_file_name(const ExtraContext& piece) {
  const lsp::Language& language = lsp::find_language({}, piece.filename);
  const std::string header =
      piece.filename.empty() ? std::string() : lsp::path_header(language, piece.filename);
  return header + piece.text + (piece.text.ends_with('\n') ? "" : "\n");
}

InfillParts<std::string> text_parts(const InfillFields& fields) {
  const std::string before = fields.prefix + fields.typed;
  const std::size_t line = last_line_start(before);
  InfillParts<std::string> parts;
  for (const ExtraContext& piece : fields.extra) parts.extra.push_back(with_file_name(piece));
  parts.prefix = before.substr(0, line);
  parts.suffix = fields.suffix;
  parts.typed = before.substr(line);
  return parts;
}

/// Cuts the parts to `budget` tokens or bytes; true if anything had to go.
template <typename Piece>
bool cut_to(InfillParts<Piece>& parts, std::size_t budget) {
  bool cut = false;
  const auto keep_last = [&cut](Piece& piece, std::size_t count) {
    if (piece.size() <= count) return;
    piece.erase(piece.begin(), piece.end() - static_cast<std::ptrdiff_t>(count));
    cut = true;
  };
  keep_last(parts.typed, budget / 2);
  budget -= parts.typed.size();
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

/// Without the suffix for a model that takes none.
template <typename Piece>
engine::Prompt joined(InfillParts<Piece> parts, bool fill_in_the_middle) {
  Piece prefix;
  for (const Piece& piece : parts.extra) prefix.insert(prefix.end(), piece.begin(), piece.end());
  prefix.insert(prefix.end(), parts.prefix.begin(), parts.prefix.end());
  engine::FimParts around{std::move(prefix), std::move(parts.suffix), std::move(parts.typed)};
  return fill_in_the_middle ? engine::fim_prompt(std::move(around))
                            : engine::left_to_right_prompt(std::move(around));
}

/// What is left of a text that was cut at any byte, without halves of characters.
void keep_whole_characters(std::string& text) {
  const auto inside = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; };
  text.erase(text.begin(), std::ranges::find_if_not(text, inside));
  const std::size_t whole = engine::well_formed_prefix(text);
  text.resize(whole);
}

/// Tokens, or bytes that stand for as many, around the hole; the reply has room beside them.
int infill_budget(const InfillFields& fields, int context_tokens) {
  const int answer = std::min(fields.answer_tokens(), context_tokens / 4);
  return std::max(8, context_tokens - answer - kFimTokens);
}

Parsed<BuiltPrompt> infill_text(const InfillFields& fields, const PromptTarget& target) {
  const int known = target.model.context_tokens;
  const int tokens = infill_budget(fields, known > 0 ? known : kAssumedContextTokens);
  InfillParts<std::string> parts = text_parts(fields);
  if (!target.model.fill_in_the_middle) parts.suffix.clear();
  const bool truncated = cut_to(parts, static_cast<std::size_t>(tokens) * kBytesPerToken);
  for (std::string* text : {&parts.prefix, &parts.suffix, &parts.typed}) {
    keep_whole_characters(*text);
  }
  return BuiltPrompt{joined(std::move(parts), target.model.fill_in_the_middle), {}, truncated};
}

Parsed<BuiltPrompt> infill_ids(const InfillFields& fields, const PromptTarget& target) {
  const Tokenizer& tokenizer = *target.tokenizer;
  const InfillParts<std::string> text = text_parts(fields);
  engine::HealedTokens typed = engine::heal(tokenizer, text.typed);
  InfillParts<Ids> parts{
      {}, tokenizer.encode(text.prefix), tokenizer.encode(text.suffix), std::move(typed.kept)};
  const bool fill = target.model.fill_in_the_middle;
  if (!fill) parts.suffix.clear();  // leaves its room to the prefix
  for (const std::string& piece : text.extra) parts.extra.push_back(tokenizer.encode(piece));
  const int budget = infill_budget(fields, target.model.context_tokens);
  const bool truncated = cut_to(parts, static_cast<std::size_t>(budget));
  auto prompt = encoded(joined(std::move(parts), fill), std::move(typed.forced_prefix), target);
  if (prompt) prompt->truncated = truncated;
  return prompt;
}

}  // namespace

Parsed<BuiltPrompt> completion_prompt(const CompletionFields& fields, const RawPrompt& prompt,
                                      const PromptTarget& target) {
  if (const auto* ids = std::get_if<Ids>(&prompt)) return fitting(*ids, {}, target);
  const auto& text = std::get<std::string>(prompt);
  if (!fields.suffix) {
    if (!target.model.local) return BuiltPrompt{{text}, {}, false};
    return fitting(raw_tokens(text, fields.add_special_tokens, *target.tokenizer), {}, target);
  }
  if (!target.model.fill_in_the_middle) return tl::unexpected(no_filling_in());
  const std::size_t line = last_line_start(text);
  std::string before = text.substr(0, line);
  if (!target.model.local) {
    return encoded(engine::fim_prompt({std::move(before), *fields.suffix, text.substr(line)}), {},
                   target);
  }
  engine::HealedTokens typed = engine::heal(*target.tokenizer, std::string_view(text).substr(line));
  return encoded(engine::fim_prompt({std::move(before), *fields.suffix, std::move(typed.kept)}),
                 std::move(typed.forced_prefix), target);
}

Parsed<BuiltPrompt> conversation_prompt(const ChatFields& fields, const PromptTarget& target) {
  if (target.tokenizer == nullptr) {
    return tl::unexpected(http_error(
        501,
        "Conversations with the model at " + target.model.device +
            " need remote.tokenizer, the folder of its tokenizer with the chat template.",
        "no_chat_template"));
  }
  const auto form = engine::read_chat_template(*target.tokenizer);
  if (!form) return tl::unexpected(to_api_error(form.error()));
  return encoded(engine::chat_prompt(*form, fields.messages), {}, target);
}

Parsed<BuiltPrompt> infill_prompt(const InfillFields& fields, const PromptTarget& target) {
  return target.model.local ? infill_ids(fields, target) : infill_text(fields, target);
}

}  // namespace caretd::daemon::api

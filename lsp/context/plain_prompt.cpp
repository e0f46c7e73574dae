#include "lsp/context/plain_prompt.h"

#include <algorithm>
#include <utility>

namespace caretd::lsp {
namespace {

// Bytes that are certain to hold more tokens than the budget, so that a file of megabytes on one
// line is not encoded as a whole. Runs of spaces make the longest tokens.
constexpr std::size_t kBytesPerTokenAtMost = 16;

struct Cut {
  std::size_t bytes = 0;
  int tokens = 0;
};

int count(std::string_view text, const engine::Tokenizer& tokenizer) {
  return static_cast<int>(tokenizer.encode(text).size());
}

std::size_t start_of_last_line(std::string_view text) {
  const std::size_t body = text.empty() ? 0 : text.size() - 1;  // a final newline ends the line
  const std::size_t newline = text.substr(0, body).rfind('\n');
  return newline == std::string_view::npos ? 0 : newline + 1;
}

std::size_t end_of_first_line(std::string_view text) {
  const std::size_t newline = text.find('\n');
  return newline == std::string_view::npos ? text.size() : newline + 1;
}

bool continues_character(std::string_view text, std::size_t offset) {
  return offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80;
}

// The last `budget` tokens of one line.
Cut end_of_line_within(std::string_view line, int budget, const engine::Tokenizer& tokenizer) {
  std::size_t begin = line.size() - std::min(line.size(), budget * kBytesPerTokenAtMost);
  while (continues_character(line, begin)) ++begin;
  const std::vector<engine::TokenId> ids = tokenizer.encode(line.substr(begin));
  const std::size_t kept = std::min(ids.size(), static_cast<std::size_t>(budget));
  std::size_t bytes = tokenizer.decode(std::span(ids).last(kept)).size();
  while (bytes > 0 && continues_character(line, line.size() - bytes)) --bytes;
  return {bytes, static_cast<int>(kept)};
}

Cut start_of_line_within(std::string_view line, int budget, const engine::Tokenizer& tokenizer) {
  std::string_view window = line.substr(0, budget * kBytesPerTokenAtMost);
  const std::vector<engine::TokenId> ids = tokenizer.encode(window);
  const std::size_t kept = std::min(ids.size(), static_cast<std::size_t>(budget));
  std::size_t bytes = tokenizer.decode(std::span(ids).first(kept)).size();
  while (bytes > 0 && continues_character(line, bytes)) --bytes;
  return {bytes, static_cast<int>(kept)};
}

// How much of the end of `text` fits.
Cut cut_prefix(std::string_view text, int budget, const engine::Tokenizer& tokenizer) {
  Cut cut;
  while (cut.bytes < text.size()) {
    const std::string_view rest = text.substr(0, text.size() - cut.bytes);
    const std::string_view line = rest.substr(start_of_last_line(rest));
    const bool may_fit = line.size() <= budget * kBytesPerTokenAtMost;
    const int tokens = may_fit ? count(line, tokenizer) : budget + 1;
    if (cut.tokens + tokens > budget) {
      return cut.bytes == 0 && budget > 0 ? end_of_line_within(line, budget, tokenizer) : cut;
    }
    cut.bytes += line.size();
    cut.tokens += tokens;
  }
  return cut;
}

// How much of the beginning of `text` fits.
Cut cut_suffix(std::string_view text, int budget, const engine::Tokenizer& tokenizer) {
  Cut cut;
  while (cut.bytes < text.size()) {
    const std::string_view rest = text.substr(cut.bytes);
    const std::string_view line = rest.substr(0, end_of_first_line(rest));
    const bool may_fit = line.size() <= budget * kBytesPerTokenAtMost;
    const int tokens = may_fit ? count(line, tokenizer) : budget + 1;
    if (cut.tokens + tokens > budget) {
      return cut.bytes == 0 && budget > 0 ? start_of_line_within(line, budget, tokenizer) : cut;
    }
    cut.bytes += line.size();
    cut.tokens += tokens;
  }
  return cut;
}

// What healing forces. Of a line of megabytes only the end is encoded.
std::string healed_end(std::string_view text, const engine::Tokenizer& tokenizer) {
  std::string_view line = text.substr(start_of_last_line(text));
  if (line.ends_with('\n') || line.ends_with('\r')) return {};
  std::size_t begin = line.size() - std::min(line.size(), 16 * kBytesPerTokenAtMost);
  while (continues_character(line, begin)) ++begin;
  return engine::heal(tokenizer, line.substr(begin)).forced_prefix;
}

std::string text_before(const PromptQuery& query) {
  return std::string(query.document->text.view().substr(0, query.before)) + query.pending;
}

PromptPiece piece(PieceKind kind, const PromptQuery& query, std::size_t begin, std::size_t end,
                  int tokens) {
  return {kind, query.document->uri, begin, end, tokens};
}

}  // namespace

std::string_view to_string(PieceKind kind) {
  switch (kind) {
    case PieceKind::path:
      return "path";
    case PieceKind::definition:
      return "definition";
    case PieceKind::recent_edit:
      return "recent_edit";
    case PieceKind::prefix:
      return "prefix";
    case PieceKind::suffix:
      return "suffix";
    case PieceKind::typed:
      return "typed";
  }
  return "unknown";
}

CompletionPrompt build_plain_prompt(const PromptQuery& query, const PromptBudget& budget,
                                    const engine::Tokenizer& tokenizer, bool fill_in_the_middle) {
  constexpr int kControlTokens = 4;
  const std::string before = text_before(query);
  std::string healed = healed_end(before, tokenizer);
  const std::string_view prefix = std::string_view(before).substr(0, before.size() - healed.size());
  const std::string_view suffix = query.document->text.view().substr(query.after);
  const int available = std::max(0, budget.tokens - kControlTokens);

  const int suffix_budget =
      fill_in_the_middle ? static_cast<int>(available * budget.suffix_share) : 0;
  Cut after = cut_suffix(suffix, suffix_budget, tokenizer);
  const Cut ahead = cut_prefix(prefix, available - after.tokens, tokenizer);
  if (fill_in_the_middle && ahead.bytes == prefix.size() && after.bytes < suffix.size()) {
    after = cut_suffix(suffix, available - ahead.tokens, tokenizer);
  }

  CompletionPrompt result;
  result.forced_prefix = std::move(healed);
  result.replace_end = query.after;
  const std::size_t begin = std::min(prefix.size() - ahead.bytes, query.before);
  result.pieces.push_back(
      piece(PieceKind::prefix, query, begin, std::min(prefix.size(), query.before), ahead.tokens));
  engine::FimParts parts;
  parts.prefix = std::string(prefix.substr(prefix.size() - ahead.bytes));
  if (!fill_in_the_middle) {
    result.prompt = engine::left_to_right_prompt(std::move(parts));
    return result;
  }
  result.pieces.push_back(
      piece(PieceKind::suffix, query, query.after, query.after + after.bytes, after.tokens));
  parts.suffix = std::string(suffix.substr(0, after.bytes));
  result.prompt = engine::fim_prompt(std::move(parts));
  return result;
}

}  // namespace caretd::lsp

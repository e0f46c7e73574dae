#include "lsp/postprocess/finish.h"

#include <algorithm>

#include "lsp/postprocess/closers.h"
#include "lsp/postprocess/overlap.h"
#include "lsp/postprocess/reindent.h"
#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

void cut_at(std::string& text, std::string_view mark) {
  if (!mark.empty()) text.resize(std::min(text.find(mark), text.size()));
}

std::string with_line_feeds(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      result += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      result += '\n';
    }
  }
  return result;
}

std::string with_crlf(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') result += '\r';
    result += c;
  }
  return result;
}

void trim_end(std::string& text) {
  const std::size_t last = text.find_last_not_of(" \t\n");
  text.resize(last == std::string::npos ? 0 : last + 1);
}

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

// `text` is not blank. Where it begins below the hole's line, that line is the one above.
bool repeats_line_above(const CompletionSite& site, std::string_view text) {
  const std::size_t newline = text.substr(0, text.find_first_not_of(" \t\n")).rfind('\n');
  const bool below = newline != std::string_view::npos && !trimmed(site.typed()).empty();
  const std::string line = below ? std::string(first_line(text.substr(newline + 1)))
                                 : std::string(site.typed()) + std::string(first_line(text));
  const std::string_view above = below ? site.typed() : std::string_view(site.line_above);
  const bool says_something = std::ranges::any_of(trimmed(line), is_word_character);
  return says_something && trimmed(line) == trimmed(above) &&
         indent_columns(line, site.indent.width) == indent_columns(above, site.indent.width);
}

}  // namespace

std::optional<Insertion> finish_completion(const CompletionSite& site, std::string_view generated,
                                           std::span<const std::string> control_texts) {
  std::string text = with_line_feeds(generated);
  for (const std::string& mark : control_texts) cut_at(text, mark);
  cut_at(text, kReplacementCharacter);
  cut_at(text, std::string_view("\0", 1));
  cut_lines_that_follow(text, site);
  cut_rest_of_line(text, site);
  const Closers closers = match_closers(site, text);
  text.resize(closers.valid);
  trim_end(text);
  const std::size_t replaced = replaced_bytes(site, closers, text);
  text = reindented(site, text);
  if (replaced < site.replaceable && text.find('\n') == std::string::npos) {
    // The editor would have closed these itself, had they been typed.
    for (std::size_t i = closers.left_open.size(); i-- > 0;) {
      text += matching_bracket(closers.left_open[i]);
    }
  }
  if (trimmed(text).empty() || text == site.rest.substr(0, replaced)) return std::nullopt;
  if (repeats_line_above(site, text)) return std::nullopt;
  if (site.crlf) text = with_crlf(text);
  return Insertion{std::move(text), replaced};
}

bool may_ask_automatically(const CompletionSite& site) {
  return !site.inside_word;
}

}  // namespace caretd::lsp

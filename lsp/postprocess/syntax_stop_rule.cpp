#include "lsp/postprocess/syntax_stop_rule.h"

#include <algorithm>
#include <utility>

#include "lsp/context/literals.h"
#include "lsp/postprocess/overlap.h"
#include "lsp/postprocess/repetition.h"
#include "lsp/postprocess/syntactic_end.h"

namespace caretd::lsp {
namespace {

// A line that says enough to be recognised: "}", "end" and "else" follow almost anything.
bool is_telling(std::string_view line) {
  return line.size() >= 5 && std::ranges::count_if(line, is_word_character) >= 3;
}

// A decorator, or the first line of a call or block: others that are near often begin the same.
bool is_head(std::string_view line) {
  return line.starts_with('@') || std::string_view("([{:").find(line.back()) != line.npos;
}

// Bytes of `text` without the white space and the line ends it ends with.
std::size_t without_trailing_space(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? 0 : last + 1;
}

}  // namespace

SyntaxStopRule::SyntaxStopRule(CompletionSite site, StopLimits limits)
    : site_(std::move(site)),
      limits_(limits),
      source_(*site_.language, site_.before, site_.before_tree) {}

std::optional<std::size_t> SyntaxStopRule::stop(std::size_t keep, std::string_view reason) {
  reason_ = reason;
  return keep;
}

std::optional<std::size_t> SyntaxStopRule::end_of_completion(std::string_view text) {
  if (text.size() <= seen_) return std::nullopt;
  source_.append(text.substr(seen_));
  const bool look = worth_a_look(text);
  seen_ = text.size();
  if (const auto end = stop_at_rest(text)) return end;
  if (const auto end = stop_at_repetition(text)) return end;
  if (!look) return std::nullopt;
  if (const auto end = stop_by_text(text)) return end;
  return site_.extent == Extent::literal ? stop_in_literal(text) : stop_by_syntax(text);
}

// A line end, a closer or a semicolon is new, or a line's first word is complete.
bool SyntaxStopRule::worth_a_look(std::string_view text) const {
  const std::string_view fresh = text.substr(seen_);
  constexpr std::string_view kTriggers = ")]};\n\"'`";
  if (fresh.find_first_of(kTriggers) != std::string_view::npos) return true;
  if (site_.extent == Extent::literal) return fresh.find(site_.literal_end.back()) != fresh.npos;
  const std::size_t newline = text.rfind('\n');
  if (newline == std::string_view::npos) return false;
  const std::size_t word = text.find_first_not_of(" \t", newline + 1);
  if (word == std::string_view::npos) return false;
  std::size_t after = word;
  while (after < text.size() && is_word_character(text[after])) ++after;
  return after < text.size() && after >= seen_;
}

// The first complete line from `begin` on that is not blank is the second one behind the hole.
bool SyntaxStopRule::next_line_follows(std::string_view text, std::size_t begin) const {
  if (site_.following.size() < 2) return true;
  for (std::size_t end = text.find('\n', begin); end != std::string_view::npos;
       begin = end + 1, end = text.find('\n', begin)) {
    const std::string_view line = trimmed(text.substr(begin, end - begin));
    if (!line.empty()) return line == trimmed(site_.following[1]);
  }
  return false;
}

// Lines that the document has behind the hole anyway, and lines that come again and again.
std::optional<std::size_t> SyntaxStopRule::stop_by_text(std::string_view text) {
  std::size_t begin = 0;
  std::string_view repeated;
  int same = 0;
  std::size_t end_of_first = 0;
  for (std::size_t newline = text.find('\n'); newline != std::string_view::npos;
       begin = newline + 1, newline = text.find('\n', begin)) {
    const std::string_view tail = text.substr(begin, newline - begin);
    const std::string whole = begin == 0 ? std::string(site_.typed()) + std::string(tail) : "";
    const std::string_view line = trimmed(begin == 0 ? std::string_view(whole) : tail);
    const bool next = !site_.following.empty() && line == trimmed(site_.following.front());
    if (next && is_telling(line) && (!is_head(line) || next_line_follows(text, newline + 1))) {
      return stop(begin == 0 ? 0 : begin - 1, "suffix");
    }
    if (begin == 0 || line.empty()) continue;
    // With its indentation: nested blocks end in equal words, each further left.
    const std::string_view content = tail.substr(0, without_trailing_space(tail));
    if (content != repeated) {
      repeated = content;
      same = 0;
      end_of_first = newline;
    }
    if (++same >= limits_.same_lines && is_telling(line)) return stop(end_of_first, "repetition");
  }
  return std::nullopt;
}

// In comments and doc strings it may be a ruler.
std::optional<std::size_t> SyntaxStopRule::stop_at_repetition(std::string_view text) {
  if (site_.in_comment || site_.extent == Extent::literal) return std::nullopt;
  const auto end = begin_of_repetition(text);
  return end ? stop(without_trailing_space(text.substr(0, *end)), "repetition") : std::nullopt;
}

std::optional<std::size_t> SyntaxStopRule::stop_at_rest(std::string_view text) {
  const std::size_t at = find_rest_of_line(text, site_);
  if (at == std::string_view::npos) return std::nullopt;
  return stop(at, "suffix");
}

std::optional<std::size_t> SyntaxStopRule::stop_in_literal(std::string_view text) {
  const std::size_t close = text.find(site_.literal_end);
  if (close != std::string_view::npos) return stop(close + site_.literal_end.size(), "literal");
  if (std::ranges::count(text, '\n') >= limits_.lines) return stop(text.rfind('\n'), "lines");
  return std::nullopt;
}

// The output ends within a string or comment that it began: half of one looks like code.
bool SyntaxStopRule::is_in_literal(std::string_view text) const {
  if (site_.extent == Extent::line && text.find('\n') != std::string_view::npos) return false;
  const std::string quoted = site_.quote == 0 ? "" : std::string(1, site_.quote);
  return open_literal(*site_.language, quoted + std::string(text)) != std::string_view::npos;
}

std::optional<std::size_t> SyntaxStopRule::stop_by_syntax(std::string_view text) {
  if (is_in_literal(text)) {
    if (std::ranges::count(text, '\n') < limits_.lines) return std::nullopt;
    return stop(text.rfind('\n'), "lines");
  }
  const auto found = find_syntactic_end(site_, limits_.lines, source_);
  if (!found) return std::nullopt;
  const std::size_t hole = site_.before.size();
  const std::string_view generated = source_.text().substr(hole);
  const std::size_t end = found->offset < hole ? 0 : found->offset - hole;
  return stop(without_trailing_space(generated.substr(0, end)), found->reason);
}

}  // namespace caretd::lsp

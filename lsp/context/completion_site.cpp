#include "lsp/context/completion_site.h"

#include <algorithm>
#include <optional>

#include "lsp/context/excerpt.h"
#include "lsp/context/literals.h"
#include "lsp/syntax/source_tokens.h"
#include "support/thread_clock.h"

namespace caretd::lsp {
namespace {

constexpr std::size_t kFollowingLines = 12;

bool is_blank(std::string_view text) {
  return trimmed(text).empty();
}

std::string_view slice(std::string_view text, const SourceToken& token) {
  return text.substr(token.begin, token.end - token.begin);
}

// Whether the code leaves no semicolon out, as far as lines tell: those of a chain of calls but the
// last end without one in any style.
bool writes_semicolons(std::string_view code) {
  int with = 0;
  int without = 0;
  for (std::size_t end = code.find('\n'); end != std::string_view::npos;
       code.remove_prefix(end + 1), end = code.find('\n')) {
    const std::string_view line = trimmed(code.substr(0, end));
    if (line.empty() || line.starts_with("//") || line.starts_with('*')) continue;
    if (line.back() == ';') ++with;
    if (line.back() == ')' || is_word_character(line.back())) ++without;
  }
  return with >= 2 && with > without;
}

// A stack of open brackets; closers that match nothing are passed over.
void track(std::string& open, char bracket, TokenClass cls) {
  if (cls == TokenClass::opener) open.push_back(bracket);
  if (cls == TokenClass::closer && !open.empty() && open.back() == matching_bracket(bracket)) {
    open.pop_back();
  }
}

// Leading bytes of `rest` that only close what the hole's line opened.
std::size_t count_replaceable(const CompletionSite& site) {
  std::string open = site.open_brackets.substr(site.open_above);
  char quote = site.quote;
  std::size_t end = 0;
  for (std::size_t i = 0; i < site.rest.size(); ++i) {
    const char c = site.rest[i];
    if (c == ' ' || c == '\t') continue;
    if (!site.literal_end.empty() && site.rest.substr(i).starts_with(site.literal_end)) {
      i += site.literal_end.size() - 1;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (quote == 0 && !open.empty() && c == matching_bracket(open.back())) {
      open.pop_back();
    } else {
      const bool semicolon = c == ';' && is_blank(std::string_view(site.rest).substr(i + 1));
      if (semicolon && end > 0) end = i + 1;
      break;
    }
    end = i + 1;
  }
  return end;
}

// How many brackets the text behind the hole closes without having opened them.
int closers_behind(const PromptQuery& query, const Language& language, const SyntaxTree* tree) {
  const std::string_view text = query.document->text.view();
  std::size_t end = std::min(text.size(), query.after + kExcerptBytes);
  if (tree) {
    const TSNode node = top_level_node(*tree, query.after);
    if (!ts_node_is_null(node) && !ts_node_is_error(node) &&
        ts_node_start_byte(node) <= query.after) {
      end = std::min<std::size_t>(end, ts_node_end_byte(node));
    }
  }
  int depth = 0;
  int closers = 0;
  for (const SourceToken& token : source_tokens(tree, language, text, query.after, end)) {
    if (token.begin < query.after) continue;
    if (token.cls == TokenClass::opener) ++depth;
    if (token.cls == TokenClass::closer && depth-- == 0) {
      depth = 0;
      ++closers;
    }
  }
  return closers;
}

std::size_t brackets_in(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return matching_bracket(c) != 0; }));
}

void describe_lines(CompletionSite& site, const PromptQuery& query) {
  const Text& text = query.document->text;
  const std::size_t line = text.line_of(query.after);
  const std::size_t end = text.line_end(line);
  if (query.after < end) site.rest = text.view().substr(query.after, end - query.after);
  for (std::size_t i = line + 1; i < text.line_count() && site.following.size() < kFollowingLines;
       ++i) {
    if (!is_blank(text.line(i))) site.following.emplace_back(text.line(i));
  }
  const std::size_t newline = site.before.rfind('\n');
  site.line_begin = newline == std::string::npos ? 0 : newline + 1;
  std::string_view above = std::string_view(site.before).substr(0, site.line_begin);
  while (!above.empty() && site.line_above.empty()) {
    above.remove_suffix(1);
    const std::string_view content = above.substr(above.rfind('\n') + 1);
    if (!is_blank(content)) site.line_above = content;
    above.remove_suffix(content.size());
  }
  if (site.line_above.ends_with('\r')) site.line_above.pop_back();
  site.crlf = text.line_count() > 1 && text.view().substr(text.line_end(0)).starts_with("\r\n");
  site.inside_word = !site.before.empty() && is_word_character(site.before.back()) &&
                     !site.rest.empty() && is_word_character(site.rest.front());
  site.indent = detect_indent(text, line);
  // A recipe begins with a tab, whatever lines that are continued begin with.
  const std::string_view id = query.document->language_id;
  if (id == "makefile" || id == "make") site.indent.known = false;
}

LineWords words_of_line(const CompletionSite& site, const std::vector<SourceToken>& tokens,
                        std::size_t begin, std::size_t end) {
  LineWords words;
  for (const SourceToken& token : tokens) {
    if (token.begin < begin || token.end > end || token.cls == TokenClass::comment) continue;
    words.add(slice(site.before, token), *site.language);
  }
  return words;
}

// Where the line begins on which the statement does whose last line begins at `begin`: arguments
// may be on lines of their own, indented as one likes.
std::size_t head_begin(std::string_view source, const std::vector<SourceToken>& tokens,
                       std::size_t begin, std::size_t end) {
  std::vector<std::size_t> open;
  for (const SourceToken& token : tokens) {
    if (token.begin >= end) break;
    if (token.cls == TokenClass::opener) open.push_back(token.begin);
    if (token.cls != TokenClass::closer || open.empty()) continue;
    const std::size_t opener = open.back();
    open.pop_back();
    if (token.begin < begin || opener >= begin) continue;
    const std::size_t newline = source.rfind('\n', opener);
    const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    return head_begin(source, tokens, line, begin);
  }
  return begin;
}

// Whether the last line with code in front of the hole opened a block, and nothing is in it yet.
bool block_is_empty(CompletionSite& site, const std::vector<SourceToken>& tokens) {
  const std::string_view source = site.before;
  const bool on_own_line = is_blank(site.typed());
  std::size_t end = on_own_line ? site.line_begin : source.size();
  std::size_t begin = site.line_begin;
  while (on_own_line && begin > 0 && is_blank(source.substr(begin, end - begin))) {
    end = begin;
    begin = source.rfind('\n', begin - 2 < begin ? begin - 2 : 0);
    begin = begin == std::string_view::npos || end < 2 ? 0 : begin + 1;
  }
  const LineWords words = words_of_line(site, tokens, begin, end);
  const bool bracket = words.last.ends_with('{') ||
                       (on_own_line && (words.last.ends_with('(') || words.last.ends_with('[')));
  if (!bracket && !opens_block(*site.language, words)) return false;
  const std::size_t head = head_begin(source, tokens, begin, end);
  const int indent = indent_columns(source.substr(head, end - head), site.indent.width);
  if (!site.following.empty()) {
    const std::string_view next = site.following.front();
    const bool closes = matching_bracket(trimmed(next)[0]) == '{';
    if (!closes && indent_columns(next, site.indent.width) > indent) return false;
  }
  site.block_indent = indent;
  return true;
}

// What of the line is a literal from end to end by the tree: a regular expression or a character
// may hold a quote, or what begins a comment.
LineScan scan_typed(const CompletionSite& site, const std::vector<SourceToken>& tokens) {
  std::string line(site.typed());
  for (const SourceToken& token : tokens) {
    if (token.cls != TokenClass::string || token.begin < site.line_begin) continue;
    const std::string_view literal = slice(site.before, token);
    const char first = literal.front();
    const bool pattern = first == '/' && !literal.starts_with("/*") && literal.rfind('/') > 0;
    const bool quoted = (first == '"' || first == '\'' || first == '`') && literal.back() == first;
    if (literal.size() < 3 || !(pattern || quoted)) continue;
    line.replace(token.begin - site.line_begin, literal.size(), literal.size(), ' ');
  }
  return scan_line(*site.language, line);
}

void decide_extent(CompletionSite& site, const PromptQuery& query, const SyntaxTree* tree,
                   const std::vector<SourceToken>& tokens, const LineScan& scan) {
  const std::string_view behind = std::string_view(site.rest).substr(site.replaceable);
  const std::optional<TSNode> literal =
      query.pending.empty() ? literal_around(tree, query.before) : std::nullopt;
  site.in_comment = scan.comment || (literal && is_comment(*literal)) ||
                    (!site.literal_end.empty() && site.literal_end == site.language->comment.close);
  if (!site.literal_end.empty() && is_blank(behind)) {
    site.extent = Extent::literal;
  } else if (!is_blank(behind) || literal || scan.comment || site.quote != 0) {
    site.extent = Extent::line;
  } else if (block_is_empty(site, tokens)) {
    site.extent = Extent::block;
  }
}

char quote_at(const PromptQuery& query, const SyntaxTree* tree, const LineScan& scan) {
  if (query.pending.empty()) {
    if (const auto literal = literal_around(tree, query.before)) {
      const char last = query.document->text.view()[ts_node_end_byte(*literal) - 1];
      return last == '"' || last == '\'' || last == '`' ? last : '\0';
    }
  }
  return scan.comment ? '\0' : scan.quote;
}

}  // namespace

std::string_view to_string(Extent extent) {
  switch (extent) {
    case Extent::line:
      return "line";
    case Extent::statement:
      return "statement";
    case Extent::block:
      return "block";
    case Extent::literal:
      return "literal";
  }
  return "unknown";
}

void LineWords::add(std::string_view word, const Language& language) {
  if (first.empty()) first = word;
  last = word;
  if (contains(language.block_words, word)) in_block = true;
  if (contains(language.block_ends, word)) in_block = false;
}

bool opens_block(const Language& language, const LineWords& words) {
  if (contains(language.block_tails, words.last)) return true;
  const bool head = contains(language.block_heads, words.first) || words.in_block;
  return language.blocks == BlockStyle::keywords && head &&
         !contains(language.block_ends, words.last);
}

CompletionSite describe_site(const PromptQuery& query, const Language& language,
                             const SyntaxTree* tree) {
  CompletionSite site;
  site.language = &language;
  site.before = excerpt_before(query, language, tree) + query.pending;
  describe_lines(site, query);

  site.semicolons = language.needs_semicolons ||
                    (language.statements_end_at_semicolon && writes_semicolons(site.before));
  site.before_tree = parse(language, site.before, {}, ThreadClock());
  const std::vector<SourceToken> tokens =
      source_tokens(site.before_tree.get(), language, site.before, 0, site.before.size());
  for (const SourceToken& token : tokens) {
    if (token.begin < site.line_begin)
      track(site.open_brackets, site.before[token.begin], token.cls);
  }
  site.open_above = site.open_brackets.size();
  std::string typed_open;
  for (const SourceToken& token : tokens) {
    if (token.begin < site.line_begin) continue;
    const char bracket = site.before[token.begin];
    const bool closes_above = token.cls == TokenClass::closer && typed_open.empty();
    track(closes_above ? site.open_brackets : typed_open, bracket, token.cls);
  }
  site.open_above = site.open_brackets.size();
  site.open_brackets += typed_open;

  site.literal_end = opened_literal(language, site.typed());
  const LineScan scan = scan_typed(site, tokens);
  site.quote = site.literal_end.empty() ? quote_at(query, tree, scan) : '\0';
  site.replaceable = count_replaceable(site);
  const int behind = closers_behind(query, language, tree);
  const auto replaceable_brackets =
      static_cast<int>(brackets_in(std::string_view(site.rest).substr(0, site.replaceable)));
  const int missing = static_cast<int>(site.open_brackets.size()) - behind;
  site.closable = std::max(0, missing) + replaceable_brackets;
  decide_extent(site, query, tree, tokens, scan);
  return site;
}

}  // namespace caretd::lsp

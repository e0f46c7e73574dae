#include "lsp/context/literals.h"

#include <algorithm>

#include "lsp/context/indentation.h"
#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

bool is_literal_kind(std::string_view kind) {
  return kind.find("string") != std::string_view::npos ||
         kind.find("comment") != std::string_view::npos ||
         kind.find("char") != std::string_view::npos || kind.find("quote_scalar") != kind.npos;
}

// Languages in which an apostrophe is no quote: lifetimes, symbols, prose.
bool has_apostrophes(const Language& language) {
  static constexpr std::string_view kIds[] = {"rust", "plaintext", "lisp-like", "ml-like",
                                              "tex-like"};
  return contains(kIds, language.id);
}

// Whether the letters that end at `end` are a string prefix (f, rb, L), not the end of a word.
bool is_string_prefix(std::string_view line, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && is_word_character(line[begin - 1])) --begin;
  const std::string_view word = line.substr(begin, end - begin);
  return word.size() <= 2 && word.find_first_not_of("rbfuRBFUL") == std::string_view::npos;
}

// What `rest` begins with, if that is a string or comment that goes over lines.
LongString long_literal(const Language& language, std::string_view rest) {
  for (const LongString& string : language.long_strings) {
    if (rest.starts_with(string.open)) return string;
  }
  const CommentSyntax& comment = language.comment;
  const bool opens = !comment.open.empty() && rest.starts_with(comment.open);
  return opens ? LongString{comment.open, comment.close} : LongString{};
}

// Behind the literal that begins at `begin`; npos if it does not end, or not on its line.
std::size_t end_of_literal(std::string_view text, std::size_t begin, const LongString& marks) {
  const bool on_one_line = marks.close.empty();
  const std::string_view close = on_one_line ? text.substr(begin, 1) : marks.close;
  std::size_t at = begin + (on_one_line ? 1 : marks.open.size());
  for (; at < text.size(); ++at) {
    if (text.substr(at).starts_with(close)) return at + close.size();
    if (on_one_line && text[at] == '\n') break;
    if (close.size() == 1 && text[at] == '\\') ++at;
  }
  return std::string_view::npos;
}

// '"' where apostrophes are no quotes.
bool is_quoted_quote(std::string_view rest) {
  return rest.starts_with("'\"'") || rest.starts_with("'\\\"'");
}

}  // namespace

bool is_comment(TSNode node) {
  return std::string_view(ts_node_type(node)).find("comment") != std::string_view::npos;
}

std::optional<TSNode> literal_around(const SyntaxTree* tree, std::size_t hole) {
  if (!tree || hole == 0) return std::nullopt;
  const auto at = static_cast<std::uint32_t>(hole - 1);
  TSNode node = ts_node_named_descendant_for_byte_range(tree->root(), at, at + 1);
  std::optional<TSNode> found;
  for (; !ts_node_is_null(node); node = ts_node_parent(node)) {
    const std::string_view kind = ts_node_type(node);
    if (kind.find("interpolation") != kind.npos || kind.find("substitution") != kind.npos) break;
    if (!is_literal_kind(kind)) break;
    found = node;
  }
  if (!found || ts_node_start_byte(*found) >= hole) return std::nullopt;
  if (ts_node_end_byte(*found) <= hole && !is_comment(*found)) return std::nullopt;
  return found;
}

LineScan scan_line(const Language& language, std::string_view line) {
  LineScan scan;
  const bool apostrophes = has_apostrophes(language);
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (scan.quote != 0) {
      if (c == '\\') ++i;
      if (c == scan.quote) scan.quote = 0;
      continue;
    }
    const std::string_view head = language.comment.line;
    if (!head.empty() && line.substr(i).starts_with(head)) {
      scan.comment = true;
      return scan;
    }
    const bool opens =
        c == '"' || c == '`' || (c == '\'' && !apostrophes && is_string_prefix(line, i));
    if (opens) scan.quote = c;
  }
  return scan;
}

std::size_t open_literal(const Language& language, std::string_view text) {
  const bool apostrophes = has_apostrophes(language);
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const LongString marks = long_literal(language, rest);
    const std::string_view head = language.comment.line;
    if (marks.open.empty() && !head.empty() && rest.starts_with(head)) {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (apostrophes && is_quoted_quote(rest)) {
      at += rest.find('\'', 1) + 1;
      continue;
    }
    const char c = text[at];
    const bool quote =
        c == '"' || c == '`' || (c == '\'' && !apostrophes && is_string_prefix(text, at));
    if (marks.open.empty() && !quote) {
      ++at;
      continue;
    }
    const std::size_t end = end_of_literal(text, at, marks);
    const bool open = end == std::string_view::npos;
    if (open && (!marks.open.empty() || text.find('\n', at) == text.npos)) return at;
    at = open ? at + 1 : end;
  }
  return std::string_view::npos;
}

std::string_view opened_literal(const Language& language, std::string_view typed) {
  const std::string_view line = trimmed(typed);
  if (language.id == "python") {
    for (const std::string_view mark : {R"(""")", "'''"}) {
      const bool once = line.find(mark) == line.rfind(mark);
      if (line.ends_with(mark) && once) return mark;
    }
  }
  const CommentSyntax& comment = language.comment;
  if (comment.open.empty() || comment.open == comment.line) return {};
  const std::size_t at = line.rfind(comment.open);
  const bool at_end = at != std::string_view::npos && line.size() <= at + comment.open.size() + 1;
  return at_end && line.find(comment.close, at + comment.open.size()) == line.npos
             ? comment.close
             : std::string_view();
}

}  // namespace caretd::lsp

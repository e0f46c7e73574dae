#include "lsp/context/literals.h"

#include "lsp/context/indentation.h"
#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

bool is_literal_kind(std::string_view kind) {
  return kind.find("string") != std::string_view::npos ||
         kind.find("comment") != std::string_view::npos ||
         kind.find("char") != std::string_view::npos || kind.find("quote_scalar") != kind.npos;
}

// Whether the letters that end at `end` are a string prefix (f, rb, L), not the end of a word.
bool is_string_prefix(std::string_view line, std::size_t end) {
  std::size_t begin = end;
  while (begin > 0 && is_word_character(line[begin - 1])) --begin;
  const std::string_view word = line.substr(begin, end - begin);
  return word.size() <= 2 && word.find_first_not_of("rbfuRBFUL") == std::string_view::npos;
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
  const bool apostrophes = language.id == "rust" || language.id == "plaintext";
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

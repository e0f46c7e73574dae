#include "lsp/context/excerpt.h"

#include <algorithm>
#include <optional>

#include "lsp/context/literals.h"
#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

// The first line from `line` on, before `end`, that does not begin within a string or comment; to a
// text that begins there all that is code would be a string, and the other way round.
std::size_t line_of_code(std::size_t line, std::size_t end, const Text& text,
                         const SyntaxTree* tree) {
  while (line < end) {
    const std::optional<TSNode> literal = literal_around(tree, text.line_start(line));
    if (!literal) return line;
    line = std::max(line, text.line_of(ts_node_end_byte(*literal))) + 1;
  }
  return end;
}

// Where the excerpt begins: at the top-level node around the hole, or at the first line in the
// window that is not indented, or where the window's first line of code does.
std::size_t excerpt_begin(const PromptQuery& query, const SyntaxTree* tree) {
  const Text& text = query.document->text;
  const std::size_t hole = query.before;
  const std::size_t window = hole - std::min(hole, kExcerptBytes);
  if (tree && hole > 0) {
    const TSNode node = top_level_node(*tree, hole - 1);
    const std::size_t begin = ts_node_is_null(node) ? hole : ts_node_start_byte(node);
    if (begin >= window && begin < hole && !ts_node_is_error(node)) {
      return text.line_start(text.line_of(begin));
    }
  }
  const std::size_t hole_line = text.line_of(hole);
  std::size_t first = text.line_of(window);
  if (text.line_start(first) < window && first < hole_line) ++first;
  first = line_of_code(first, hole_line, text, tree);
  for (std::size_t line = first; line < hole_line;
       line = line_of_code(line + 1, hole_line, text, tree)) {
    const std::string_view content = text.line(line);
    if (!content.empty() && (is_word_character(content[0]) || content[0] == '@')) {
      return text.line_start(line);
    }
  }
  return text.line_start(first);
}

// The hole may be in a line of megabytes (minified code).
void cut_long_line(std::string& before) {
  if (before.size() <= 2 * kExcerptBytes) return;
  std::size_t begin = before.size() - kExcerptBytes;
  while (begin < before.size() && (static_cast<unsigned char>(before[begin]) & 0xC0) == 0x80) {
    ++begin;
  }
  before.erase(0, begin);
}

// The tag that the code at `offset` stands behind; empty where none is needed or there is text.
std::string_view tag_before(std::string_view text, std::size_t offset, const Language& language) {
  if (language.code_tag.empty()) return {};
  const std::string_view above = text.substr(0, offset);
  const std::size_t open = above.rfind("<?");
  const std::size_t close = above.rfind("?>");
  const bool in_code = open != above.npos && (close == above.npos || close < open);
  return in_code ? language.code_tag : std::string_view();
}

}  // namespace

std::string excerpt_before(const PromptQuery& query, const Language& language,
                           const SyntaxTree* tree) {
  const std::string_view text = query.document->text.view();
  const std::size_t begin = excerpt_begin(query, tree);
  std::string before(text.substr(begin, query.before - begin));
  cut_long_line(before);
  // Without it the grammar takes the code for text.
  return std::string(tag_before(text, begin, language)) + before;
}

}  // namespace caretd::lsp

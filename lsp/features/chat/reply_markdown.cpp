#include "lsp/features/chat/reply_markdown.h"

#include <algorithm>
#include <cctype>
#include <memory>

#include <cmark.h>

namespace caretd::lsp {
namespace {

struct FreeNode {
  void operator()(cmark_node* node) const { cmark_node_free(node); }
};
struct FreeIterator {
  void operator()(cmark_iter* iterator) const { cmark_iter_free(iterator); }
};

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    lines.push_back(text.substr(0, end));
    const bool crlf = text.substr(end).starts_with("\r\n");
    text.remove_prefix(std::min(text.size(), end + (crlf ? 2 : 1)));
  }
  return lines;
}

std::size_t fence_length(std::string_view text, char mark) {
  return std::min(text.find_first_not_of(mark), text.size());
}

std::string first_word(std::string_view info) {
  std::string word(info.substr(0, info.find_first_of(" \t{,:")));
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
  return word;
}

/// Whether `line` can end a fence: nothing but the mark, at least as often, behind the signs of the
/// quotes and lists that it stands in.
bool closes(std::string_view line, char mark, std::size_t length) {
  const std::size_t begin = line.find_first_not_of(" \t>");
  if (begin == std::string_view::npos) return false;
  line.remove_prefix(begin);
  const std::size_t marks = fence_length(line, mark);
  return marks >= length && line.find_first_not_of(" \t", marks) == std::string_view::npos;
}

}  // namespace

std::vector<CodeBlock> fenced_code(std::string_view markdown) {
  const std::unique_ptr<cmark_node, FreeNode> document(
      cmark_parse_document(markdown.data(), markdown.size(), CMARK_OPT_VALIDATE_UTF8));
  const std::unique_ptr<cmark_iter, FreeIterator> iterator(cmark_iter_new(document.get()));
  const std::vector<std::string_view> lines = lines_of(markdown);
  const auto line = [&lines](int number) {
    const auto index = static_cast<std::size_t>(number) - 1;
    return index < lines.size() ? lines[index] : std::string_view();
  };
  std::vector<CodeBlock> blocks;
  while (cmark_iter_next(iterator.get()) != CMARK_EVENT_DONE) {
    cmark_node* node = cmark_iter_get_node(iterator.get());
    if (cmark_node_get_type(node) != CMARK_NODE_CODE_BLOCK) continue;
    // The library does not say whether a block was fenced, nor whether its fence was closed: its
    // first and last lines do.
    const int begin = cmark_node_get_start_line(node);
    const int end = cmark_node_get_end_line(node);
    const std::string_view code = cmark_node_get_literal(node);
    const std::string_view first = line(begin);
    const auto column = static_cast<std::size_t>(std::max(1, cmark_node_get_start_column(node)));
    const std::string_view fence = first.substr(std::min(first.size(), column - 1));
    const std::size_t at = std::min(fence.find_first_not_of(" \t"), fence.size());
    const char mark = at < fence.size() ? fence[at] : ' ';
    const std::size_t length = fence_length(fence.substr(at), mark);
    if ((mark != '`' && mark != '~') || length < 3) continue;
    // A fence takes a line of its own; what looks like one and is the code's first line is indented
    // code. The library may count the empty line behind that to it.
    if (std::ranges::count(code, '\n') >= end - begin && code.starts_with(fence.substr(at)))
      continue;
    blocks.push_back({first_word(cmark_node_get_fence_info(node)), std::string(code),
                      end > begin && closes(line(end), mark, length)});
  }
  return blocks;
}

std::string whole_reply(const std::string& beginning, std::string_view generated, bool complete) {
  const std::vector<CodeBlock> own = fenced_code(generated);
  const bool named =
      std::ranges::any_of(own, [](const CodeBlock& block) { return !block.language.empty(); });
  const std::size_t first = generated.find_first_not_of(" \t\r\n");
  const bool says_nothing = first == std::string_view::npos;
  const bool at_once = !says_nothing && !own.empty() && generated.substr(first).starts_with("```");
  if (beginning.empty() || named || at_once || says_nothing) return std::string(generated);
  std::string whole = beginning + std::string(generated);
  const std::vector<CodeBlock> blocks = fenced_code(whole);
  if (!complete || blocks.size() != 1 || blocks.front().closed) return whole;
  if (!whole.ends_with('\n')) whole += '\n';
  return whole + beginning.substr(0, fence_length(beginning, beginning.front())) + "\n";
}

}  // namespace caretd::lsp

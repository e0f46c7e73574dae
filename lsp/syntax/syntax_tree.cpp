#include "lsp/syntax/syntax_tree.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

// Of a node that can be seen: most leaves lie within their parents, and long lists have nodes of
// their own between. 80 to 160 were measured in files of five languages.
constexpr std::size_t kNodeBytes = 120;

struct Deadline {
  const Clock& clock;
  TimePoint end;
};

bool is_over(TSParseState* state) {
  const auto* deadline = static_cast<const Deadline*>(state->payload);
  return deadline->clock.now() > deadline->end;
}

const char* read_text(void* payload, std::uint32_t offset, TSPoint, std::uint32_t* bytes) {
  const auto& text = *static_cast<const std::string_view*>(payload);
  if (offset >= text.size()) {
    *bytes = 0;
    return "";
  }
  *bytes = static_cast<std::uint32_t>(text.size() - offset);
  return text.data() + offset;
}

TSPoint to_ts(TextPoint point) {
  return {point.row, point.column};
}

TSInputEdit to_ts(const ByteEdit& edit) {
  return {static_cast<std::uint32_t>(edit.start),
          static_cast<std::uint32_t>(edit.old_end),
          static_cast<std::uint32_t>(edit.new_end),
          to_ts(edit.start_point),
          to_ts(edit.old_end_point),
          to_ts(edit.new_end_point)};
}

// Rows of ByteEdit also end at a lone CR, those of tree-sitter do not: its trees of such a text
// cannot be edited.
bool has_lone_carriage_return(std::string_view text) {
  for (std::size_t at = text.find('\r'); at != std::string_view::npos;
       at = text.find('\r', at + 1)) {
    if (at + 1 == text.size() || text[at + 1] != '\n') return true;
  }
  return false;
}

}  // namespace

std::size_t SyntaxTree::bytes() const {
  return ts_node_descendant_count(root()) * kNodeBytes;
}

Parser::Parser(const Language& language) : language_(&language) {
  if (!language.grammar) return;
  parser_.reset(ts_parser_new());
  if (!ts_parser_set_language(parser_.get(), language.grammar())) parser_.reset();
}

SyntaxTreePtr Parser::run(const TSTree* before, std::string_view text, const ParseLimits& limits,
                          const Clock& clock) {
  if (!parser_ || text.size() > limits.bytes) return nullptr;
  Deadline deadline{clock, clock.now() + limits.time};
  const TSInput input{&text, read_text, TSInputEncodingUTF8, nullptr};
  TSTree* tree = ts_parser_parse_with_options(parser_.get(), before, input,
                                              TSParseOptions{&deadline, is_over});
  if (tree) return std::make_shared<SyntaxTree>(*language_, tree);
  ts_parser_reset(parser_.get());  // else the next parse would go on with this one
  return nullptr;
}

SyntaxTreePtr Parser::parse(std::string_view text, const ParseLimits& limits, const Clock& clock) {
  return run(nullptr, text, limits, clock);
}

SyntaxTreePtr Parser::reparse(const SyntaxTree& before, std::span<const ByteEdit> edits,
                              std::string_view text, const ParseLimits& limits,
                              const Clock& clock) {
  if (has_lone_carriage_return(text)) return parse(text, limits, clock);
  const SyntaxTree edited(before.language(), ts_tree_copy(before.get()));
  for (const ByteEdit& edit : edits) {
    const TSInputEdit input = to_ts(edit);
    ts_tree_edit(const_cast<TSTree*>(edited.get()), &input);  // our own copy
  }
  return run(edited.get(), text, limits, clock);
}

SyntaxTreePtr parse(const Language& language, std::string_view text, const ParseLimits& limits,
                    const Clock& clock) {
  return Parser(language).parse(text, limits, clock);
}

SyntaxTreePtr reparse(const SyntaxTree& before, std::span<const ByteEdit> edits,
                      std::string_view text, const ParseLimits& limits, const Clock& clock) {
  return Parser(before.language()).reparse(before, edits, text, limits, clock);
}

TSNode top_level_node(const SyntaxTree& tree, std::size_t offset) {
  return ts_node_first_child_for_byte(tree.root(), static_cast<std::uint32_t>(offset));
}

std::vector<TSNode> nodes_around(const SyntaxTree& tree, std::size_t begin, std::size_t end) {
  std::vector<TSNode> nodes = {tree.root()};
  TSTreeCursor cursor = ts_tree_cursor_new(tree.root());
  const auto from = static_cast<std::uint32_t>(begin);
  while (ts_tree_cursor_goto_first_child_for_byte(&cursor, from) >= 0) {
    const TSNode node = ts_tree_cursor_current_node(&cursor);
    if (ts_node_start_byte(node) > begin || ts_node_end_byte(node) < end) break;
    nodes.push_back(node);
  }
  ts_tree_cursor_delete(&cursor);
  return nodes;
}

bool is_block(TSNode node, const Language& language) {
  return ts_node_is_named(node) && contains(language.block_kinds, ts_node_type(node));
}

}  // namespace caretd::lsp

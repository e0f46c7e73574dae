#include "lsp/syntax/syntax_tree.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

struct DeleteParser {
  void operator()(TSParser* parser) const { ts_parser_delete(parser); }
};

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

SyntaxTreePtr run_parser(const Language& language, const TSTree* before, std::string_view text,
                         const ParseLimits& limits, const Clock& clock) {
  if (!language.grammar || text.size() > limits.bytes) return nullptr;
  const std::unique_ptr<TSParser, DeleteParser> parser(ts_parser_new());
  if (!ts_parser_set_language(parser.get(), language.grammar())) return nullptr;
  Deadline deadline{clock, clock.now() + limits.time};
  const TSInput input{&text, read_text, TSInputEncodingUTF8, nullptr};
  TSTree* tree =
      ts_parser_parse_with_options(parser.get(), before, input, TSParseOptions{&deadline, is_over});
  return tree ? std::make_shared<SyntaxTree>(language, tree) : nullptr;
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

SyntaxTreePtr parse(const Language& language, std::string_view text, const ParseLimits& limits,
                    const Clock& clock) {
  return run_parser(language, nullptr, text, limits, clock);
}

SyntaxTreePtr reparse(const SyntaxTree& before, std::span<const ByteEdit> edits,
                      std::string_view text, const ParseLimits& limits, const Clock& clock) {
  if (has_lone_carriage_return(text)) return parse(before.language(), text, limits, clock);
  const SyntaxTree edited(before.language(), ts_tree_copy(before.get()));
  for (const ByteEdit& edit : edits) {
    const TSInputEdit input = to_ts(edit);
    ts_tree_edit(const_cast<TSTree*>(edited.get()), &input);  // our own copy
  }
  return run_parser(before.language(), edited.get(), text, limits, clock);
}

TSNode top_level_node(const SyntaxTree& tree, std::size_t offset) {
  return ts_node_first_child_for_byte(tree.root(), static_cast<std::uint32_t>(offset));
}

bool is_block(TSNode node, const Language& language) {
  return ts_node_is_named(node) && contains(language.block_kinds, ts_node_type(node));
}

}  // namespace caretd::lsp

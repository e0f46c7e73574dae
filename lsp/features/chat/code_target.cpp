#include "lsp/features/chat/code_target.h"

#include <algorithm>
#include <array>

namespace caretd::lsp {
namespace {

// Nodes that only wrap a definition and belong to it.
constexpr std::array<std::string_view, 4> kWrappers = {
    "decorated_definition", "export_statement", "template_declaration", "attributed_declarator"};

bool has_any(std::string_view type, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(
      words, [type](std::string_view word) { return type.find(word) != std::string_view::npos; });
}

CodeTarget::Shape shape_of(std::string_view type) {
  if (has_any(type, {"function", "method", "constructor"})) return CodeTarget::Shape::function;
  if (has_any(type, {"class", "struct", "interface", "trait", "enum", "union", "object", "record",
                     "protocol", "type_"})) {
    return CodeTarget::Shape::type;
  }
  return CodeTarget::Shape::value;
}

TSNode node_at(const SyntaxTree& tree, std::size_t begin, std::size_t end) {
  return ts_node_named_descendant_for_byte_range(tree.root(), static_cast<std::uint32_t>(begin),
                                                 static_cast<std::uint32_t>(end));
}

bool is_wrapper(TSNode node) {
  return !ts_node_is_null(node) &&
         std::ranges::find(kWrappers, std::string_view(ts_node_type(node))) != kWrappers.end();
}

/// Where the line's text begins, if nothing but white space is in front of `offset`; else `offset`.
std::size_t with_indent(std::string_view source, std::size_t offset) {
  std::size_t begin = offset;
  while (begin > 0 && (source[begin - 1] == ' ' || source[begin - 1] == '\t')) --begin;
  return begin == 0 || source[begin - 1] == '\n' || source[begin - 1] == '\r' ? begin : offset;
}

/// Without white space and line ends at either side.
CodeTarget trimmed_target(std::string_view source, std::size_t begin, std::size_t end) {
  constexpr std::string_view kSpace = " \t\r\n";
  while (begin < end && kSpace.find(source[begin]) != std::string_view::npos) ++begin;
  while (end > begin && kSpace.find(source[end - 1]) != std::string_view::npos) --end;
  return {begin, end, {}, CodeTarget::Shape::lines};
}

}  // namespace

std::optional<CodeTarget> enclosing_definition(const SyntaxTree& tree, DefinitionFinder& finder,
                                               std::string_view source, std::size_t begin,
                                               std::size_t end) {
  std::optional<CodeTarget> best;
  for (const Definition& definition : finder.definitions(tree, source)) {
    TSNode node = node_at(tree, definition.begin, definition.end);
    const CodeTarget::Shape shape = shape_of(ts_node_type(node));
    while (is_wrapper(ts_node_parent(node))) node = ts_node_parent(node);
    CodeTarget target = trimmed_target(source, ts_node_start_byte(node), ts_node_end_byte(node));
    target.name = definition.name;
    target.shape = shape;
    const bool around = with_indent(source, target.begin) <= begin && end <= target.end;
    if (!around) continue;
    if (!best || target.end - target.begin <= best->end - best->begin) best = std::move(target);
  }
  return best;
}

std::optional<CodeTarget> touched_code(const SyntaxTree& tree, std::string_view source,
                                       std::size_t begin, std::size_t end) {
  if (source.empty()) return std::nullopt;
  begin = std::min(begin, source.size());
  end = std::clamp(end, begin, source.size());
  // A selection of whole lines ends where the next line begins.
  if (end > begin && source[end - 1] == '\n') --end;
  while (begin > 0 && source[begin - 1] != '\n') --begin;
  end = std::min(source.find('\n', end), source.size());
  CodeTarget target = trimmed_target(source, begin, end);
  if (target.begin == target.end) return std::nullopt;
  // The block whose children are the statements: the innermost node that holds all of the lines.
  const std::vector<TSNode> around = nodes_around(tree, target.begin, target.end);
  std::size_t level = around.size() - 1;
  for (; level > 0 && !is_block(around[level], tree.language()); --level) {
    const TSNode node = around[level];
    if (!ts_node_is_named(node)) continue;
    target = trimmed_target(source, std::min<std::size_t>(ts_node_start_byte(node), target.begin),
                            std::max<std::size_t>(ts_node_end_byte(node), target.end));
  }
  const TSNode block = around[level];
  const std::size_t first = target.begin;
  const std::size_t last = target.end;
  for (std::uint32_t i = 0; i < ts_node_named_child_count(block); ++i) {
    const TSNode child = ts_node_named_child(block, i);
    if (ts_node_end_byte(child) <= first || ts_node_start_byte(child) >= last) continue;
    target = trimmed_target(source, std::min<std::size_t>(target.begin, ts_node_start_byte(child)),
                            std::max<std::size_t>(target.end, ts_node_end_byte(child)));
  }
  return target;
}

TSNode definition_node(const SyntaxTree& tree, const CodeTarget& target) {
  TSNode node = node_at(tree, target.begin, target.end);
  while (is_wrapper(node)) {
    const TSNode inner = ts_node_child_by_field_name(node, "definition", 10);
    const TSNode declared = ts_node_child_by_field_name(node, "declaration", 11);
    const TSNode next = ts_node_is_null(inner) ? declared : inner;
    if (ts_node_is_null(next)) break;
    node = next;
  }
  return node;
}

}  // namespace caretd::lsp

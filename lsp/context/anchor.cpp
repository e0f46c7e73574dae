#include "lsp/context/anchor.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

struct Interval {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool intact = true;
};

// Moves an interval by an edit. One that reaches into it leaves it broken; text inserted at either
// end is outside.
void carry(Interval& interval, const ByteEdit& edit) {
  if (edit.start >= interval.end) return;
  if (edit.old_end <= interval.begin) {
    interval.begin = interval.begin - edit.old_end + edit.new_end;
    interval.end = interval.end - edit.old_end + edit.new_end;
    return;
  }
  interval.intact = false;
}

// Where the line of the document begins in which the hole is; what is pending stands on it too.
std::size_t hole_line_begin(const PromptQuery& query) {
  const Text& text = query.document->text;
  return text.line_start(text.line_of(query.before));
}

// The first line that begins a top-level node at or behind `line`, before `end`; else a line that
// begins a statement; else `line`.
std::size_t node_border_from(std::size_t line, std::size_t end, const Text& text,
                             const SyntaxTree* tree) {
  if (line == 0 || line >= end) return std::min(line, end);
  const auto offset = static_cast<std::uint32_t>(text.line_start(line));
  if (!tree) {
    for (std::size_t i = line; i < end; ++i) {
      const bool starts_paragraph = trimmed(text.line(i - 1)).empty();
      if (starts_paragraph && indent_columns(text.line(i), 4) == 0) return i;
    }
    return line;
  }
  TSNode node = tree->root();
  while (true) {
    TSNode child = ts_node_first_child_for_byte(node, offset);
    if (ts_node_is_null(child)) return line;
    if (ts_node_start_byte(child) < offset) {
      // This one began above; the next may begin in time, else look inside.
      const bool in_time =
          is_block(node, tree->language()) && text.line_of(ts_node_end_byte(child)) < end;
      const TSNode next = in_time ? ts_node_next_sibling(child) : TSNode{};
      if (ts_node_is_null(next) || text.line_of(ts_node_start_byte(next)) >= end) {
        node = child;
        continue;
      }
      child = next;
    }
    const std::size_t first = text.line_of(ts_node_start_byte(child));
    return first < end ? std::max(first, line) : line;
  }
}

int tokens_of_lines(const TokenBuffer& tokens, std::size_t first, std::size_t end) {
  int total = 0;
  for (std::size_t line = first; line < end; ++line) total += tokens.tokens(line);
  return total;
}

// The first line of P: as many lines in front of `end` as fit `budget`, cut at a node border unless
// that would leave less than half of them.
std::size_t first_line_within(int budget, std::size_t end, const TokenBuffer& tokens,
                              const SyntaxTree* tree) {
  std::size_t line = end;
  int total = 0;
  while (line > 0 && total + tokens.tokens(line - 1) <= budget) total += tokens.tokens(--line);
  if (line == 0) return 0;
  const std::size_t border = node_border_from(line, end, tokens.document().text, tree);
  return tokens_of_lines(tokens, border, end) * 2 >= total ? border : line;
}

std::size_t place_prefix_begin(std::size_t end_line, const TokenBuffer& tokens,
                               const SyntaxTree* tree, int budget,
                               const std::optional<CarriedAnchor>& previous) {
  const Text& text = tokens.document().text;
  if (previous && previous->begin_known &&
      previous->anchor.prefix_begin <= text.line_start(end_line)) {
    const std::size_t line = text.line_of(previous->anchor.prefix_begin);
    const int size = tokens_of_lines(tokens, line, end_line);
    const bool long_enough = line == 0 || size * 4 >= budget;
    if (text.line_start(line) == previous->anchor.prefix_begin && size <= budget && long_enough) {
      return previous->anchor.prefix_begin;
    }
  }
  if (tokens_of_lines(tokens, 0, end_line) <= budget * 3 / 4) return 0;
  return text.line_start(first_line_within(budget * 3 / 4, end_line, tokens, tree));
}

// Where the last statement that ends at or in front of `offset` ends, or `offset` itself if none
// does behind `least`.
std::size_t statement_end_before(std::size_t offset, std::size_t least, const Text& text,
                                 const SyntaxTree* tree) {
  const auto end_of_line_after = [&](std::size_t byte) {
    const std::size_t line = text.line_of(byte);
    return line + 1 < text.line_count() ? text.line_start(line + 1) : text.size();
  };
  if (!tree || offset == 0) {
    for (std::size_t line = text.line_of(offset); line > 0 && text.line_start(line) > least;
         --line) {
      if (trimmed(text.line(line - 1)).empty()) return text.line_start(line);
    }
    return offset;
  }
  const std::vector<TSNode> around = nodes_around(*tree, offset - 1, offset - 1);
  for (std::size_t i = around.size() - 1; i > 0; --i) {
    const bool goes_on = ts_node_end_byte(around[i]) > offset;
    // What ends further out does so in front of this one.
    if (goes_on && end_of_line_after(ts_node_start_byte(around[i])) <= least) break;
    if (!is_block(around[i - 1], tree->language())) continue;
    const TSNode last = goes_on ? ts_node_prev_sibling(around[i]) : around[i];
    if (ts_node_is_null(last)) continue;
    const std::size_t end = end_of_line_after(ts_node_end_byte(last));
    if (end <= offset && end > least) return end;
  }
  return offset;
}

// As much of the line from `begin` on as fits, in whole characters.
std::size_t end_within_line(std::size_t begin, std::size_t line_end, const TokenBuffer& tokens,
                            int budget) {
  constexpr std::size_t kBytesPerToken = 4;
  const std::string_view text = tokens.document().text.view();
  std::size_t bytes = kBytesPerToken * static_cast<std::size_t>(std::max(0, budget));
  for (; bytes > 0; bytes = bytes * 3 / 4) {
    std::size_t end = std::min(begin + bytes, line_end);
    while (end > begin && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    if (tokens.count(begin, end) <= budget) return end;
  }
  return begin;
}

std::size_t place_suffix_end(std::size_t begin, const TokenBuffer& tokens, const SyntaxTree* tree,
                             int budget) {
  const Text& text = tokens.document().text;
  std::size_t line = text.line_of(begin);
  std::size_t end = begin;
  std::size_t half = begin;
  int total = 0;
  for (; line < text.line_count(); ++line) {
    const std::size_t next = line + 1 < text.line_count() ? text.line_start(line + 1) : text.size();
    total += end == text.line_start(line) ? tokens.tokens(line) : tokens.count(end, next);
    if (total > budget) break;
    end = next;
    if (total * 2 < budget) half = end;
  }
  if (end == text.size()) return end;
  if (end == begin) return end_within_line(begin, text.line_end(line), tokens, budget);
  return statement_end_before(end, half, text, tree);
}

}  // namespace

CarriedAnchor carry(const Anchor& anchor, std::span<const ByteEdit> edits) {
  Interval prefix{anchor.prefix_begin, anchor.prefix_end};
  Interval suffix{anchor.suffix_begin, anchor.suffix_end};
  std::size_t begin = anchor.prefix_begin;
  bool begin_known = true;
  for (const ByteEdit& edit : edits) {
    carry(prefix, edit);
    carry(suffix, edit);
    if (edit.start >= begin) continue;
    if (edit.old_end <= begin) {
      begin = begin - edit.old_end + edit.new_end;
    } else {
      begin_known = false;
    }
  }
  CarriedAnchor carried;
  carried.anchor = {prefix.intact ? prefix.begin : begin, prefix.end, suffix.begin, suffix.end};
  carried.begin_known = begin_known;
  carried.prefix_intact = prefix.intact;
  carried.suffix_intact = suffix.intact;
  return carried;
}

bool serves(const CarriedAnchor& carried, const PromptQuery& query, const CompletionSite& site) {
  const Anchor& anchor = carried.anchor;
  return carried.prefix_intact && carried.suffix_intact && query.before >= anchor.prefix_end &&
         query.before - anchor.prefix_end + query.pending.size() <= kTypedBytesAtMost &&
         query.after + site.replaceable == anchor.suffix_begin &&
         anchor.suffix_end <= query.document->text.size();
}

bool is_stale(const Anchor& anchor, const PromptQuery& query) {
  return anchor.prefix_end != hole_line_begin(query);
}

Anchor place_anchor(const PromptQuery& query, const CompletionSite& site, const TokenBuffer& tokens,
                    const SyntaxTree* tree, const AnchorBudget& budget,
                    const std::optional<CarriedAnchor>& previous) {
  Anchor anchor;
  anchor.prefix_end = hole_line_begin(query);
  const std::size_t line = query.document->text.line_of(anchor.prefix_end);
  anchor.prefix_begin = place_prefix_begin(line, tokens, tree, budget.prefix, previous);
  anchor.suffix_begin = std::min(query.after + site.replaceable, query.document->text.size());
  const bool same_suffix = previous && previous->suffix_intact &&
                           previous->anchor.suffix_begin == anchor.suffix_begin &&
                           previous->anchor.suffix_end > anchor.suffix_begin &&
                           previous->anchor.suffix_end <= query.document->text.size();
  anchor.suffix_end = same_suffix
                          ? previous->anchor.suffix_end
                          : place_suffix_end(anchor.suffix_begin, tokens, tree, budget.suffix);
  return anchor;
}

}  // namespace caretd::lsp

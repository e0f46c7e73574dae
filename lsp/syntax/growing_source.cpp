#include "lsp/syntax/growing_source.h"

#include <algorithm>
#include <utility>

#include "support/thread_clock.h"

namespace caretd::lsp {
namespace {

// Far above what an excerpt takes; only a guard.
constexpr ParseLimits kLimits{.time = std::chrono::milliseconds(50), .bytes = std::size_t{1} << 20};

TextPoint advance(TextPoint point, std::string_view text) {
  const std::size_t newline = text.rfind('\n');
  if (newline == std::string_view::npos) {
    return {point.row, point.column + static_cast<std::uint32_t>(text.size())};
  }
  return {point.row + static_cast<std::uint32_t>(std::ranges::count(text, '\n')),
          static_cast<std::uint32_t>(text.size() - newline - 1)};
}

}  // namespace

GrowingSource::GrowingSource(const Language& language, std::string text, SyntaxTreePtr tree)
    : language_(language),
      parser_(language),
      text_(std::move(text)),
      parsed_(text_.size()),
      parsed_end_(advance({}, text_)),
      tree_(std::move(tree)) {
  // The parser's own memory is allocated here, not while a token waits.
  if (tree_) tree_ = parser_.reparse(*tree_, {}, text_, kLimits, ThreadClock());
}

std::vector<SourceToken> GrowingSource::tokens_from(std::size_t begin) {
  if (parsed_ < text_.size()) parse_appended();
  return source_tokens(tree_.get(), language_, text_, begin, text_.size());
}

void GrowingSource::parse_appended() {
  const TextPoint end = advance(parsed_end_, std::string_view(text_).substr(parsed_));
  if (tree_) {
    const ThreadClock clock;
    const ByteEdit edit{parsed_, parsed_, text_.size(), parsed_end_, parsed_end_, end};
    tree_ = parser_.reparse(*tree_, {&edit, 1}, text_, kLimits, clock);
  }
  parsed_ = text_.size();
  parsed_end_ = end;
}

}  // namespace caretd::lsp

#include "lsp/postprocess/stop_rule.h"

#include "lsp/context/completion_site.h"

namespace caretd::lsp {
namespace {

// A line of fewer characters ("}", "});", "end") follows almost anything.
constexpr std::size_t kTellingLine = 5;

std::string next_telling_line(const Text& text, std::size_t offset) {
  for (std::size_t line = text.line_of(offset) + 1; line < text.line_count(); ++line) {
    const std::string_view content = trimmed(text.line(line));
    if (content.empty()) continue;
    return content.size() < kTellingLine ? std::string() : std::string(content);
  }
  return {};
}

}  // namespace

LineStopRule::LineStopRule(const PromptQuery& query, int max_lines)
    : lines_left_(max_lines), next_line_(next_telling_line(query.document->text, query.after)) {
  const Text& text = query.document->text;
  const std::size_t line = text.line_of(query.after);
  const std::size_t end = text.line_end(line);
  const bool text_behind =
      query.after < end && !trimmed(text.view().substr(query.after, end - query.after)).empty();
  if (text_behind) lines_left_ = 1;
}

std::optional<std::size_t> LineStopRule::end_of_completion(std::string_view text) {
  for (std::size_t newline = text.find('\n', line_begin_); newline != std::string_view::npos;
       newline = text.find('\n', line_begin_)) {
    const std::string_view line = trimmed(text.substr(line_begin_, newline - line_begin_));
    if (!next_line_.empty() && line == next_line_) {
      reason_ = "suffix";
      return line_begin_ == 0 ? 0 : line_begin_ - 1;
    }
    // A first line that is empty ends the cursor's own line, it is not yet one of the completion.
    if (line_begin_ > 0 || !line.empty()) --lines_left_;
    if (lines_left_ <= 0) {
      reason_ = "line";
      return newline;
    }
    line_begin_ = newline + 1;
  }
  return std::nullopt;
}

}  // namespace caretd::lsp

#include "lsp/context/indentation.h"

#include <algorithm>
#include <map>

namespace caretd::lsp {
namespace {

// Lines on either side that are looked at.
constexpr std::size_t kIndentWindow = 400;

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

int indent_columns(std::string_view line, int tab_width) {
  int columns = 0;
  for (const char c : line) {
    if (c == ' ') {
      ++columns;
    } else if (c == '\t') {
      columns += tab_width - columns % tab_width;
    } else {
      break;
    }
  }
  return columns;
}

IndentStyle detect_indent(const Text& text, std::size_t around_line) {
  const std::size_t begin = around_line - std::min(around_line, kIndentWindow);
  const std::size_t end = std::min(text.line_count(), around_line + kIndentWindow);
  int tabs = 0;
  int spaces = 0;
  int previous = 0;
  std::map<int, int> steps;
  for (std::size_t i = begin; i < end; ++i) {
    const std::string_view line = text.line(i);
    if (line.starts_with('\t')) ++tabs;
    if (line.starts_with("  ")) ++spaces;
    if (trimmed(line).empty()) continue;
    const int columns = indent_columns(line, 4);
    if (columns - previous > 1 && columns - previous <= 8) ++steps[columns - previous];
    previous = columns;
  }
  IndentStyle style;
  style.known = tabs > 0 || spaces > 0;
  style.tabs = tabs > spaces;
  const auto most = std::ranges::max_element(steps, {}, [](const auto& s) { return s.second; });
  if (!style.tabs && most != steps.end()) style.width = most->first;
  return style;
}

}  // namespace caretd::lsp

#include "lsp/postprocess/reindent.h"

#include <algorithm>
#include <numeric>

namespace caretd::lsp {
namespace {

constexpr int kTabWidth = 4;

std::size_t indent_bytes(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

// Columns of one level in lines that are indented by spaces: their greatest common divisor, where
// that is a width people use.
int width_of_level(std::string_view completion) {
  int common = 0;
  std::size_t begin = 0;
  while (begin < completion.size()) {
    const std::size_t end = std::min(completion.find('\n', begin), completion.size());
    const std::string_view line = completion.substr(begin, end - begin);
    const std::string_view indent = line.substr(0, indent_bytes(line));
    if (indent.find('\t') == std::string_view::npos && indent.size() < line.size()) {
      common = std::gcd(common, static_cast<int>(indent.size()));
    }
    begin = end + 1;
  }
  return common == 2 || common == 3 || common == 8 ? common : kTabWidth;
}

std::string indent_like(const IndentStyle& style, std::string_view indent, int level_width) {
  if (!style.tabs) {
    if (indent.find('\t') == std::string_view::npos) return std::string(indent);
    return std::string(static_cast<std::size_t>(indent_columns(indent, style.width)), ' ');
  }
  const int columns = indent_columns(indent, level_width);
  const int tabs = columns / level_width;
  // What is left aligns with something above, and stays.
  return std::string(static_cast<std::size_t>(tabs), '\t') +
         std::string(static_cast<std::size_t>(columns % level_width), ' ');
}

}  // namespace

std::string reindented(const CompletionSite& site, std::string_view completion) {
  if (!site.indent.known) return std::string(completion);
  if (site.extent == Extent::literal || site.extent == Extent::line) return std::string(completion);
  const int level_width = width_of_level(completion);
  const bool at_line_start = trimmed(site.typed()).empty();
  std::string result;
  std::size_t begin = 0;
  while (begin <= completion.size()) {
    const std::size_t end = std::min(completion.find('\n', begin), completion.size());
    const std::string_view line = completion.substr(begin, end - begin);
    const std::size_t indent = begin > 0 || at_line_start ? indent_bytes(line) : 0;
    result += indent_like(site.indent, line.substr(0, indent), level_width);
    result += line.substr(indent);
    if (end < completion.size()) result += '\n';
    begin = end + 1;
  }
  return result;
}

}  // namespace caretd::lsp

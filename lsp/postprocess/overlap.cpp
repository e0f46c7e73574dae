#include "lsp/postprocess/overlap.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

// The first line below the cursor's that is not blank.
std::string_view next_line(std::string_view behind) {
  std::size_t newline = behind.find('\n');
  while (newline != std::string_view::npos) {
    const std::string_view line = trimmed(first_line(behind.substr(newline + 1)));
    if (!line.empty()) return line;
    newline = behind.find('\n', newline + 1);
  }
  return {};
}

// Drops last lines that equal the document's next line.
void drop_repeated_lines(std::string& completion, std::string_view next) {
  if (next.empty()) return;
  const std::size_t newline = completion.rfind('\n');
  if (newline == std::string::npos) return;
  if (trimmed(std::string_view(completion).substr(newline + 1)) == next) completion.resize(newline);
}

}  // namespace

std::string without_overlap(std::string completion, std::string_view behind) {
  drop_repeated_lines(completion, next_line(behind));
  const std::string_view rest = trimmed(first_line(behind));
  if (rest.empty() || completion.find('\n') != std::string::npos) return completion;
  for (std::size_t length = std::min(rest.size(), completion.size()); length > 0; --length) {
    if (completion.ends_with(rest.substr(0, length))) {
      completion.resize(completion.size() - length);
      return completion;
    }
  }
  return completion;
}

}  // namespace caretd::lsp

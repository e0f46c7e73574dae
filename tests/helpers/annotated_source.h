// Test sources with marks: `^` is the cursor, `[[` and `]]` enclose ranges.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace caretd::test {

/// The source without its marks, and where they were, in bytes. Ranges may nest; they are listed in
/// the order in which they begin.
struct AnnotatedSource {
  std::string text;
  std::size_t cursor = std::string::npos;  ///< of the last `^`
  std::vector<std::pair<std::size_t, std::size_t>> ranges;

  explicit AnnotatedSource(std::string_view marked) {
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < marked.size(); ++i) {
      const std::string_view rest = marked.substr(i);
      if (rest.starts_with('^')) {
        cursor = text.size();
      } else if (rest.starts_with("[[")) {
        open.push_back(ranges.size());
        ranges.emplace_back(text.size(), text.size());
        ++i;
      } else if (rest.starts_with("]]") && !open.empty()) {
        ranges[open.back()].second = text.size();
        open.pop_back();
        ++i;
      } else {
        text.push_back(marked[i]);
      }
    }
  }

  [[nodiscard]] std::string_view before() const { return std::string_view(text).substr(0, cursor); }
  [[nodiscard]] std::string_view after() const { return std::string_view(text).substr(cursor); }
  [[nodiscard]] std::string_view range(std::size_t i) const {
    return std::string_view(text).substr(ranges[i].first, ranges[i].second - ranges[i].first);
  }
};

}  // namespace caretd::test

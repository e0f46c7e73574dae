// Where the stop rule ends an output.
#pragma once

#include <iostream>
#include <string>
#include <string_view>

#include "lsp/postprocess/syntax_stop_rule.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/completion_case.h"

namespace caretd::test {

struct Stopped {
  std::string text;
  std::string reason;

  friend bool operator==(const Stopped&, const Stopped&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Stopped& s) {
    return out << "[" << s.reason << "] " << s.text;
  }
};

// Feeds `output` in steps of `step` bytes. A rule that never says stop has reason "end".
inline Stopped feed(const lsp::CompletionSite& site, std::string_view output, std::size_t step) {
  lsp::SyntaxStopRule rule(site);
  for (std::size_t size = step; size < output.size() + step; size += step) {
    const std::string_view text = output.substr(0, size);
    if (const auto end = rule.end_of_completion(text)) {
      REQUIRE(*end <= text.size());
      return {std::string(text.substr(0, *end)), std::string(rule.reason())};
    }
  }
  return {std::string(output), "end"};
}

// The same whatever the sizes of the tokens are.
inline Stopped completed(std::string_view language_id, std::string_view source,
                         std::string_view output) {
  const lsp::CompletionSite site = CompletionCase(language_id, source).site;
  const Stopped one_by_one = feed(site, output, 1);
  for (const std::size_t step : {2, 3, 5, 8}) CHECK(feed(site, output, step) == one_by_one);
  return one_by_one;
}

}  // namespace caretd::test

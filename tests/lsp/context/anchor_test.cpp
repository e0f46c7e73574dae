#include "lsp/context/anchor.h"

#include <string>

#include "support/thread_clock.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/completion_case.h"
#include "tests/helpers/tiny_tokenizer.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::CompletionCase;
using caretd::test::tiny_tokenizer;

TEST_CASE("an anchor deep in nested code is placed as quickly as elsewhere") {
  std::string source = "function f(x) {\n";
  for (int i = 0; i < 3000; ++i) {
    source += "  if (x === " + std::to_string(i) + ") {\n    g();\n  } else ";
  }
  source += "{\n    ^h();\n  }\n";
  for (int i = 0; i < 100; ++i) source += "  k(" + std::to_string(i) + ");\n";
  const CompletionCase place("javascript", source + "}\n");
  const auto tokens = TokenBuffer::build(place.document, nullptr, nullptr);
  const ThreadClock clock;
  const TimePoint begin = clock.now();
  const Anchor anchor =
      place_anchor(place.query, place.site, *tokens, place.tree.get(), AnchorBudget{}, {});
  // Looking for each parent from the root took more than a second.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::chrono::milliseconds kBound{3000};
#else
  constexpr std::chrono::milliseconds kBound{200};
#endif
  CHECK(clock.now() - begin < kBound);
  const std::string_view text = place.document->text.view();
  CHECK(
      text.substr(anchor.suffix_begin, anchor.suffix_end - anchor.suffix_begin).ends_with(");\n"));
}

TEST_CASE("the rest of a line that is longer than the budget is cut to it") {
  for (const std::string_view words :
       {"some words of prose ", "des mots à côté ", "日本語の文章"}) {
    std::string line;
    while (line.size() < 4000) line += words;
    const CompletionCase place("markdown", "# Title\n\n" + line + "^" + line + "\n\nMore.\n");
    const auto tokens = TokenBuffer::build(place.document, tiny_tokenizer(), nullptr);
    const AnchorBudget budget;
    const Anchor anchor =
        place_anchor(place.query, place.site, *tokens, place.tree.get(), budget, {});
    const int size = tokens->count(anchor.suffix_begin, anchor.suffix_end);
    CHECK(size <= budget.suffix);
    CHECK(size * 2 > budget.suffix);
    const std::string_view text = place.document->text.view();
    const std::string_view suffix =
        text.substr(anchor.suffix_begin, anchor.suffix_end - anchor.suffix_begin);
    CHECK(line.starts_with(suffix));
    CHECK(is_valid_utf8(suffix));
  }
}

#include "lsp/features/chat/code_target.h"

#include <string>

#include "support/thread_clock.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/completion_case.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::CompletionCase;

TEST_CASE("the statement around a term of a long expression is found at once") {
  std::string sum = "x = (1";
  for (int i = 0; i < 6000; ++i) sum += "\n    + f(" + std::to_string(i) + ")";
  sum += ")";
  const CompletionCase place("python", sum + "\ny = 2\n^");
  const std::string_view text = place.document->text.view();
  const std::size_t term = text.find("f(7)");
  const ThreadClock clock;
  const TimePoint begin = clock.now();
  const auto target = touched_code(*place.tree, text, term, term + 4);
  // Looking for each parent from the root took a second.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::chrono::milliseconds kBound{3000};
#else
  constexpr std::chrono::milliseconds kBound{200};
#endif
  CHECK(clock.now() - begin < kBound);
  REQUIRE(target);
  CHECK(target->of(text) == sum);
}

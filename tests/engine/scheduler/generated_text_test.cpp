#include "engine/scheduler/generated_text.h"

#include "engine/scheduler/stop_matcher.h"
#include "tests/engine/scheduler/scheduler_fixture.h"

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)
using namespace caretd::test;    // NOLINT(google-build-using-namespace)

TEST_CASE("a stop string is found across pieces and nothing of it is told") {
  StopMatcher matcher({"\n\n", "STOP"});
  CHECK(matcher.push("a\n").append("|") == "a|");
  CHECK(matcher.push("b S").append("|") == "\nb |");
  CHECK(matcher.push("TO").append("|") == "|");
  CHECK(matcher.matched().empty());
  CHECK(matcher.push("P and more").append("|") == "|");
  CHECK(matcher.matched() == "STOP");
  CHECK(matcher.push("ignored").append("|") == "|");
}

TEST_CASE("held text is given back when it was no stop string") {
  StopMatcher matcher({"abcd"});
  CHECK(matcher.push("xabc").append("|") == "x|");
  CHECK(matcher.push("abc").append("|") == "abc|");
  CHECK(matcher.finish() == "abc");
  StopMatcher none({""});
  CHECK(none.push("text") == "text");
}

TEST_CASE("the earliest of several stop strings ends the text") {
  StopMatcher matcher({"late", "a"});
  CHECK(matcher.push("xx late a") == "xx ");
  CHECK(matcher.matched() == "late");
}

TEST_CASE("forced bytes are taken off the text, what overshoots them is text") {
  const auto tokenizer = tiny_tokenizer();
  const std::vector<TokenId> ids = tokenizer->encode("return value");
  GeneratedText text(tokenizer, "retu", {});
  std::string result;
  for (const TokenId id : ids) result += text.push(id);
  CHECK(result + text.finish() == "rn value");
  CHECK(text.forced().empty());
}

TEST_CASE("characters of several tokens arrive whole, special tokens never") {
  const auto tokenizer = tiny_tokenizer();
  const std::string source = "a \xF0\x9F\xA6\x80 b";
  GeneratedText text(tokenizer, "", {});
  std::string result;
  for (const TokenId id : tokenizer->encode(source)) {
    const std::string piece = text.push(id);
    for (size_t i = 0; i < piece.size();) {
      const auto lead = static_cast<unsigned char>(piece[i]);
      const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      REQUIRE(i + length <= piece.size());
      i += length;
    }
    result += piece;
    result += text.push(*tokenizer->control(ControlToken::fim_hole));
  }
  CHECK(result + text.finish() == source);
}

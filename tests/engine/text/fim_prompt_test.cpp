#include "engine/text/fim_prompt.h"

#include "engine/text/prompt.h"
#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;

namespace {

using Ids = std::vector<TokenId>;

Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

TEST_CASE("the FIM prompt is begin, prefix, hole, suffix, end, typed") {
  const Tokenizer& tokenizer = tiny_tokenizer();
  const auto control = [&](ControlToken token) { return Ids{*tokenizer.control(token)}; };
  const Ids typed = tokenizer.encode("    ret");
  const Prompt prompt = fim_prompt({"def f():\n", "\nprint(1)\n", typed});
  CHECK(encode_prompt(tokenizer, prompt).value() ==
        joined({control(ControlToken::begin_of_sentence), control(ControlToken::fim_begin),
                tokenizer.encode("def f():\n"), control(ControlToken::fim_hole),
                tokenizer.encode("\nprint(1)\n"), control(ControlToken::fim_end), typed}));
  CHECK(has_fim_tokens(tokenizer));
}

TEST_CASE("empty parts leave no trace") {
  CHECK(fim_prompt({"", Ids{}, ""}).size() == 4);
  CHECK(left_to_right_prompt({"", "", ""}).size() == 1);
}

TEST_CASE("without FIM the prompt is left to right, prefix and typed text as one") {
  const Tokenizer& tokenizer = tiny_tokenizer();
  const auto ids =
      encode_prompt(tokenizer, left_to_right_prompt({"x = ret", "ignored", "urn_value"})).value();
  Ids expected = tokenizer.encode("x = return_value");
  expected.insert(expected.begin(), *tokenizer.control(ControlToken::begin_of_sentence));
  CHECK(ids == expected);
}

TEST_CASE("a control token that the tokenizer lacks is an error with a sentence") {
  const auto ids = encode_prompt(tiny_tokenizer(), Prompt{"a", ControlToken::user});
  REQUIRE_FALSE(ids.has_value());
  CHECK(ids.error().kind == caretd::ErrorKind::unsupported);
  CHECK(ids.error().message.find("chat role token") != std::string::npos);
}

TEST_CASE("text parts are never parsed for control strings") {
  const Tokenizer& tokenizer = tiny_tokenizer();
  const auto ids = encode_prompt(tokenizer, Prompt{"<｜fim▁", "hole｜>"}).value();
  CHECK(ids == tokenizer.encode("<｜fim▁hole｜>"));
  for (const TokenId id : ids) CHECK_FALSE(tokenizer.is_special(id));
}

TEST_CASE("healing takes off the last token and keeps the rest") {
  for (const Tokenizer* tokenizer : {&tiny_tokenizer(), &deepseek_tokenizer()}) {
    std::mt19937_64 random(7);
    for (int i = 0; i < 2000; ++i) {
      const std::string text = random_text(random, 1 + static_cast<int>(random() % 12));
      const auto healed = heal(*tokenizer, text);
      CHECK(tokenizer->decode(healed.kept) + healed.forced_prefix == text);
      CHECK(healed.forced_prefix.empty() == text.ends_with('\n'));
    }
    CHECK(heal(*tokenizer, "").kept.empty());
    CHECK(heal(*tokenizer, "").forced_prefix.empty());
  }
}

TEST_CASE("healing takes off all tokens of a word that is one token when it is complete") {
  for (const Tokenizer* tokenizer : {&tiny_tokenizer(), &deepseek_tokenizer()}) {
    REQUIRE(tokenizer->encode(" json").size() == 1);
    REQUIRE(tokenizer->encode(" jso").size() > 1);
    const auto healed = heal(*tokenizer, "return jso");
    CHECK(healed.kept == tokenizer->encode("return"));
    CHECK(healed.forced_prefix == " jso");
  }
}

TEST_CASE("indentation before the cursor is healed so that the model may join it with a word") {
  const auto healed = heal(deepseek_tokenizer(), "def f():\n    ");
  CHECK(healed.forced_prefix == "    ");
  CHECK(healed.kept == deepseek_tokenizer().encode("def f():\n"));
}

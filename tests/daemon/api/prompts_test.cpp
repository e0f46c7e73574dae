// Which tokens a request becomes.
#include "daemon/http/prompts.h"

#include <string>
#include <vector>

#include "tests/helpers/catch.h"
#include "tests/helpers/tiny_tokenizer.h"

namespace caretd::daemon::api {
namespace {

std::string text_of(const Parsed<BuiltPrompt>& prompt) {
  REQUIRE(prompt);
  REQUIRE(prompt->parts.size() == 1);
  const auto& ids = std::get<std::vector<engine::TokenId>>(prompt->parts.front());
  return test::tiny_tokenizer()->decode(ids) + prompt->forced_prefix;
}

TEST_CASE("without filling in the middle an infill request continues what is in front", "[api]") {
  InfillFields fields;
  fields.prefix = "a = 1\n";
  fields.suffix = "c = 3\n";
  fields.typed = "b = ";
  const auto tokenizer = test::tiny_tokenizer();
  engine::ModelInfo model{.context_tokens = 256, .fill_in_the_middle = true};
  CHECK(text_of(infill_prompt(fields, {tokenizer.get(), model})) == "a = 1\nc = 3\nb = ");
  model.fill_in_the_middle = false;
  const auto prompt = infill_prompt(fields, {tokenizer.get(), model});
  CHECK(text_of(prompt) == "a = 1\nb = ");
  const auto& ids = std::get<std::vector<engine::TokenId>>(prompt->parts.front());
  CHECK(ids.front() == tokenizer->control(engine::ControlToken::begin_of_sentence));
  CHECK_FALSE(tokenizer->is_special(ids[1]));
  CHECK_FALSE(prompt->truncated);

  CompletionFields completion;
  completion.suffix = "c";
  CHECK_FALSE(completion_prompt(completion, std::string("b"), {tokenizer.get(), model}));
}

}  // namespace
}  // namespace caretd::daemon::api

// Reading the bodies of requests: what is honoured, what is refused, and that nothing else happens.
#include "daemon/http/requests.h"

#include <random>
#include <string>
#include <vector>

#include "tests/helpers/catch.h"

namespace caretd::daemon::api {
namespace {

std::string param_of(const auto& parsed) {
  return parsed ? "" : parsed.error().param;
}

TEST_CASE("A completion request with its defaults", "[api]") {
  const auto fields = parse_completion(R"({"prompt": "x = "})");
  REQUIRE(fields);
  CHECK(std::get<std::string>(fields->prompts.at(0)) == "x = ");
  CHECK(fields->common.n == 1);
  CHECK(fields->common.sampling.temperature == 1.0F);
  CHECK_FALSE(fields->common.seed);
  CHECK_FALSE(fields->common.max_tokens);
  CHECK_FALSE(fields->suffix);
  CHECK_FALSE(fields->logprobs);
  CHECK_FALSE(fields->common.stream);
  CHECK(fields->add_special_tokens);
}

TEST_CASE("The forms of a prompt", "[api]") {
  CHECK(parse_completion(R"({"prompt": ["a", "b"]})")->prompts.size() == 2);
  const auto ids = parse_completion(R"({"prompt": [1, 2]})");
  CHECK(std::get<std::vector<engine::TokenId>>(ids->prompts.at(0)).size() == 2);
  CHECK(parse_completion(R"({"prompt": [[1], [2], "c"]})")->prompts.size() == 3);
  for (const char* body : {R"({"prompt": []})", R"({"prompt": 5})", R"({"prompt": [[]]})",
                           R"({"prompt": [1, "a"]})", R"({"prompt": [1.5]})", "{}"}) {
    CHECK_FALSE(parse_completion(body));
  }
}

TEST_CASE("Null fields count as absent", "[api]") {
  CHECK(parse_completion(R"({"prompt": "x", "suffix": null, "stop": null, "seed": null, "n": null,
                             "stream_options": null, "logit_bias": null, "logprobs": null})"));
}

TEST_CASE("Values out of range are refused by name", "[api]") {
  for (const auto& [field, value] :
       std::vector<std::pair<std::string, std::string>>{{"temperature", "2.1"},
                                                        {"temperature", "-0.1"},
                                                        {"top_p", "1.1"},
                                                        {"n", "0"},
                                                        {"n", "129"},
                                                        {"max_tokens", "-2"},
                                                        {"logprobs", "21"},
                                                        {"best_of", "3"},
                                                        {"stop", R"([""])"},
                                                        {"suffix", "1"},
                                                        {"stream", "1"},
                                                        {"seed", "1.5"},
                                                        {"echo", R"("yes")"},
                                                        {"tools", "[{}]"},
                                                        {"top_k", "3000000000"}}) {
    CAPTURE(field, value);
    CHECK(param_of(parse_completion(R"({"prompt": "x", ")" + field + "\": " + value + "}")) ==
          field);
  }
}

TEST_CASE("A completion of nothing needs echo", "[api]") {
  CHECK(param_of(parse_completion(R"({"prompt": "x", "max_tokens": 0})")) == "max_tokens");
  CHECK(parse_completion(R"({"prompt": "x", "max_tokens": 0, "echo": true})"));
}

TEST_CASE("Chat messages", "[api]") {
  const auto fields = parse_chat(
      R"({"messages": [{"role": "developer", "content": "s"},
                       {"role": "user", "content": [{"type": "text", "text": "a"},
                                                    {"type": "text", "text": "b"}]},
                       {"role": "assistant", "content": "c", "name": "x"}],
          "max_tokens": 9, "max_completion_tokens": 5})");
  REQUIRE(fields);
  REQUIRE(fields->messages.size() == 3);
  CHECK(fields->messages[0].role == engine::ChatRole::system);
  CHECK(fields->messages[1].content == "ab");
  CHECK(fields->messages[2].role == engine::ChatRole::assistant);
  CHECK(fields->common.max_tokens == 5);
}

TEST_CASE("Chats that cannot be had", "[api]") {
  CHECK(param_of(parse_chat(R"({"messages": []})")) == "messages");
  CHECK(param_of(parse_chat(R"({"messages": [{"role": "user"}]})")) == "messages[0].content");
  CHECK(param_of(parse_chat(R"({"messages": [{"role": "x", "content": ""}]})")) ==
        "messages[0].role");
  CHECK(param_of(parse_chat(R"({"messages": [{"role": "user", "content": ""}],
                                "response_format": {"type": "json_object"}})")) ==
        "response_format");
  CHECK(parse_chat(R"({"messages": [{"role": "user", "content": ""}],
                       "response_format": {"type": "text"}, "tools": []})"));
}

TEST_CASE("An infill request as llama.vim sends it", "[api]") {
  const auto fields = parse_infill(
      R"({"input_prefix": "a\n", "input_suffix": "\nb", "prompt": "  x", "n_predict": 128,
          "input_extra": [{"text": "t", "time": [1, 2], "filename": "f.py"}, {"text": "u"}],
          "stop": [], "samplers": ["top_k", "infill"], "cache_prompt": true,
          "t_max_prompt_ms": 500, "t_max_predict_ms": 1000, "response_fields": ["content"]})");
  REQUIRE(fields);
  CHECK(fields->common.sampling.temperature == 0.0F);
  CHECK(fields->extra.size() == 2);
  CHECK(fields->extra[0].filename == "f.py");
  CHECK(fields->time_limit == std::chrono::milliseconds(1000));
  CHECK(fields->response_fields->at(0) == "content");
  CHECK(param_of(parse_infill(R"({"input_prefix": "a"})")) == "input_suffix");
}

TEST_CASE("What llama.cpp's clients say in their own way", "[api]") {
  const std::string chat = R"({"messages": [{"role": "user", "content": "x"}])";
  CHECK(parse_chat(chat + R"(, "ignore_eos": true})")->common.ignore_eos);
  CHECK_FALSE(parse_chat(chat + R"(, "max_tokens": -1})")->common.max_tokens);
  CHECK_FALSE(parse_chat(chat + R"(, "n_predict": -1})")->common.max_tokens);
  CHECK(parse_chat(chat + R"(, "n_predict": 0})")->common.max_tokens == 0);
  CHECK(parse_chat(chat + R"(, "n_predict": 7, "max_tokens": 5})")->common.max_tokens == 5);
  CHECK(param_of(parse_chat(chat + R"(, "max_tokens": 0})")) == "max_tokens");
  CHECK(param_of(parse_chat(chat + R"(, "n_predict": -2})")) == "n_predict");

  const std::string infill = R"({"input_prefix": "a", "input_suffix": "b")";
  const auto several = parse_infill(infill + R"(, "n_cmpl": 3})");
  REQUIRE(several);
  CHECK(several->common.n == 3);
  CHECK(several->common.sampling.temperature > 0.0F);
  CHECK(parse_infill(infill + R"(, "n_cmpl": 3, "temperature": 0})")->common.sampling.temperature ==
        0.0F);
  CHECK(param_of(parse_infill(infill + R"(, "n_cmpl": 17})")) == "n_cmpl");
}

// A few bytes of valid bodies changed at random: any outcome but a crash or an exception is right,
// and what is accepted is within the bounds.
TEST_CASE("Mutated bodies are read or refused", "[api][fuzz]") {
  const std::vector<std::string> seeds = {
      R"({"prompt": ["a", [1, 2]], "n": 2, "stop": ["x"], "logprobs": 5, "suffix": "s", "seed": 7})",
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "top_p": 0.5,
          "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 10})",
      R"({"input_prefix": "a", "input_suffix": "b", "input_extra": [{"text": "t"}], "n_predict": 3,
          "response_fields": ["timings/prompt_n"], "t_max_predict_ms": 5})"};
  const std::string alphabet = "{}[]\",:0123456789.eE+-ntfu\\ \x00\xff\xc3";
  std::mt19937 random(1);
  for (int round = 0; round < 30'000; ++round) {
    std::string body = seeds[random() % seeds.size()];
    for (unsigned i = 0; i <= random() % 4; ++i) {
      body[random() % body.size()] = alphabet[random() % alphabet.size()];
    }
    if (random() % 8 == 0) body.resize(random() % body.size());
    if (const auto fields = parse_completion(body)) {
      REQUIRE(fields->common.n >= 1);
      REQUIRE(fields->prompts.size() * static_cast<std::size_t>(fields->common.n) <=
              static_cast<std::size_t>(kMostChoices));
    }
    if (const auto fields = parse_chat(body)) REQUIRE_FALSE(fields->messages.empty());
    if (const auto fields = parse_infill(body)) REQUIRE(fields->answer_tokens() >= 0);
  }
}

}  // namespace
}  // namespace caretd::daemon::api

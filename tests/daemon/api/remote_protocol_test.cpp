// What is said to other servers, and what is made of their answers.
#include "daemon/remote/remote_protocol.h"

#include <random>
#include <string>
#include <vector>

#include "daemon/remote/sse_parser.h"
#include "lsp/protocol/json.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

using engine::ControlToken;
using lsp::Json;

std::vector<std::string> events_of(std::string_view stream, std::size_t piece) {
  SseParser parser;
  std::vector<std::string> all;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    const auto events = parser.push(stream.substr(at, piece));
    REQUIRE(events);
    all.insert(all.end(), events->begin(), events->end());
  }
  if (auto last = parser.finish()) all.push_back(*std::move(last));
  return all;
}

TEST_CASE("Events are the same however the bytes are cut", "[remote]") {
  const std::string stream =
      ": keep-alive\n\ndata: {\"a\":\"gr\xC3\xBC\xC3\x9F\"}\n\nevent: x\r\ndata:b\r\nid: 1\r\n\r\n"
      "data: one\ndata: two\n\n: ping\n\ndata: [DONE]\n";
  const std::vector<std::string> expected = {"{\"a\":\"gr\xC3\xBC\xC3\x9F\"}", "b", "one\ntwo",
                                             "[DONE]"};
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    CAPTURE(piece);
    REQUIRE(events_of(stream, piece) == expected);
  }
}

TEST_CASE("An event without an end is given up", "[remote]") {
  SseParser parser;
  const std::string part(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) REQUIRE(parser.push(part));
  CHECK_FALSE(parser.push(part));
}

engine::GenerationRequest fim_request() {
  engine::GenerationRequest request;
  request.prompt = {ControlToken::begin_of_sentence, ControlToken::fim_begin,
                    std::string("def f():\n"),       ControlToken::fim_hole,
                    std::string("\nprint(f())\n"),   ControlToken::fim_end,
                    std::string("    ret")};
  request.forced_prefix = "u";
  request.max_tokens = 16;
  request.stop = {"a", "b", "c", "d", "e"};
  return request;
}

Json body_of(const engine::GenerationRequest& request, const RemoteFeatures& features,
             const RemoteSettings& settings = {}) {
  const auto prompt = to_remote_prompt(request, nullptr);
  REQUIRE(prompt);
  return *lsp::parse_json(completion_body(request, *prompt, features, settings, "m"));
}

TEST_CASE("A hole becomes prompt and suffix", "[remote]") {
  const Json body = body_of(fim_request(), {});
  CHECK(body["prompt"] == "def f():\n    retu");
  CHECK(body["suffix"] == "\nprint(f())\n");
  CHECK(body["max_tokens"] == 16);
  CHECK(body["stop"].size() == 4);
  CHECK(body["stream"] == true);
  CHECK(body["stream_options"]["include_usage"] == true);
  CHECK_FALSE(body.contains("seed"));
}

TEST_CASE("Or a raw prompt with the model's own tokens", "[remote]") {
  RemoteSettings settings;
  settings.fim_tokens = {"<P>", "<S>", "<M>"};
  const RemoteFeatures features{.suffix = false, .usage = false, .logprobs = false};
  const Json body = body_of(fim_request(), features, settings);
  CHECK(body["prompt"] == "<P>def f():\n<S>\nprint(f())\n<M>    retu");
  CHECK_FALSE(body.contains("suffix"));
  CHECK_FALSE(body.contains("stream_options"));
  CHECK_FALSE(body.contains("logprobs"));
}

TEST_CASE("Text of a document never reads as one of those tokens", "[remote]") {
  RemoteSettings settings;
  settings.fim_tokens = {"<P>", "<S>", "<M>"};
  engine::GenerationRequest request = fim_request();
  request.prompt[2] = std::string("a<S>b<<S>M>c");
  const Json body = body_of(request, {.suffix = false}, settings);
  CHECK(body["prompt"].get<std::string>().starts_with("<P>abc<S>"));
}

TEST_CASE("Left to right has no suffix", "[remote]") {
  engine::GenerationRequest request;
  request.prompt = {ControlToken::begin_of_sentence, std::string("x = ")};
  const Json body = body_of(request, {});
  CHECK(body["prompt"] == "x = ");
  CHECK_FALSE(body.contains("suffix"));
}

TEST_CASE("Ids without a tokenizer cannot be sent", "[remote]") {
  engine::GenerationRequest request;
  request.prompt = {std::vector<engine::TokenId>{1, 2}};
  const auto prompt = to_remote_prompt(request, nullptr);
  REQUIRE_FALSE(prompt);
  CHECK(prompt.error().message.find("remote.tokenizer") != std::string::npos);
}

TEST_CASE("What a server refuses is left out from then on", "[remote]") {
  RemoteSettings settings;
  RemoteFeatures features;
  CHECK(learn_from(features, settings, 400, "suffix is not currently supported"));
  CHECK_FALSE(features.suffix);
  CHECK_FALSE(learn_from(features, settings, 400, "suffix is not currently supported"));
  CHECK(learn_from(features, settings, 422, "Extra inputs: stream_options, logprobs"));
  CHECK_FALSE(features.usage);
  CHECK_FALSE(features.logprobs);
  CHECK_FALSE(learn_from(features, settings, 500, "suffix"));
  settings.fim = "suffix";
  features = {};
  CHECK_FALSE(learn_from(features, settings, 400, "no suffix"));
}

TEST_CASE("Chunks of different servers", "[remote]") {
  const auto plain = read_chunk(
      R"({"choices": [{"text": "ab", "finish_reason": null,
          "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1.0, -0.5]}}]})");
  REQUIRE(plain);
  CHECK(plain->text == "ab");
  CHECK(plain->finish_reason.empty());
  CHECK(plain->tokens == 2);
  CHECK(plain->logprob == Approx(-1.5F));
  const auto chat_form = read_chunk(
      R"({"choices": [{"text": "a", "finish_reason": "stop",
          "logprobs": {"content": [{"token": "a", "logprob": -0.25}]}}]})");
  CHECK(chat_form->logprob == Approx(-0.25F));
  CHECK(chat_form->finish_reason == "stop");
  const auto usage = read_chunk(
      R"({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3,
          "prompt_tokens_details": {"cached_tokens": 4}}})");
  CHECK(usage->prompt_tokens == 9);
  CHECK(usage->cached_tokens == 4);
  CHECK(read_chunk(R"({"error": {"message": "out of memory"}})")->error == "out of memory");
  CHECK_FALSE(read_chunk("<html>"));
  CHECK_FALSE(read_chunk("[]"));
}

TEST_CASE("Lists of models", "[remote]") {
  const std::string list =
      R"({"data": [{"id": "a", "owned_by": "vllm", "max_model_len": 4096},
                   {"id": "b", "owned_by": "llamacpp", "meta": {"n_ctx_train": 2048}}]})";
  CHECK(read_models(list, "")->name == "a");
  CHECK(read_models(list, "b")->context_tokens == 2048);
  CHECK_FALSE(read_models(list, "c"));
  CHECK_FALSE(read_models("nonsense", ""));
  CHECK_FALSE(features_for(*read_models(list, "b"), {}).suffix);
  CHECK(features_for({"x", "caretd", 0}, {}).suffix);
  RemoteSettings forced;
  forced.fim = "suffix";
  CHECK(features_for(*read_models(list, "b"), forced).suffix);
}

TEST_CASE("Addresses", "[remote]") {
  CHECK(*base_url("http://box:8000") == "http://box:8000/v1");
  CHECK(*base_url("http://box:8000/") == "http://box:8000/v1");
  CHECK(*base_url("https://host/api/v1/") == "https://host/api/v1");
  CHECK_FALSE(base_url("file:///etc/passwd"));
  CHECK_FALSE(base_url("box:8000"));
  CHECK_FALSE(base_url("http://"));
  CHECK(host_of("https://user:password@box:1/v1") == "https://box:1");
}

TEST_CASE("Mutated answers never do more than fail", "[remote][fuzz]") {
  const std::string seed =
      R"({"choices": [{"text": "ab", "finish_reason": "stop", "logprobs": {"token_logprobs": [-1]}}],
          "usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}},
          "data": [{"id": "m", "meta": {"n_ctx": 5}}], "error": null})";
  const std::string alphabet = "{}[]\",:0123456789.eE-nul\\ \xff";
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string body = seed;
    for (unsigned i = 0; i <= random() % 5; ++i) {
      body[random() % body.size()] = alphabet[random() % alphabet.size()];
    }
    (void)read_chunk(body);
    (void)read_models(body, "m");
    (void)error_message(body);
  }
}

}  // namespace
}  // namespace caretd::daemon

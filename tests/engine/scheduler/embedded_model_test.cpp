// The whole engine on the embedded model: what the scheduler does between requests and tokens
// changes neither tokens nor probabilities.
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/cpu_runner.h"
#include "engine/local_engine.h"
#include "engine/verify/golden_file.h"
#include "support/log.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kModel = "models/tiny";

struct FutureSink final : TokenSink {
  Verdict on_token(const TokenEvent&) override { return Verdict::go_on; }
  void on_finish(const Generation& generation) override { end.set_value(generation); }
  std::promise<Generation> end;
};

class EmbeddedModel {
 public:
  explicit EmbeddedModel(std::int64_t kv_bytes) {
    ModelLoader loader = [kv_bytes](const Progress& progress,
                                    const std::stop_token& stop) -> caretd::Result<LoadedModel> {
      auto tokenizer = Tokenizer::load(kModel);
      if (!tokenizer) return caretd::pass_on(std::move(tokenizer));
      auto checkpoint = Checkpoint::open(kModel);
      if (!checkpoint) return caretd::pass_on(std::move(checkpoint));
      const RunnerOptions options{
          .kv_bytes = kv_bytes, .precise = true, .real_vocab = (*tokenizer)->size()};
      auto runner = make_cpu_runner(*checkpoint, options, progress, stop);
      if (!runner) return caretd::pass_on(std::move(runner));
      return LoadedModel{*std::move(runner), *std::move(tokenizer), (*checkpoint)->config(),
                         "tiny"};
    };
    engine_ = make_local_engine(std::move(loader), {}, clock_, caretd::make_null_logger());
  }

  std::future<Generation> submit(GenerationRequest request) {
    auto sink = std::make_shared<FutureSink>();
    auto end = sink->end.get_future();
    engine_->submit(std::move(request), std::move(sink));
    return end;
  }

  Engine& engine() { return *engine_; }

 private:
  caretd::SteadyClock clock_;
  std::unique_ptr<Engine> engine_;
};

GenerationRequest greedy_request(const GoldenCase& golden) {
  return {.prompt = {golden.input_ids},
          .max_tokens = static_cast<int>(golden.greedy_ids.size()),
          .stop_at_end_of_sentence = false};
}

/// Equal up to the first step that rounding may decide.
void check_greedy(const GoldenCase& golden, const Generation& result) {
  INFO(golden.name);
  REQUIRE(result.tokens.size() == golden.greedy_ids.size());
  for (size_t i = 0; i < golden.greedy_ids.size() && golden.greedy_margins[i] > 1e-3F; ++i) {
    CHECK(result.tokens[i] == golden.greedy_ids[i]);
  }
}

std::vector<GoldenCase> golden_cases() {
  auto golden = read_golden_file(std::filesystem::path(kModel) / "golden.json");
  REQUIRE(golden);
  return golden->cases;
}

}  // namespace

TEST_CASE("all golden cases at once, twice, and in a cache that is too small for them") {
  const std::int64_t kv_bytes = GENERATE(std::int64_t{64} << 20, std::int64_t{12} << 20);
  EmbeddedModel model(kv_bytes);
  const std::vector<GoldenCase> cases = golden_cases();
  for (int round = 0; round < 2; ++round) {
    std::vector<std::future<Generation>> ends;
    for (const GoldenCase& golden : cases) ends.push_back(model.submit(greedy_request(golden)));
    for (size_t i = 0; i < cases.size(); ++i) {
      const Generation result = ends[i].get();
      check_greedy(cases[i], result);
      const bool all_kept = round == 1 && kv_bytes > 50 << 20;
      if (all_kept) CHECK(result.usage.computed_tokens == 1);
    }
  }
}

TEST_CASE("a prompt typed token by token generates what it generates at once") {
  EmbeddedModel model(64 << 20);
  const GoldenCase golden = golden_cases().front();
  for (size_t typed = golden.input_ids.size() - 40; typed < golden.input_ids.size(); ++typed) {
    GenerationRequest request = greedy_request(golden);
    const auto end = golden.input_ids.begin() + static_cast<std::ptrdiff_t>(typed);
    request.prompt = {std::vector<TokenId>(golden.input_ids.begin(), end)};
    request.max_tokens = 4;
    request.owner = 1;
    const Generation generation = model.submit(std::move(request)).get();
    if (typed > golden.input_ids.size() - 40) {
      CHECK(generation.usage.computed_tokens == 1);
    }
  }
  check_greedy(golden, model.submit(greedy_request(golden)).get());
}

TEST_CASE("log-probabilities of a prompt are the golden ones") {
  EmbeddedModel model(64 << 20);
  for (const GoldenCase& golden : golden_cases()) {
    INFO(golden.name);
    GenerationRequest request = greedy_request(golden);
    request.max_tokens = 0;
    request.prompt_logprobs = true;
    const Generation result = model.submit(std::move(request)).get();
    REQUIRE(result.prompt_logprobs.size() == golden.nll.size());
    for (size_t i = 0; i < golden.nll.size(); ++i) {
      REQUIRE(-result.prompt_logprobs[i] == Approx(golden.nll[i]).margin(2e-3));
    }
  }
}

TEST_CASE("healing completes the word that was begun") {
  EmbeddedModel model(64 << 20);
  const Prompt prompt{
      ControlToken::begin_of_sentence, ControlToken::fim_begin, std::string("def add(a, b):\n"),
      ControlToken::fim_hole,          std::string("\n"),       ControlToken::fim_end};
  const Generation result =
      model.submit({.prompt = prompt, .forced_prefix = "    retu", .max_tokens = 8}).get();
  CHECK(result.text.starts_with("rn "));
}

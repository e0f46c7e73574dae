#include "tests/engine/scheduler/scheduler_fixture.h"

#include <utility>

namespace caretd::test {
namespace {

FakeRunnerOptions with_clock(FakeRunnerOptions options, ManualClock& clock) {
  options.clock = &clock;
  return options;
}

}  // namespace

std::shared_ptr<const engine::Tokenizer> tiny_tokenizer() {
  static const auto tokenizer = [] {
    auto loaded = engine::Tokenizer::load("models/tiny");
    REQUIRE(loaded);
    return *loaded;
  }();
  return tokenizer;
}

engine::Verdict RecordingSink::on_token(const engine::TokenEvent& token) {
  tokens.push_back({token.id,
                    token.logprob,
                    token.margin,
                    std::string(token.text),
                    {token.top.begin(), token.top.end()}});
  return verdict ? verdict(token) : engine::Verdict::go_on;
}

void RecordingSink::on_finish(const engine::Generation& generation) {
  end = generation;
  ++endings;
}

std::string RecordingSink::streamed() const {
  std::string text;
  for (const Token& token : tokens) text += token.text;
  return text;
}

SchedulerFixture::SchedulerFixture(FakeRunnerOptions options,
                                   engine::LocalEngineOptions engine_options, int context_tokens)
    : runner_options(with_clock(options, clock)),
      runner(runner_options, log),
      scheduler(runner, tiny_tokenizer(), context_tokens, engine_options, clock) {}

SchedulerFixture::~SchedulerFixture() {
  scheduler.finish_all({engine::FinishReason::cancelled, std::nullopt});
  CHECK(log->violations().empty());
}

std::shared_ptr<RecordingSink> SchedulerFixture::submit(std::vector<engine::TokenId> prompt,
                                                        engine::GenerationRequest request) {
  auto sink = std::make_shared<RecordingSink>();
  scheduler.submit({std::move(request), sink, clock.now()}, std::move(prompt));
  return sink;
}

bool SchedulerFixture::step() {
  const auto stepped = scheduler.step();
  REQUIRE(stepped);
  return *stepped;
}

void SchedulerFixture::step(int times) {
  for (int i = 0; i < times; ++i) REQUIRE(step());
}

void SchedulerFixture::drain(int limit) {
  for (int i = 0; i < limit; ++i) {
    if (!step()) return;
  }
  FAIL("the scheduler does not come to an end");
}

engine::Generation SchedulerFixture::generate(std::vector<engine::TokenId> prompt,
                                              engine::GenerationRequest request) {
  const auto sink = submit(std::move(prompt), std::move(request));
  drain();
  REQUIRE(sink->finished());
  return sink->end;
}

std::vector<engine::TokenId> SchedulerFixture::expected(std::vector<engine::TokenId> prompt,
                                                        int count) const {
  return FakeRunner::greedy_continuation(runner_options, std::move(prompt), count);
}

engine::EngineStatistics SchedulerFixture::statistics() const {
  return scheduler.statistics();
}

std::vector<engine::TokenId> prompt_of(int count, int seed) {
  std::vector<engine::TokenId> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * 7 + seed * 31 + i * seed) % 90);
  return tokens;
}

std::vector<engine::TokenId> concat(std::vector<engine::TokenId> a,
                                    const std::vector<engine::TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace caretd::test

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>

#include "engine/scheduler/scheduler.h"
#include "tests/engine/scheduler/scheduler_fixture.h"

using namespace caretd::engine;        // NOLINT(google-build-using-namespace)
using namespace caretd::test;          // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using caretd::TimePoint;

namespace {

int tokens_of(const FakeRunnerLog::Step& step) {
  return std::accumulate(step.begin(), step.end(), 0,
                         [](int sum, const auto& run) { return sum + run.tokens; });
}

}  // namespace

TEST_CASE("a keystroke preempts a background prefill at the next step, which keeps its progress") {
  SchedulerFixture fixture({.pages = 100});
  fixture.generate(prompt_of(3, 9), {.max_tokens = 1});  // an editor is active
  const auto background =
      fixture.submit(prompt_of(1500, 1), {.max_tokens = 0, .priority = Priority::background});
  fixture.step(2);
  fixture.log->forget_steps();
  const auto keystroke = fixture.submit(prompt_of(20, 2), {.max_tokens = 5});
  fixture.step(5);
  CHECK(keystroke->finished());
  for (const auto& step : fixture.log->steps()) {
    REQUIRE(step.size() == 1);
    CHECK(step[0].tokens <= 20);
  }
  fixture.drain();
  CHECK(background->finished());
  CHECK(background->end.usage.computed_tokens == 1500);
}

TEST_CASE("prefill steps that a keystroke may have to wait for are short") {
  SchedulerFixture fixture({.pages = 200}, {.keystroke_step = 40ms, .background_step = 10ms});
  // One step costs 1 ms and 0.1 ms a token: 390 tokens in 40 ms, 90 in 10 ms.
  fixture.submit(prompt_of(1500, 1), {.max_tokens = 0, .priority = Priority::chat});
  fixture.step();
  CHECK(tokens_of(fixture.log->steps().back()) == 390);
  fixture.submit(prompt_of(5, 2), {.max_tokens = 1});
  fixture.step(2);
  CHECK(tokens_of(fixture.log->steps().back()) == 90);
  fixture.step(4);
  CHECK(tokens_of(fixture.log->steps().back()) == 90);
  // Nobody has typed for a while: the chunks grow again.
  fixture.clock.advance(10s);
  fixture.step();
  CHECK(tokens_of(fixture.log->steps().back()) == 390);
}

TEST_CASE("a keystroke's own prefill takes steps as short as are worth while on the runner") {
  for (const auto& [worth, tokens] : {std::pair(40ms, 390), std::pair(8ms, 70)}) {
    SchedulerFixture fixture({.pages = 200, .keystroke_step = worth}, {.keystroke_step = 40ms});
    fixture.submit(prompt_of(1500, 1), {.max_tokens = 0});
    fixture.step();
    CHECK(tokens_of(fixture.log->steps().back()) == tokens);
  }
}

TEST_CASE("chat is slowed down by keystrokes but never stopped") {
  SchedulerFixture fixture({.pages = 200});
  const auto chat =
      fixture.submit(prompt_of(30, 1), {.max_tokens = 500, .priority = Priority::chat});
  fixture.step(3);
  const auto keystroke = fixture.submit(prompt_of(30, 2), {.max_tokens = 400});
  const size_t before = chat->tokens.size();
  const TimePoint start = fixture.clock.now();
  while (!keystroke->finished()) fixture.step();
  const auto served = static_cast<double>(chat->tokens.size() - before);
  const double elapsed_ms = caretd::to_milliseconds(fixture.clock.now() - start);
  // Every twelfth step or so takes it along.
  CHECK(served >= elapsed_ms / 20);
  CHECK(served <= elapsed_ms / 10);
}

TEST_CASE("with chats streaming a keystroke takes at most 10 ms longer") {
  const auto time_keystroke = [](int chats) {
    SchedulerFixture fixture({.pages = 300, .token_cost = 1ms});
    for (int i = 0; i < chats; ++i) {
      fixture.submit(prompt_of(256, i), {.max_tokens = 1000,
                                         .priority = Priority::chat,
                                         .session = static_cast<std::uint64_t>(i)});
    }
    const auto warm_up = fixture.submit(prompt_of(200, 50), {.max_tokens = 0});
    while (!warm_up->finished()) fixture.step();
    const TimePoint start = fixture.clock.now();
    const auto keystroke = fixture.submit(concat(prompt_of(200, 50), {1, 2}), {.max_tokens = 8});
    while (!keystroke->finished()) fixture.step();
    return fixture.clock.now() - start;
  };
  const auto alone = time_keystroke(0);
  CHECK(time_keystroke(4) - alone <= 10ms);
}

TEST_CASE("sessions of one class share the engine however many requests each has") {
  SchedulerFixture fixture({.pages = 2000}, {.keystroke_step = 5ms});
  std::map<int, std::vector<std::shared_ptr<RecordingSink>>> sinks;
  for (int i = 0; i < 12; ++i) {
    sinks[1].push_back(fixture.submit(prompt_of(400, i),
                                      {.max_tokens = 0, .priority = Priority::chat, .session = 1}));
  }
  sinks[2].push_back(fixture.submit(prompt_of(400, 50),
                                    {.max_tokens = 0, .priority = Priority::chat, .session = 2}));
  int steps = 0;
  while (!sinks[2].front()->finished()) {
    fixture.step();
    ++steps;
  }
  // 400 tokens at half of 40 tokens a step.
  CHECK(steps <= 22);
  const auto done = std::ranges::count_if(sinks[1], [](const auto& s) { return s->finished(); });
  CHECK(done <= 2);
  fixture.drain();
}

TEST_CASE("a decoding batch does not keep a new request of its class out") {
  SchedulerFixture fixture({.pages = 400, .token_cost = 1ms}, {.background_step = 10ms});
  for (int i = 0; i < 12; ++i) {
    fixture.submit(prompt_of(5, i), {.max_tokens = 1000, .priority = Priority::chat});
  }
  const auto keystroke = fixture.submit(prompt_of(2, 60), {.max_tokens = 0});  // editor active
  while (!keystroke->finished()) fixture.step();
  fixture.step(20);
  const auto chat = fixture.submit(prompt_of(30, 70), {.priority = Priority::chat});
  fixture.step(20);
  CHECK_FALSE(chat->tokens.empty());
}

TEST_CASE("a keystroke waits for the warm-up that computes its prefix and hurries it") {
  SchedulerFixture fixture({.pages = 100}, {.keystroke_step = 20ms, .background_step = 10ms});
  const auto file = prompt_of(1000, 1);
  const auto warm_up = fixture.submit(concat(file, prompt_of(300, 5)),
                                      {.max_tokens = 0, .priority = Priority::background});
  const auto other =
      fixture.submit(prompt_of(1000, 3), {.max_tokens = 0, .priority = Priority::background});
  fixture.step();
  fixture.log->forget_steps();
  const auto keystroke = fixture.submit(concat(file, {1, 2, 3}), {.max_tokens = 2});
  while (!keystroke->finished()) fixture.step();
  CHECK_FALSE(warm_up->finished());
  CHECK(keystroke->end.usage.cached_tokens == 1000);
  CHECK(keystroke->end.usage.computed_tokens == 3);
  CHECK(keystroke->end.tokens == fixture.expected(concat(file, {1, 2, 3}), 2));
  // While it was waited for, only the common part was computed, and nothing else.
  int computed = 0;
  for (const auto& step : fixture.log->steps()) computed += tokens_of(step);
  CHECK(computed <= 1000 + 3 + 1);
  fixture.drain();
  CHECK(warm_up->finished());
  CHECK(other->finished());
}

TEST_CASE("a request goes on alone when the one it waited for is cancelled") {
  SchedulerFixture fixture({.pages = 100}, {.keystroke_step = 10ms});
  const auto file = prompt_of(600, 1);
  std::stop_source cancel;
  fixture.submit(file, {.max_tokens = 0, .cancel = cancel.get_token()});
  fixture.step(2);
  const auto follower = fixture.submit(concat(file, {1}), {.max_tokens = 3});
  fixture.step(2);
  CHECK(fixture.log->steps().back().size() == 1);
  cancel.request_stop();
  fixture.drain();
  CHECK(follower->end.tokens == fixture.expected(concat(file, {1}), 3));
  CHECK(fixture.log->computed_tokens() == 600 + 1 + 2);
}

TEST_CASE("a keystroke takes the place of a background request when all places are taken") {
  SchedulerFixture fixture({.pages = 100}, {.max_running = 2});
  const auto first =
      fixture.submit(prompt_of(10, 1), {.max_tokens = 100, .priority = Priority::background});
  const auto second =
      fixture.submit(prompt_of(10, 2), {.max_tokens = 100, .priority = Priority::background});
  fixture.step(5);
  const auto keystroke = fixture.submit(prompt_of(10, 3), {.max_tokens = 3});
  fixture.step();
  CHECK(keystroke->tokens.size() == 1);
  fixture.drain();
  CHECK(first->end.tokens == fixture.expected(prompt_of(10, 1), 100));
  CHECK(second->end.tokens == fixture.expected(prompt_of(10, 2), 100));
  CHECK(second->tokens.size() == 100);
}

TEST_CASE("steps stay short with 64 chats while an editor is active") {
  SchedulerFixture fixture({.pages = 2000, .token_cost = 1ms});
  std::vector<std::shared_ptr<RecordingSink>> chats;
  for (int i = 0; i < 40; ++i) {
    chats.push_back(fixture.submit(
        prompt_of(4, i),
        {.max_tokens = 30, .priority = Priority::chat, .session = static_cast<std::uint64_t>(i)}));
  }
  fixture.generate(prompt_of(3, 77), {.max_tokens = 1});
  fixture.log->forget_steps();
  fixture.submit(prompt_of(3, 78), {.max_tokens = 1});
  for (int i = 0; i < 60; ++i) {
    const TimePoint start = fixture.clock.now();
    fixture.step();
    REQUIRE(fixture.clock.now() - start <= 10ms);
  }
  // All of them get their turn.
  const auto served = [](const auto& sink) { return sink->tokens.size(); };
  CHECK(served(*std::ranges::min_element(chats, {}, served)) > 0);
  fixture.drain();
}

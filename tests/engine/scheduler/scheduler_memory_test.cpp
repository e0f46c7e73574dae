#include <algorithm>
#include <chrono>
#include <random>
#include <stop_token>

#include "engine/scheduler/scheduler.h"
#include "tests/engine/scheduler/scheduler_fixture.h"

using namespace caretd::engine;        // NOLINT(google-build-using-namespace)
using namespace caretd::test;          // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using caretd::Error;
using caretd::ErrorKind;

TEST_CASE("sequences that outgrow the cache take turns and lose nothing") {
  SchedulerFixture fixture({.pages = 8});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 4; ++i)
    sinks.push_back(fixture.submit(prompt_of(60, i), {.max_tokens = 200}));
  fixture.drain();
  for (int i = 0; i < 4; ++i) {
    CHECK(sinks[static_cast<size_t>(i)]->end.tokens == fixture.expected(prompt_of(60, i), 200));
    CHECK(sinks[static_cast<size_t>(i)]->tokens.size() == 200);
  }
}

TEST_CASE("a keystroke gets pages from background requests") {
  SchedulerFixture fixture({.pages = 6});
  const auto background =
      fixture.submit(prompt_of(300, 1), {.max_tokens = 60, .priority = Priority::background});
  fixture.step(3);
  const auto keystroke = fixture.submit(prompt_of(200, 2), {.max_tokens = 3});
  fixture.step(3);
  CHECK(keystroke->finished());
  fixture.drain();
  CHECK(background->end.tokens == fixture.expected(prompt_of(300, 1), 60));
}

TEST_CASE("a prompt larger than the whole cache is refused, a text that fills it ends") {
  SchedulerFixture fixture({.pages = 3});
  const Generation refused = fixture.generate(prompt_of(193, 1));
  REQUIRE(refused.error);
  CHECK(refused.error->kind == ErrorKind::out_of_memory);
  const Generation full = fixture.generate(prompt_of(180, 1), {.max_tokens = 100});
  CHECK(full.reason == FinishReason::context_full);
  CHECK(full.tokens.size() == 12);
}

TEST_CASE("a request that the device has no memory for fails alone") {
  SchedulerFixture fixture({.vocab = 90});
  const auto fine = fixture.submit(prompt_of(30, 1), {.max_tokens = 20});
  fixture.step(3);
  // The device cannot take any run that starts with token 93.
  fixture.log->set_fault([](std::span<const TokenRun> batch) -> std::optional<Error> {
    for (const TokenRun& run : batch) {
      if (run.tokens[0] == 93) return Error{ErrorKind::out_of_memory, "no memory for this run"};
    }
    return std::nullopt;
  });
  const auto greedy = fixture.submit(std::vector<TokenId>(100, 93), {.max_tokens = 20});
  fixture.drain();
  CHECK(fine->end.tokens == fixture.expected(prompt_of(30, 1), 20));
  REQUIRE(greedy->end.error);
  CHECK(greedy->end.error->kind == ErrorKind::out_of_memory);
  CHECK(greedy->end.error->message == "no memory for this run");
}

TEST_CASE("a chunk that is too large for the device is halved") {
  SchedulerFixture fixture;
  fixture.log->set_fault([](std::span<const TokenRun> batch) -> std::optional<Error> {
    if (batch.front().tokens.size() <= 40) return std::nullopt;
    return Error{ErrorKind::out_of_memory, "too many tokens"};
  });
  CHECK(fixture.generate(prompt_of(300, 1), {.max_tokens = 5}).tokens ==
        fixture.expected(prompt_of(300, 1), 5));
}

TEST_CASE("a device fault is passed on with every request still to be finished") {
  SchedulerFixture fixture;
  const auto running = fixture.submit(prompt_of(30, 1), {.max_tokens = 20});
  fixture.step(2);
  fixture.log->set_fault([](std::span<const TokenRun>) -> std::optional<Error> {
    return Error{ErrorKind::device_fault, "the device is gone"};
  });
  const auto stepped = fixture.scheduler.step();
  REQUIRE_FALSE(stepped);
  CHECK(stepped.error().kind == ErrorKind::device_fault);
  CHECK_FALSE(running->finished());
  fixture.scheduler.finish_all({FinishReason::failed, stepped.error()});
  CHECK(running->finished());
  CHECK(running->end.tokens.size() == 2);
}

TEST_CASE("random requests, cancels and deadlines on a small cache: all end once and right") {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    SchedulerFixture fixture({.pages = 14, .host_pages = seed == 2 ? 10 : 0},
                             {.max_queued = 20, .max_running = 5, .keystroke_step = 6ms});
    struct Sent {
      std::vector<TokenId> prompt;
      std::shared_ptr<RecordingSink> sink;
      std::stop_source cancel;
    };
    std::vector<Sent> sent;
    for (int i = 0; i < 400; ++i) {
      Sent one{
          concat(prompt_of(below(160), below(3)), prompt_of(1 + below(30), below(40))), {}, {}};
      GenerationRequest request{.max_tokens = below(60),
                                .priority = static_cast<Priority>(below(3)),
                                .session = static_cast<std::uint64_t>(below(4)),
                                .owner = static_cast<CacheOwner>(below(4)),
                                .cancel = one.cancel.get_token()};
      if (below(6) == 0) request.deadline = fixture.clock.now() + below(200) * 1ms;
      one.sink = fixture.submit(one.prompt, request);
      sent.push_back(one);
      for (int steps = below(12); steps > 0; --steps) (void)fixture.step();
      if (below(5) == 0) sent[static_cast<size_t>(below(i + 1))].cancel.request_stop();
      if (below(40) == 0) fixture.scheduler.release(static_cast<CacheOwner>(below(4)));
      if (below(100) == 0) fixture.scheduler.clear_cache();
    }
    fixture.drain(20000);
    for (const Sent& one : sent) {
      REQUIRE(one.sink->endings == 1);
      const Generation& end = one.sink->end;
      CHECK(end.error.has_value() == (end.reason == FinishReason::failed));
      REQUIRE(end.tokens == fixture.expected(one.prompt, static_cast<int>(end.tokens.size())));
    }
    fixture.scheduler.clear_cache();
    for (CacheOwner owner = 1; owner < 4; ++owner) fixture.scheduler.release(owner);
    CHECK(fixture.statistics().kv_used_bytes == 0);
    CHECK(fixture.statistics().kv_pinned_bytes == 0);
  }
}

#include "engine/local_engine.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

#include "support/log.h"
#include "tests/engine/scheduler/scheduler_fixture.h"

using namespace caretd::engine;        // NOLINT(google-build-using-namespace)
using namespace caretd::test;          // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using caretd::Error;
using caretd::ErrorKind;
using caretd::Result;

namespace {

constexpr auto kPatience = 30s;  // of a test that would otherwise hang

/// A sink that other threads can wait for.
struct WaitingSink final : TokenSink {
  Verdict on_token(const TokenEvent&) override {
    ++tokens;
    tokens.notify_all();
    return Verdict::go_on;
  }
  void on_finish(const Generation& generation) override {
    if (++endings == 1) end_.set_value(generation);
  }
  /// May be called on any thread, unlike the assertions of the test framework.
  Generation wait() {
    if (future_.wait_for(kPatience) == std::future_status::ready) return future_.get();
    throw std::runtime_error("a request does not end");
  }
  void wait_for_tokens(int count) {
    for (int seen = tokens; seen < count; seen = tokens) tokens.wait(seen);
  }

  std::atomic<int> tokens = 0;
  std::atomic<int> endings = 0;

 private:
  std::promise<Generation> end_;
  std::shared_future<Generation> future_ = end_.get_future().share();
};

/// A loader that waits for the test and answers with the fake runner or an error.
class ScriptedLoader {
 public:
  explicit ScriptedLoader(FakeRunnerOptions options = {.pages = 200}) : options_(options) {}

  ModelLoader loader() {
    return [this](const Progress& progress, const std::stop_token& stop) {
      return load(progress, stop);
    };
  }
  void hold() { held_ = true; }
  void release() {
    held_ = false;
    held_.notify_all();
  }
  void fail_with(std::optional<Error> error) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
  }
  std::shared_ptr<FakeRunnerLog> log = std::make_shared<FakeRunnerLog>();
  std::atomic<int> loads = 0;
  int q_lora_rank = 0;  ///< set, like the next, before a model is loaded
  FimUse fim = FimUse::where_trained;

 private:
  Result<LoadedModel> load(const Progress& progress, const std::stop_token& stop) {
    ++loads;
    loads.notify_all();
    progress(0.25);
    const std::stop_callback wake(stop, [this] { release(); });
    held_.wait(true);
    if (stop.stop_requested()) return caretd::fail(ErrorKind::cancelled, "stopped");
    progress(0.75);
    const std::lock_guard lock(mutex_);
    if (error_) return tl::unexpected(*error_);
    ModelConfig config;
    config.context_tokens = 2048;
    config.q_lora_rank = q_lora_rank;
    return LoadedModel{.runner = std::make_unique<FakeRunner>(options_, log),
                       .tokenizer = tiny_tokenizer(),
                       .config = config,
                       .name = "fake",
                       .fim = fim};
  }

  const FakeRunnerOptions options_;
  std::atomic<bool> held_ = false;
  std::mutex mutex_;
  std::optional<Error> error_;
};

/// The states an engine went through, to wait for.
class StatusHistory {
 public:
  explicit StatusHistory(Engine& engine)
      : subscription_(engine.on_status([this](const EngineStatus& status) {
          const std::lock_guard lock(mutex_);
          seen_.push_back(status);
          changed_.notify_all();
        })) {}

  template <typename Predicate>
  void wait_for(Predicate predicate) {
    std::unique_lock lock(mutex_);
    REQUIRE(
        changed_.wait_for(lock, kPatience, [&] { return std::ranges::any_of(seen_, predicate); }));
  }
  void wait_for(EngineState state) {
    wait_for([state](const EngineStatus& status) { return status.state == state; });
  }
  std::vector<EngineStatus> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<EngineStatus> seen_;
  Subscription subscription_;
};

struct EngineFixture {
  explicit EngineFixture(FakeRunnerOptions options = {.pages = 200}, bool start_off = false,
                         bool held = false)
      : loader(options) {
    if (held) loader.hold();
    engine = make_local_engine(loader.loader(), {}, clock, caretd::make_null_logger(), start_off);
  }
  ~EngineFixture() {
    engine.reset();
    CHECK(loader.log->violations().empty());
  }

  std::shared_ptr<WaitingSink> submit(GenerationRequest request) const {
    auto sink = std::make_shared<WaitingSink>();
    engine->submit(std::move(request), sink);
    return sink;
  }

  /// The engine tells a request's end before it counts it as over.
  [[nodiscard]] bool becomes_idle() const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (engine->statistics().running > 0 || engine->statistics().queued > 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  caretd::SteadyClock clock;
  ScriptedLoader loader;
  std::unique_ptr<Engine> engine;
};

GenerationRequest text_request(std::string text, int max_tokens) {
  return {.prompt = {ControlToken::begin_of_sentence, std::move(text)}, .max_tokens = max_tokens};
}

}  // namespace

TEST_CASE("an engine loads, tells its progress and serves what was waiting") {
  EngineFixture fixture({.pages = 200, .vocab = tiny_tokenizer()->size()}, false, true);
  StatusHistory history(*fixture.engine);
  fixture.loader.loads.wait(0);
  CHECK(fixture.engine->status().state == EngineState::starting);
  CHECK(fixture.engine->model() == nullptr);
  CHECK(fixture.engine->tokenizer() == nullptr);
  const auto early = fixture.submit(text_request("def f(x):\n", 5));
  fixture.loader.release();
  CHECK(early->wait().tokens.size() == 5);
  history.wait_for([](const auto& status) { return status.percent == 75; });
  const EngineStatus status = fixture.engine->status();
  CHECK(status.state == EngineState::ready);
  CHECK(status.percent == 100);

  const auto model = fixture.engine->model();
  REQUIRE(model != nullptr);
  CHECK(model->name == "fake");
  CHECK(model->context_tokens == 2048);
  CHECK(model->fill_in_the_middle);
  CHECK(model->kv_budget_bytes == 200 * model->kv_bytes_per_token * kPageTokens);
  CHECK(fixture.engine->tokenizer() == tiny_tokenizer());
  // Encoded on the caller's thread now, with the same result.
  CHECK(fixture.submit(text_request("def f(x):\n", 5))->wait().tokens == early->wait().tokens);
  CHECK(fixture.engine->statistics().requests == 2);
}

TEST_CASE("a model that was trained without filling in the middle does so only when told to") {
  const auto [rank, use, expected] = GENERATE(table<int, FimUse, bool>({
      {0, FimUse::where_trained, true},
      {0, FimUse::never, false},
      {1536, FimUse::where_trained, false},
      {1536, FimUse::always, true},
  }));
  EngineFixture fixture({.pages = 20, .vocab = tiny_tokenizer()->size()}, true);
  fixture.loader.q_lora_rank = rank;
  fixture.loader.fim = use;
  fixture.engine->load();
  CHECK(fixture.submit(text_request("x = ", 1))->wait().tokens.size() == 1);
  const auto model = fixture.engine->model();
  REQUIRE(model != nullptr);
  CHECK(model->fill_in_the_middle == expected);
  CHECK(model->left_to_right_wanted == (use == FimUse::never));
}

TEST_CASE("the busy flag follows keystrokes and chats, not background work") {
  EngineFixture fixture({.pages = 200}, true);
  StatusHistory history(*fixture.engine);
  fixture.engine->load();
  history.wait_for(EngineState::ready);
  GenerationRequest quiet = text_request("warm", 50);
  quiet.priority = Priority::background;
  fixture.submit(quiet)->wait();
  for (const auto& status : history.seen()) CHECK_FALSE(status.busy);
  fixture.submit(text_request("key", 50))->wait();
  history.wait_for([](const auto& status) { return status.busy; });
  history.wait_for([was_busy = false](const auto& status) mutable {
    was_busy = was_busy || status.busy;
    return was_busy && !status.busy;
  });
}

TEST_CASE("requests for a model that is loading can be cancelled and expire") {
  EngineFixture fixture({}, false, true);
  std::stop_source cancel;
  GenerationRequest cancelled = text_request("a", 5);
  cancelled.cancel = cancel.get_token();
  GenerationRequest late = text_request("b", 5);
  late.deadline = fixture.clock.now() + 5ms;
  const auto first = fixture.submit(cancelled);
  const auto second = fixture.submit(late);
  cancel.request_stop();
  CHECK(first->wait().reason == FinishReason::cancelled);
  CHECK(second->wait().reason == FinishReason::deadline);
  fixture.loader.release();
}

TEST_CASE("a model that does not load fails the engine with its sentence; loading again helps") {
  EngineFixture fixture({}, true);
  StatusHistory history(*fixture.engine);
  fixture.loader.fail_with(Error{ErrorKind::not_found, "There is no model in /nowhere."});
  CHECK(fixture.engine->status().state == EngineState::off);
  fixture.engine->load();
  history.wait_for(EngineState::failed);
  CHECK(fixture.engine->status().reason == "There is no model in /nowhere.");
  const Generation refused = fixture.submit(text_request("x", 1))->wait();
  CHECK(refused.reason == FinishReason::failed);
  CHECK(refused.error->kind == ErrorKind::unavailable);
  CHECK(refused.error->message == "There is no model in /nowhere.");
  fixture.loader.fail_with(std::nullopt);
  fixture.engine->load();
  history.wait_for(EngineState::ready);
  CHECK(fixture.submit(text_request("x", 1))->wait().reason == FinishReason::max_tokens);
}

TEST_CASE("an engine is unloaded and loaded while requests run") {
  EngineFixture fixture;
  StatusHistory history(*fixture.engine);
  const auto running = fixture.submit(text_request("x", 1800));
  running->wait_for_tokens(3);
  fixture.engine->unload();
  const Generation ended = running->wait();
  CHECK((ended.reason == FinishReason::failed || ended.reason == FinishReason::max_tokens));
  history.wait_for(EngineState::off);
  CHECK(fixture.engine->model() == nullptr);
  CHECK(fixture.engine->statistics().kv_used_bytes == 0);
  CHECK(fixture.engine->statistics().generated_tokens >= 3);
  CHECK(fixture.submit(text_request("x", 5))->wait().error->kind == ErrorKind::unavailable);
  fixture.engine->load();
  history.wait_for([&](const auto& status) {
    return status.state == EngineState::ready && fixture.loader.loads == 2;
  });
  CHECK(fixture.submit(text_request("x", 5))->wait().tokens.size() == 5);
}

TEST_CASE("an unload during loading that is taken back loads again") {
  EngineFixture fixture({}, false, true);
  StatusHistory history(*fixture.engine);
  fixture.loader.loads.wait(0);
  const auto waiting = fixture.submit(text_request("x", 2));
  fixture.engine->unload();
  CHECK(waiting->wait().error->kind == ErrorKind::unavailable);
  fixture.engine->load();
  CHECK(fixture.submit(text_request("x", 2))->wait().tokens.size() == 2);
  CHECK(fixture.loader.loads == 2);
}

TEST_CASE("a device fault fails the engine once, ends everything and leaves the process alive") {
  EngineFixture fixture({}, false, true);
  StatusHistory history(*fixture.engine);
  std::vector<std::shared_ptr<WaitingSink>> sinks;
  for (int i = 0; i < 8; ++i)
    sinks.push_back(fixture.submit(text_request(std::to_string(i), 1800)));
  fixture.loader.log->set_fault(
      [steps = std::make_shared<int>(0)](std::span<const TokenRun>) -> std::optional<Error> {
        if (++*steps <= 3) return std::nullopt;
        return Error{ErrorKind::device_fault, "The GPU fell off the bus."};
      });
  fixture.loader.release();
  for (const auto& sink : sinks) {
    const Generation end = sink->wait();
    CHECK(end.reason == FinishReason::failed);
    REQUIRE(end.error);
    CHECK(end.error->kind == ErrorKind::device_fault);
  }
  history.wait_for(EngineState::failed);
  const auto seen = history.seen();
  CHECK(std::ranges::count(seen, EngineState::failed, &EngineStatus::state) == 1);
  CHECK(seen.back().reason == "The GPU fell off the bus.");
  CHECK(fixture.submit(text_request("x", 1))->wait().error->kind == ErrorKind::unavailable);
  fixture.loader.log->set_fault(nullptr);
  fixture.engine->load();
  history.wait_for(EngineState::ready);
  CHECK(fixture.submit(text_request("x", 1))->wait().reason == FinishReason::max_tokens);
}

TEST_CASE("destroying the engine cancels what runs and what waits") {
  std::vector<std::shared_ptr<WaitingSink>> sinks;
  SECTION("while it serves") {
    EngineFixture fixture;
    for (int i = 0; i < 100; ++i)
      sinks.push_back(fixture.submit(text_request(std::to_string(i), 1800)));
    sinks[0]->wait_for_tokens(1);
  }
  SECTION("while it loads") {
    EngineFixture fixture({}, false, true);
    for (int i = 0; i < 10; ++i) sinks.push_back(fixture.submit(text_request("x", 100)));
  }
  for (const auto& sink : sinks) {
    CHECK(sink->endings == 1);
    const FinishReason reason = sink->wait().reason;
    CHECK((reason == FinishReason::cancelled || reason == FinishReason::max_tokens));
  }
}

TEST_CASE("a subscription may end on any thread and may outlive the engine") {
  Subscription outliving;
  {
    EngineFixture fixture;
    outliving = fixture.engine->on_status([](const EngineStatus&) {});
    std::atomic<bool> gone = false;
    std::atomic<bool> called_after = false;
    auto listener = std::make_unique<Subscription>(fixture.engine->on_status(
        [&](const EngineStatus&) { called_after = called_after || gone; }));
    std::thread worker([&] {
      for (int i = 0; i < 50; ++i) fixture.submit(text_request("k", 3))->wait();
    });
    listener.reset();
    gone = true;
    worker.join();
    CHECK_FALSE(called_after);
  }
}

TEST_CASE("many threads with random cancels: every request ends once") {
  EngineFixture fixture({.pages = 60});
  std::atomic<int> ended = 0;
  const auto client = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 60; ++i) {
      std::stop_source cancel;
      std::string text = std::to_string(random() % 4);
      text.append(random() % 300, 'x');
      GenerationRequest request = text_request(text, static_cast<int>(random() % 40));
      request.priority = static_cast<Priority>(random() % 3);
      request.session = seed;
      request.owner = seed;
      request.cancel = cancel.get_token();
      const auto sink = fixture.submit(std::move(request));
      if (random() % 3 == 0) cancel.request_stop();
      sink->wait();
      ended += sink->endings;
      if (random() % 20 == 0) fixture.engine->clear_cache();
      (void)fixture.engine->statistics();
    }
    fixture.engine->release(seed);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) threads.emplace_back(client, seed);
  for (std::thread& thread : threads) thread.join();
  CHECK(ended == 240);
  CHECK(fixture.engine->statistics().requests == 240);
  CHECK(fixture.becomes_idle());
}

// Engines that leave memory and come back, with the embedded model.
#include "daemon/engines/engine_provider.h"

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

class ReasonSink final : public engine::TokenSink {
 public:
  engine::Verdict on_token(const engine::TokenEvent&) override { return engine::Verdict::go_on; }
  void on_finish(const engine::Generation& generation) override {
    reason_.set_value(generation.reason);
  }
  engine::FinishReason wait() { return reason_.get_future().get(); }

 private:
  std::promise<engine::FinishReason> reason_;
};

/// How one token's generation ends; waits for a model that loads.
engine::FinishReason ask(engine::Engine& engine) {
  engine::GenerationRequest request;
  request.prompt = {std::string("x = ")};
  request.max_tokens = 1;
  request.stop_at_end_of_sentence = false;
  const auto sink = std::make_shared<ReasonSink>();
  engine.submit(std::move(request), sink);
  return sink->wait();
}

TEST_CASE("an engine that is woken while it is about to sleep comes back") {
  const SteadyClock clock;
  EngineProvider provider({executable_path()}, clock, make_null_logger());
  Settings settings;
  settings.model.device = "cpu";
  settings.model.threads = 1;
  const auto engine = provider.engines_for(settings).completion;
  REQUIRE(ask(*engine) == engine::FinishReason::max_tokens);

  SECTION("asked at once, whether or not it has begun to unload") {
    for (int i = 0; i < 3; ++i) {
      REQUIRE(provider.sleep());
      provider.wake();
      CHECK(ask(*engine) == engine::FinishReason::max_tokens);
    }
  }
  SECTION("asked once the weights are gone") {
    REQUIRE(provider.sleep());
    CHECK(ask(*engine) == engine::FinishReason::failed);
    CHECK(engine->status().state == engine::EngineState::off);
    CHECK_FALSE(provider.sleep());
    provider.wake();
    CHECK(engine->status().state != engine::EngineState::off);
    CHECK(ask(*engine) == engine::FinishReason::max_tokens);
  }
  SECTION("one that was switched off otherwise stays off") {
    engine->unload();
    CHECK(ask(*engine) == engine::FinishReason::failed);
    provider.wake();
    CHECK(ask(*engine) == engine::FinishReason::failed);
  }
}

}  // namespace
}  // namespace caretd::daemon

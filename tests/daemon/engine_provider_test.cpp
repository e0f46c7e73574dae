// Engines that leave memory and come back, with the embedded model.
#include "daemon/engines/engine_provider.h"

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

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

/// Requests end with the failure a moment before the engine says that it has failed.
bool fails(engine::Engine& engine) {
  if (ask(engine) != engine::FinishReason::failed) return false;
  while (engine.status().state == engine::EngineState::starting) std::this_thread::yield();
  return engine.status().state == engine::EngineState::failed;
}

TEST_CASE("a model that could not be loaded is tried again after an idle time") {
  const SteadyClock clock;
  const InstallTree install{executable_path()};
  EngineProvider provider(install, clock, make_null_logger());
  const test::TemporaryFolder folder;
  Settings settings;
  settings.model.path = (folder.path() / "model").string();
  settings.model.device = "cpu";
  settings.model.threads = 1;
  const auto engine = provider.engines_for(settings).completion;
  REQUIRE(fails(*engine));
  CHECK(engine->status().reason == settings.model.path + ": there is no such model folder.");
  std::filesystem::create_directory_symlink(install.embedded_model(), settings.model.path);
  CHECK(fails(*engine));
  CHECK_FALSE(provider.sleep());
  CHECK_FALSE(provider.sleep());
  provider.wake();
  CHECK(ask(*engine) == engine::FinishReason::max_tokens);
}

}  // namespace
}  // namespace caretd::daemon

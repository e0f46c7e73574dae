// Which model a request is answered by, loaded or not.
#include "daemon/http/engine_choice.h"

#include <memory>
#include <string>

#include "tests/helpers/catch.h"
#include "tests/helpers/fake_engine.h"

namespace caretd::daemon::api {
namespace {

using engine::EngineState;

std::shared_ptr<engine::Engine> engine_of(const std::string& model, EngineState state) {
  // A model elsewhere needs no tokenizer to be ready.
  return std::make_shared<test::FakeEngine>(
      test::always("x"),
      test::FakeEngineOptions{.model = {.name = model, .local = false}, .state = state});
}

SessionEngines two_models(EngineState completes, EngineState chats) {
  return {engine_of("coder", completes), engine_of("talker", chats), "coder", "talker"};
}

/// The model's name, or the code of the refusal.
std::string chosen(const SessionEngines& engines, Purpose purpose, std::string_view wanted) {
  const auto ready = choose_engine(engines, purpose, wanted);
  return ready ? ready->model->name : ready.error().code;
}

TEST_CASE("A model that is named answers, else the endpoint's own", "[api]") {
  const auto engines = two_models(EngineState::ready, EngineState::ready);
  CHECK(chosen(engines, Purpose::completion, "talker") == "talker");
  CHECK(chosen(engines, Purpose::chat, "coder") == "coder");
  for (const char* name : {"", "gpt-4o"}) {
    CHECK(chosen(engines, Purpose::completion, name) == "coder");
    CHECK(chosen(engines, Purpose::chat, name) == "talker");
  }
}

TEST_CASE("A model that is named but still loads is not answered for by the other", "[api]") {
  const auto engines = two_models(EngineState::ready, EngineState::starting);
  const auto refusal = choose_engine(engines, Purpose::completion, "talker");
  REQUIRE_FALSE(refusal);
  CHECK(refusal.error().status == 503);
  CHECK(refusal.error().code == "model_loading");
  CHECK(refusal.error().retry_after_s > 0);
  CHECK(chosen(engines, Purpose::completion, "coder") == "coder");
  CHECK(chosen(engines, Purpose::chat, "coder") == "coder");
  CHECK(chosen(engines, Purpose::chat, "") == "model_loading");
}

TEST_CASE("One model answers everything, whatever it is called", "[api]") {
  const auto only = engine_of("coder", EngineState::ready);
  for (const SessionEngines& engines :
       {SessionEngines{only, only, {}, {}}, SessionEngines{only, nullptr, "coder", {}}}) {
    for (const char* name : {"", "coder", "gpt-4o"}) {
      CHECK(chosen(engines, Purpose::completion, name) == "coder");
      CHECK(chosen(engines, Purpose::chat, name) == "coder");
    }
  }
}

}  // namespace
}  // namespace caretd::daemon::api

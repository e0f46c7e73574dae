#include "tests/helpers/fake_engine.h"

#include <future>
#include <memory>
#include <string>

#include "tests/helpers/catch.h"

using caretd::engine::FinishReason;
using caretd::engine::Generation;
using caretd::engine::TokenEvent;
using caretd::engine::Verdict;
using caretd::test::FakeEngine;

namespace {

struct Collected final : caretd::engine::TokenSink {
  Verdict on_token(const TokenEvent& token) override {
    streamed += token.text;
    return Verdict::go_on;
  }
  void on_finish(const Generation& generation) override { end.set_value(generation); }

  std::string streamed;
  std::promise<Generation> end;
};

}  // namespace

TEST_CASE("the fake engine streams what the forced prefix leaves of the middle") {
  FakeEngine engine(caretd::test::middle_is("return a + b;\n"));
  const auto sink = std::make_shared<Collected>();
  engine.submit({.prompt = {std::string("x")}, .forced_prefix = "ret"}, sink);
  const Generation generation = sink->end.get_future().get();
  CHECK(generation.text == "urn a + b;\n");
  CHECK(sink->streamed == generation.text);
  CHECK(generation.reason == FinishReason::end_of_sentence);
  CHECK(engine.requests().size() == 1);
}

TEST_CASE("a paused fake engine moves one token a step and sees the cancel at the next one") {
  FakeEngine engine(caretd::test::always("a b c d"), {.paused = true});
  const auto sink = std::make_shared<Collected>();
  std::stop_source cancel;
  engine.submit({.prompt = {}, .cancel = cancel.get_token()}, sink);
  engine.step();
  engine.step();
  CHECK(sink->streamed == "a b");
  cancel.request_stop();
  engine.step();
  CHECK(sink->end.get_future().get().reason == FinishReason::cancelled);
}

TEST_CASE("the fake engine holds requests while starting and refuses them when off") {
  FakeEngine engine(caretd::test::always("ok"), {.state = caretd::engine::EngineState::starting});
  int heard = 0;
  const auto subscription = engine.on_status([&](const auto&) { ++heard; });
  const auto waiting = std::make_shared<Collected>();
  engine.submit({}, waiting);
  engine.set_status({.state = caretd::engine::EngineState::ready});
  CHECK(waiting->end.get_future().get().text == "ok");
  engine.unload();
  const auto refused = std::make_shared<Collected>();
  engine.submit({}, refused);
  const Generation generation = refused->end.get_future().get();
  CHECK(generation.reason == FinishReason::failed);
  CHECK(generation.error->kind == caretd::ErrorKind::unavailable);
  CHECK(heard == 2);
}

// What is decoded while nobody waits: continuations, warm-ups; and alternatives.

#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;

namespace {

// The text in front of the hole: P, what is typed on its line, healed bytes.
std::string in_front(const engine::GenerationRequest& request) {
  const std::string prompt = prompt_of(request);
  const std::size_t begin = prompt.find("<fim_begin>") + 11;
  return prompt.substr(begin, prompt.find("<fim_hole>") - begin) +
         prompt.substr(prompt.find("<fim_end>") + 9) + request.forced_prefix;
}

// Suggests "print(value)" and, behind that, "total = 0".
ScriptedAnswer two_lines(const engine::GenerationRequest& request) {
  return in_front(request).ends_with("print(value)") ? answer("\ntotal = 0")
                                                     : answer("print(value)");
}

SessionOptions thinking_ahead(Script script) {
  SessionOptions options{.script = std::move(script)};
  options.settings.think_ahead = true;
  return options;
}

engine::TokenId first_token(const std::string& text) {
  return tiny_tokenizer()->encode(text)[0];
}

}  // namespace

TEST_CASE("the continuation of a suggestion is ready when it is accepted") {
  SessionClient client(thinking_ahead(two_lines));
  client.start();
  client.open(kUri, "x = 1\n");
  CHECK(client.complete(kUri, 1, 0)[0]["insertText"] == "print(value)");
  REQUIRE(client.engine().wait_for_requests(2));
  const auto ahead = client.engine().requests()[1];
  CHECK(ahead.priority == engine::Priority::background);
  CHECK(in_front(ahead) == "# a.py\nx = 1\nprint(value)");
  client.settle();
  client.insert(kUri, 1, 0, "print(value)");
  CHECK(client.complete(kUri, 1, 12)[0]["insertText"] == "\ntotal = 0");
  CHECK(client.statistics().snapshot().next_ready == 1);
  CHECK(client.statistics().snapshot().from_cache == 1);
  CHECK(client.statistics().snapshot().from_model == 1);
}

TEST_CASE("a continuation is not offered before what it continues is there") {
  SessionClient client(thinking_ahead(two_lines));
  client.start();
  client.open(kUri, "x = 1\n");
  client.complete(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(2));
  client.settle();
  client.insert(kUri, 1, 0, "print(");
  CHECK(client.complete(kUri, 1, 6)[0]["insertText"] == "value)");
}

TEST_CASE("a continuation that is still running is taken over") {
  SessionClient client(thinking_ahead(two_lines));
  client.start();
  client.open(kUri, "x = 1\n");
  client.engine().pause();
  const int id = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  for (int i = 0; i < 5; ++i) client.engine().step();  // four tokens and the end
  client.response(id);
  REQUIRE(client.engine().wait_for_requests(2));
  client.insert(kUri, 1, 0, "print(value)");
  const int next = client.ask(kUri, 1, 12);
  client.sync();
  client.engine().resume();
  CHECK(client.response(next)["result"]["items"][0]["insertText"] == "\ntotal = 0");
  CHECK(client.statistics().snapshot().taken_over == 1);
}

TEST_CASE("typing something else ends what was begun ahead") {
  SessionClient client(thinking_ahead(two_lines));
  client.start();
  client.open(kUri, "x = 1\n");
  client.engine().pause();
  const int id = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  for (int i = 0; i < 5; ++i) client.engine().step();
  client.response(id);
  REQUIRE(client.engine().wait_for_requests(2));
  client.insert(kUri, 1, 0, "q");
  const int next = client.ask(kUri, 1, 1);
  REQUIRE(client.engine().wait_for_requests(3));
  CHECK(client.engine().requests()[1].cancel.stop_requested());
  client.engine().resume();
  client.response(next);
}

TEST_CASE("a focused document is warmed without generating") {
  SessionClient client(thinking_ahead(always("x")));
  client.start();
  client.open(kUri, "x = 1\ny = ");
  client.notify("caretd/didFocus",
                {{"textDocument", {{"uri", kUri}}}, {"position", {{"line", 1}, {"character", 4}}}});
  REQUIRE(client.engine().wait_for_requests(1));
  const auto warm_up = client.engine().requests()[0];
  CHECK(warm_up.max_tokens == 0);
  CHECK(warm_up.priority == engine::Priority::background);
}

TEST_CASE("an opened document is warmed at the lowest priority, unless it is switched off") {
  SessionOptions options = thinking_ahead(always("x"));
  options.settings.warm_opened = true;
  options.settings.disabled_languages = {"markdown"};
  options.state = engine::EngineState::starting;
  SessionClient client(options);
  client.start();
  client.open(kUri, "value = 19\n");
  client.open("file:///a.md", "# text\n", "markdown");
  client.sync();
  client.engine().set_status({.state = engine::EngineState::ready, .percent = 100});
  REQUIRE(client.engine().wait_for_requests(1));
  client.settle();
  REQUIRE(client.engine().requests().size() == 1);
  const auto warm_up = client.engine().requests()[0];
  CHECK(warm_up.max_tokens == 0);
  CHECK(warm_up.priority == engine::Priority::background);
  CHECK(in_front(warm_up).ends_with("value = 19\n"));
}

TEST_CASE("who asks at a place that is being warmed does not wait for the warm-up") {
  SessionClient client(thinking_ahead(always("x")));
  client.start();
  client.open(kUri, "x = 1\ny = ");
  client.engine().pause();
  client.notify("caretd/didFocus",
                {{"textDocument", {{"uri", kUri}}}, {"position", {{"line", 1}, {"character", 4}}}});
  REQUIRE(client.engine().wait_for_requests(1));
  const int id = client.ask(kUri, 1, 4);
  REQUIRE(client.engine().wait_for_requests(2));
  CHECK(client.engine().requests()[1].priority == engine::Priority::keystroke);
  CHECK(client.engine().requests()[0].cancel.stop_requested());
  client.engine().resume();
  client.response(id);
}

TEST_CASE("the prompt is anchored afresh in the background, also behind an empty answer") {
  SessionOptions options = thinking_ahead(always(""));
  SessionClient client(options);
  client.start();
  client.open(kUri, "x = 1\ny = \n");
  CHECK(client.complete(kUri, 1, 4).empty());
  client.insert(kUri, 1, 4, "2\n");
  CHECK(client.complete(kUri, 2, 0).empty());
  REQUIRE(client.engine().wait_for_requests(3));
  const auto rest = client.engine().requests()[2];
  CHECK(rest.max_tokens == 0);
  CHECK(rest.priority == engine::Priority::background);
  CHECK(in_front(rest).ends_with("x = 1\ny = 2\n"));
}

TEST_CASE("an invoked request offers alternatives from where the model hesitated") {
  const auto script = [](const engine::GenerationRequest& request) {
    ScriptedAnswer result;
    const std::string front = prompt_of(request);
    if (front.ends_with("<fim_end>")) {
      result.tokens.push_back({.text = "first", .margin = 0.1F, .id = first_token("first")});
      result.tokens[0].top = {{first_token("first"), -0.5F}, {first_token("x"), -0.6F}};
      result.tokens.push_back({.text = "()", .margin = 5.0F, .id = first_token("(")});
      return result;
    }
    return answer("yz");
  };
  SessionOptions options{.script = script};
  options.settings.alternatives = 3;
  SessionClient client(options);
  client.start();
  client.open(kUri, "a = 1\n");
  const Json items = client.complete(kUri, 1, 0, {{"triggerKind", 1}});
  REQUIRE(items.size() == 2);
  CHECK(items[0]["insertText"] == "first()");
  CHECK(items[1]["insertText"] == "xyz");
  client.insert(kUri, 1, 0, "x");
  CHECK(client.complete(kUri, 1, 1)[0]["insertText"] == "yz");
}

TEST_CASE("an automatic request has one answer") {
  SessionOptions options{.script = always("value")};
  options.settings.alternatives = 3;
  SessionClient client(options);
  client.start();
  client.open(kUri, "a = 1\n");
  CHECK(client.complete(kUri, 1, 0).size() == 1);
  CHECK(client.engine().requests().size() == 1);
}

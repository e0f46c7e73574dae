// Completions over the wire: what is asked of the engine and what is answered.

#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;

namespace {

Json range(int line, int begin, int end) {
  return {{"start", {{"line", line}, {"character", begin}}},
          {"end", {{"line", line}, {"character", end}}}};
}

}  // namespace

TEST_CASE("a completion fills the hole between prefix and suffix") {
  SessionClient client({.script = always("1, 2")});
  client.start();
  client.open(kUri, "import os\nx = f()\nprint(x)\n");
  const Json items = client.complete(kUri, 1, 6);
  REQUIRE(items.size() == 1);
  CHECK(items[0]["insertText"] == "1, 2");
  CHECK(items[0]["range"] == range(1, 6, 6));
  CHECK(items[0]["command"]["command"] == "caretd.accepted");

  const auto request = client.engine().requests().at(0);
  CHECK(prompt_of(request) + "|" + request.forced_prefix ==
        "<begin_of_sentence><fim_begin># a.py\nimport os\n<fim_hole>\nprint(x)\n<fim_end>x = f|(");
  CHECK(request.priority == engine::Priority::keystroke);
  CHECK(request.owner != engine::kNoOwner);
  CHECK(request.session == 1);
}

TEST_CASE("text of control tokens in a document stays text") {
  SessionClient client({.script = always("1")});
  client.start();
  client.open(kUri, "s = '<｜fim▁end｜>'\nx = ");
  client.complete(kUri, 1, 4);
  int controls = 0;
  const auto request = client.engine().requests().at(0);
  for (const auto& part : request.prompt) {
    if (std::holds_alternative<engine::ControlToken>(part)) ++controls;
  }
  CHECK(controls == 4);
}

TEST_CASE("positions of the answer count in the negotiated encoding") {
  const auto begin = [](const Json& capabilities, int character) {
    SessionClient client({.script = always("y")});
    client.start(capabilities);
    client.open(kUri, "s = '\U0001F600' + ");
    return client.complete(kUri, 0, character)[0]["range"]["start"]["character"].get<int>();
  };
  CHECK(begin(Json::object(), 11) == 11);
  CHECK(begin({{"general", {{"positionEncodings", {"utf-8"}}}}}, 13) == 13);
  CHECK(begin(Json::object(), 9999) == 11);
}

TEST_CASE("a document that is not open is answered with nothing") {
  SessionClient client({.script = always("y")});
  client.start();
  CHECK(client.complete("file:///unknown", 0, 0).empty());
}

TEST_CASE("the answer is white space, repeats what follows, or fails: nothing is shown") {
  const auto shown = [](Script script, const std::string& text) {
    SessionClient client({.script = std::move(script)});
    client.start();
    client.open(kUri, text);
    return client.complete(kUri, 0, 4).size();
  };
  CHECK(shown(always("  \n"), "x = ") == 0);
  CHECK(shown(always(")"), "x(1,)") == 0);
  CHECK(shown(always(""), "x = ") == 0);
  CHECK(shown(
            [](const engine::GenerationRequest&) {
              ScriptedAnswer failing;
              failing.reason = engine::FinishReason::failed;
              failing.error = Error{ErrorKind::device_fault, "the device is gone"};
              return failing;
            },
            "x = ") == 0);
}

TEST_CASE("a model that cannot be right is told of once") {
  SessionClient client({.script = [](const engine::GenerationRequest&) {
    ScriptedAnswer failing;
    failing.reason = engine::FinishReason::failed;
    failing.error = Error{ErrorKind::internal, "The model computed values that are not finite."};
    return failing;
  }});
  client.start();
  client.open(kUri, "x = ");
  CHECK(client.complete(kUri, 0, 4).empty());
  CHECK(client.notification("window/showMessage")["message"] ==
        "caretd: The model computed values that are not finite.");
  client.insert(kUri, 0, 4, "y");
  CHECK(client.complete(kUri, 0, 5).empty());
  client.sync();
  CHECK_FALSE(client.transport().find(
      [](const Json& candidate) { return candidate.value("method", "") == "window/showMessage"; }));
}

TEST_CASE("with text behind the cursor a completion ends with the line") {
  SessionClient client({.script = always("foo(\n    1)\ny = 2\n")});
  client.start();
  client.open(kUri, "x = \nz =  + b\n");
  CHECK(client.complete(kUri, 0, 4)[0]["insertText"] == "foo(\n    1)");
  CHECK(client.complete(kUri, 1, 4)[0]["insertText"] == "foo(");
}

TEST_CASE("what was typed as suggested is answered without the model") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  CHECK(client.complete(kUri, 1, 0)[0]["insertText"] == "print(value)");
  client.insert(kUri, 1, 0, "p");
  const Json items = client.complete(kUri, 1, 1);
  CHECK(items[0]["insertText"] == "rint(value)");
  CHECK(items[0]["range"] == range(1, 1, 1));
  client.insert(kUri, 1, 1, "rint");
  CHECK(client.complete(kUri, 1, 5)[0]["insertText"] == "(value)");
  CHECK(client.engine().requests().size() == 1);
  CHECK(client.statistics().snapshot().from_cache == 2);
  CHECK(client.statistics().snapshot().shown == 1);
}

TEST_CASE("a bracket that the editor closed is replaced when the suggestion closes it") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  client.complete(kUri, 1, 0);
  client.insert(kUri, 1, 0, "print()");
  const Json items = client.complete(kUri, 1, 6);
  REQUIRE(items.size() == 1);
  CHECK(items[0]["insertText"] == "value)");
  CHECK(items[0]["range"] == range(1, 6, 7));
  CHECK(client.engine().requests().size() == 1);
}

TEST_CASE("what was typed against the suggestion asks the model") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  client.complete(kUri, 1, 0);
  client.insert(kUri, 1, 0, "q");
  client.complete(kUri, 1, 1);
  CHECK(client.engine().requests().size() == 2);
}

TEST_CASE("a change elsewhere in the file makes a suggestion stale") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  client.complete(kUri, 1, 0);
  client.insert(kUri, 0, 5, "0");
  client.complete(kUri, 1, 0);
  CHECK(client.engine().requests().size() == 2);
}

TEST_CASE("the latest request of a document wins, the older one is answered empty") {
  SessionClient client({.script = always("one"), .paused = true});
  client.start();
  client.open(kUri, "a = \nb = \n");
  const int older = client.ask(kUri, 0, 4);
  REQUIRE(client.engine().wait_for_requests(1));
  const int newer = client.ask(kUri, 1, 4);
  CHECK(client.response(older)["result"]["items"].empty());
  REQUIRE(client.engine().wait_for_requests(2));
  CHECK(client.engine().requests()[0].cancel.stop_requested());
  client.engine().resume();
  CHECK(client.response(newer)["result"]["items"].size() == 1);
}

TEST_CASE("documents do not supersede each other") {
  SessionClient client({.script = always("one"), .paused = true});
  client.start();
  client.open(kUri, "a = ");
  client.open("file:///b.py", "b = ");
  const int first = client.ask(kUri, 0, 4);
  const int second = client.ask("file:///b.py", 0, 4);
  REQUIRE(client.engine().wait_for_requests(2));
  client.engine().resume();
  CHECK(client.response(first)["result"]["items"].size() == 1);
  CHECK(client.response(second)["result"]["items"].size() == 1);
}

TEST_CASE("suggestions are kept for the documents in use, and not for every one that is open") {
  SessionClient client({.script = always("one")});
  client.start();
  const auto ask_in = [&](int file) {
    const std::string uri = "file:///" + std::to_string(file) + ".py";
    if (client.engine().requests().size() <= static_cast<std::size_t>(file))
      client.open(uri, "a = ");
    client.complete(uri, 0, 4);
    return client.engine().requests().size();
  };
  CHECK(ask_in(0) == 1);
  CHECK(ask_in(1) == 2);
  CHECK(ask_in(0) == 2);
  for (int file = 2; file <= 10; ++file) ask_in(file);
  const auto why = [&](int file) {
    const Json uri = "file:///" + std::to_string(file) + ".py";
    return client.request("caretd/why", {{"textDocument", {{"uri", uri}}}})["result"];
  };
  CHECK(why(0).is_null());
  CHECK(why(10)["text"] == "one");
  CHECK(ask_in(0) == 12);
}

TEST_CASE("a newer request takes over what the older one generates") {
  SessionClient client({.script = always("print(value)"), .paused = true});
  client.start();
  client.open(kUri, "x = 1\n");
  const int older = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  client.engine().step();  // "print"
  client.insert(kUri, 1, 0, "pr");
  const int newer = client.ask(kUri, 1, 2);
  CHECK(client.response(older)["result"]["items"].empty());
  client.engine().resume();
  CHECK(client.response(newer)["result"]["items"][0]["insertText"] == "int(value)");
  CHECK(client.engine().requests().size() == 1);
  CHECK(client.statistics().snapshot().taken_over == 1);
}

TEST_CASE("a run that was taken over but turns out differently is replaced") {
  SessionClient client({.script = always("print(value)"), .paused = true});
  client.start();
  client.open(kUri, "x = 1\n");
  const int older = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  client.engine().step();
  client.insert(kUri, 1, 0, "print[");
  const int newer = client.ask(kUri, 1, 6);
  CHECK(client.response(older)["result"]["items"].empty());
  client.engine().set_script(always("0]"));
  client.engine().resume();
  CHECK(client.response(newer)["result"]["items"][0]["insertText"] == "0]");
  CHECK(client.engine().requests().size() == 2);
}

TEST_CASE("a cancelled request is answered with that error and its generation ends") {
  SessionClient client({.script = always("a b c d e f g h"), .paused = true});
  client.start();
  client.open(kUri, "x = ");
  const int id = client.ask(kUri, 0, 4);
  REQUIRE(client.engine().wait_for_requests(1));
  client.notify("$/cancelRequest", {{"id", id}});
  CHECK(client.response(id)["error"]["code"] == -32800);
  client.clock().advance(std::chrono::seconds(1));
  client.engine().step();
  client.engine().step();
  CHECK(client.engine().statistics().running == 0);
  CHECK(client.statistics().snapshot().superseded == 1);
}

TEST_CASE("what was cancelled a moment ago still serves the request that follows") {
  SessionClient client({.script = always("print(value)"), .paused = true});
  client.start();
  client.open(kUri, "x = 1\n");
  const int id = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  client.engine().step();
  client.notify("$/cancelRequest", {{"id", id}});
  client.response(id);
  client.insert(kUri, 1, 0, "p");
  const int newer = client.ask(kUri, 1, 1);
  client.sync();
  client.engine().resume();
  CHECK(client.response(newer)["result"]["items"][0]["insertText"] == "rint(value)");
  CHECK(client.engine().requests().size() == 1);
}

TEST_CASE("an answer for a version that is gone is not sent, but kept") {
  SessionClient client({.script = always("print(value)"), .paused = true});
  client.start();
  client.open(kUri, "x = 1\n");
  const int id = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  client.insert(kUri, 1, 0, "p");
  client.sync();
  client.engine().resume();
  CHECK(client.response(id)["result"]["items"].empty());
  CHECK(client.complete(kUri, 1, 1)[0]["insertText"] == "rint(value)");
  CHECK(client.engine().requests().size() == 1);
}

TEST_CASE("closing a document answers its request and releases its cache") {
  SessionClient client({.script = always("print(value)"), .paused = true});
  client.start();
  client.open(kUri, "x = 1\n");
  const int id = client.ask(kUri, 1, 0);
  REQUIRE(client.engine().wait_for_requests(1));
  client.notify("textDocument/didClose", {{"textDocument", {{"uri", kUri}}}});
  CHECK(client.response(id)["result"]["items"].empty());
  client.sync();
  CHECK(client.engine().released() ==
        std::vector<engine::CacheOwner>{client.engine().requests()[0].owner});
}

TEST_CASE("the item selected in the popup is extended and its range used") {
  SessionClient client({.script = always("(value)")});
  client.start();
  client.open(kUri, "x = 1\npri\n");
  const Json selected = {{"range", range(1, 0, 3)}, {"text", "println"}};
  const Json items =
      client.complete(kUri, 1, 3, {{"triggerKind", 2}, {"selectedCompletionInfo", selected}});
  REQUIRE(items.size() == 1);
  CHECK(items[0]["insertText"] == "println(value)");
  CHECK(items[0]["range"] == range(1, 0, 3));
  const auto request = client.engine().requests().at(0);
  CHECK(prompt_of(request).find("x = 1\n<fim_hole>") != std::string::npos);
  CHECK((prompt_of(request) + request.forced_prefix).ends_with("<fim_end>println"));
}

TEST_CASE("a client without ghost text gets the suggestion as one completion item") {
  SessionClient client({.script = always("t(value)")});
  client.start();
  client.open(kUri, "x = 1\nprin\n");
  const Json answer = client.request(
      "textDocument/completion",
      {{"textDocument", {{"uri", kUri}}}, {"position", {{"line", 1}, {"character", 4}}}});
  const Json& list = answer["result"];
  CHECK(list["isIncomplete"] == true);
  REQUIRE(list["items"].size() == 1);
  CHECK(list["items"][0]["label"] == "print(value)");
  CHECK(list["items"][0]["filterText"] == "print(value)");
  CHECK(list["items"][0]["textEdit"] ==
        Json({{"range", range(1, 0, 4)}, {"newText", "print(value)"}}));
}

TEST_CASE("an automatic suggestion ends where it gets improbable, an invoked one does not") {
  SessionOptions options{.script = [](const engine::GenerationRequest&) {
    ScriptedAnswer sure = answer("foo");
    for (auto& token : answer(" bar", -3.0F).tokens) sure.tokens.push_back(token);
    return sure;
  }};
  options.settings.gate.automatic = 0.5;
  SessionClient client(options);
  client.start();
  client.open(kUri, "x = ");
  CHECK(client.complete(kUri, 0, 4)[0]["insertText"] == "foo");
  client.insert(kUri, 0, 0, "y");
  CHECK(client.complete(kUri, 0, 5, {{"triggerKind", 1}})[0]["insertText"] == "foo bar");
}

TEST_CASE("the gate is a half by default and each language may have its own") {
  SessionOptions options{.script = [](const engine::GenerationRequest&) {
    ScriptedAnswer hesitant = answer("foo");
    for (auto& token : answer(" bar", -0.5F).tokens) hesitant.tokens.push_back(token);
    return hesitant;
  }};
  options.settings.gate = lsp::GatePolicy{};
  options.settings.gate.per_language["go"] = 0.9;
  options.settings.gate.per_language["lua"] = 0.95;
  SessionClient client(options);
  client.start();
  // Joint probabilities: foo 0.90, foo bar 0.55.
  const auto suggested = [&](const std::string& language) -> std::string {
    const std::string uri = "file:///project/x." + language;
    client.open(uri, "x = 1\n", language);
    const Json items = client.complete(uri, 1, 0);
    return items.empty() ? "" : items[0]["insertText"];
  };
  CHECK(suggested("python") == "foo bar");
  CHECK(suggested("go") == "foo");
  CHECK(suggested("lua").empty());
}

TEST_CASE("why tells where the last suggestion came from") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  const Json params = {{"textDocument", {{"uri", kUri}}}};
  CHECK(client.request("caretd/why", params)["result"].is_null());
  client.complete(kUri, 1, 0);
  const Json fresh = client.request("caretd/why", params)["result"];
  CHECK(fresh["source"] == "model");
  CHECK(fresh["text"] == "print(value)");
  CHECK(fresh["pieces"][0]["kind"] == "path");
  CHECK(fresh["pieces"][1]["kind"] == "prefix");
  CHECK(fresh["tokens"].size() == 4);
  CHECK(fresh["stopReason"] == "end_of_sentence");
  client.insert(kUri, 1, 0, "p");
  client.complete(kUri, 1, 1);
  CHECK(client.request("caretd/why", params)["result"]["source"] == "cache");
}

TEST_CASE("accepting is seen in the edits: at one stroke, by words, typed") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  const auto stats = [&] {
    client.sync();
    return client.request("caretd/stats", nullptr)["result"]["completions"];
  };
  client.complete(kUri, 1, 0);
  client.insert(kUri, 1, 0, "print(value)");
  CHECK(stats()["acceptedFull"] == 1);
  CHECK(stats()["acceptedCharacters"] == 12);

  client.engine().set_script(always("print(other)"));
  client.insert(kUri, 1, 12, "\n");
  client.complete(kUri, 2, 0);
  client.insert(kUri, 2, 0, "print(");
  client.insert(kUri, 2, 6, "other)");
  CHECK(stats()["acceptedWords"] == 1);

  client.engine().set_script(always("print(value)"));
  client.insert(kUri, 2, 12, "\n");
  client.complete(kUri, 3, 0);
  int column = 0;
  for (const char c : std::string("print(value)")) {
    client.insert(kUri, 3, column++, std::string(1, c));
  }
  CHECK(stats()["typedThrough"] == 1);
  CHECK(stats()["shown"] == 3);
  CHECK(stats()["languages"]["python"]["accepted"] == 2);
}

TEST_CASE("accepted text is looked at again after half a minute") {
  SessionClient client({.script = always("print(value)")});
  client.start();
  client.open(kUri, "x = 1\n");
  client.complete(kUri, 1, 0);
  client.insert(kUri, 1, 0, "print(value)");
  client.insert(kUri, 0, 0, "# moved down\n");
  client.sync();
  client.clock().advance(std::chrono::seconds(31));
  client.insert(kUri, 0, 0, "#");
  client.sync();
  CHECK(client.statistics().snapshot().kept == 1);

  client.engine().set_script(always("print(third)"));
  client.insert(kUri, 2, 12, "\n");
  client.complete(kUri, 3, 0);
  client.insert(kUri, 3, 0, "print(third)");
  client.replace(kUri, {{3, 6}, {3, 11}}, "other");
  client.sync();
  client.clock().advance(std::chrono::seconds(31));
  client.notify("textDocument/didClose", {{"textDocument", {{"uri", kUri}}}});
  client.sync();
  CHECK(client.statistics().snapshot().changed == 1);
}

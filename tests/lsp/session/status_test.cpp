// What the client learns about the engine and the switches.

#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;
using engine::EngineState;
using engine::EngineStatus;

namespace {

Json switch_params(const std::string& scope, bool enabled) {
  return {{"scope", scope}, {"enabled", enabled}};
}

}  // namespace

TEST_CASE("loading is shown as progress and told as status") {
  SessionClient client({.script = always("x"), .state = EngineState::starting});
  client.start({{"window", {{"workDoneProgress", true}}}});
  const Json token = client.serve("window/workDoneProgress/create", nullptr).at("token");
  CHECK(client.notification("$/progress")["value"]["kind"] == "begin");
  CHECK(client.notification("caretd/status")["state"] == "starting");

  client.engine().set_status({EngineState::starting, 40, false, ""});
  CHECK(client.notification("$/progress")["value"]["percentage"] == 40);
  CHECK(client.notification("caretd/status")["percent"] == 40);

  client.engine().set_status({EngineState::ready, 100, false, ""});
  const Json end = client.notification("$/progress");
  CHECK(end["token"] == token);
  CHECK(end["value"]["kind"] == "end");
  const Json ready = client.notification("caretd/status");
  CHECK(ready["state"] == "ready");
  CHECK(ready["model"] == "fake");
  CHECK(ready["device"] == "script");
}

TEST_CASE("a request that arrives while the model loads is answered when it is ready") {
  SessionClient client({.script = always("42"), .state = EngineState::starting});
  client.start();
  client.open(kUri, "x = ");
  const int id = client.ask(kUri, 0, 4);
  client.sync();
  CHECK(client.engine().requests().empty());
  client.engine().set_status({EngineState::ready, 100, false, ""});
  CHECK(client.response(id)["result"]["items"][0]["insertText"] == "42");
}

TEST_CASE("a model that cannot fill in the middle is named once, and the kind that can") {
  engine::ModelInfo model = FakeEngineOptions{}.model;
  model.name = "left-to-right";
  model.fill_in_the_middle = false;
  SessionClient client({.script = always("x"), .model = model});
  client.start();
  const std::string message = client.notification("window/showMessage")["message"];
  CHECK(message.find("'left-to-right' was not taught to fill in the middle") != std::string::npos);
  CHECK(message.find("Set model.path") != std::string::npos);
  client.engine().set_status({EngineState::ready, 100, true, ""});
  client.sync();
  CHECK_FALSE(client.transport().find(
      [](const Json& candidate) { return candidate.value("method", "") == "window/showMessage"; }));
}

TEST_CASE("a model that is not wanted to fill in the middle is not warned of") {
  engine::ModelInfo model = FakeEngineOptions{}.model;
  model.fill_in_the_middle = false;
  model.left_to_right_wanted = true;
  SessionClient client({.script = always("x"), .model = model});
  client.start();
  client.sync();
  CHECK_FALSE(client.transport().find(
      [](const Json& candidate) { return candidate.value("method", "") == "window/showMessage"; }));
}

TEST_CASE("a broken model is told once and completions are empty") {
  SessionClient client({.script = always("x"), .state = EngineState::starting});
  client.start();
  client.open(kUri, "x = ");
  const int waiting = client.ask(kUri, 0, 4);
  client.sync();
  client.engine().set_status({EngineState::failed, 0, false, "The model folder is missing."});
  const Json message = client.notification("window/showMessage");
  CHECK(message["type"] == 1);
  CHECK(message["message"] == "caretd gives no completions: The model folder is missing.");
  CHECK(client.response(waiting)["result"]["items"].empty());
  CHECK(client.complete(kUri, 0, 4).empty());
  client.engine().set_status({EngineState::failed, 0, false, "Still missing."});
  const Json status = client.request("caretd/status", nullptr)["result"];
  CHECK(status["state"] == "failed");
  CHECK(status["reason"] == "Still missing.");
  CHECK_FALSE(client.transport().find(
      [](const Json& other) { return other.value("method", "") == "window/showMessage"; }));
}

TEST_CASE("busy is told while a request runs") {
  SessionClient client;
  client.start();
  client.engine().set_status({EngineState::ready, 100, true, ""});
  const auto busy = [](const Json& message) {
    return message.value("method", "") == "caretd/status" && message["params"]["state"] == "busy";
  };
  client.transport().take(busy);
}

TEST_CASE("completions are switched off and on per language, document and as a whole") {
  SessionClient client({.script = always("x")});
  client.start();
  client.open(kUri, "a = ");
  client.open("file:///b.go", "a := ", "go");
  const auto set = [&](Json params) {
    return client.request("caretd/setEnabled", std::move(params))["result"]["completions"];
  };
  Json language = switch_params("language", false);
  language["languageId"] = "python";
  CHECK(set(language)["disabledLanguages"] == Json({"python"}));
  CHECK(client.complete(kUri, 0, 4).empty());
  CHECK(client.complete("file:///b.go", 0, 5).size() == 1);
  language["enabled"] = true;
  CHECK(set(language)["disabledLanguages"].empty());
  CHECK(client.complete(kUri, 0, 4).size() == 1);

  Json document = switch_params("document", false);
  document["uri"] = kUri;
  CHECK(set(document)["disabledDocuments"] == Json({kUri}));
  CHECK(client.complete(kUri, 0, 4).empty());
  document["enabled"] = true;
  set(document);

  CHECK(set(switch_params("global", false))["enabled"] == false);
  CHECK(client.complete("file:///b.go", 0, 5).empty());
  set(switch_params("global", true));
  CHECK(client.complete(kUri, 0, 4).size() == 1);
  CHECK(set(switch_params("comments", false))["inComments"] == false);
}

TEST_CASE("a switch is told to the status bar and may come as a command") {
  SessionClient client;
  client.start();
  client.notification("caretd/status");
  const Json done = client.request("workspace/executeCommand",
                                   {{"command", "caretd.setEnabled"},
                                    {"arguments", Json::array({switch_params("global", false)})}});
  CHECK(done["result"]["completions"]["enabled"] == false);
  CHECK(client.notification("caretd/status")["completions"]["enabled"] == false);
  const auto code = [&](const Json& params) {
    return client.request("caretd/setEnabled", params).at("error").at("code").get<int>();
  };
  CHECK(code(switch_params("universe", false)) == -32602);
  CHECK(code(switch_params("language", false)) == -32602);
}

TEST_CASE("what the settings switch off the user can switch on") {
  SessionOptions options{.script = always("x")};
  options.settings.enabled = false;
  options.settings.disabled_languages = {"python"};
  SessionClient client(options);
  client.start();
  client.open(kUri, "a = ");
  CHECK(client.complete(kUri, 0, 4).empty());
  client.request("caretd/setEnabled", switch_params("global", true));
  CHECK(client.complete(kUri, 0, 4).empty());
  client.request("caretd/setEnabled",
                 {{"scope", "language"}, {"languageId", "python"}, {"enabled", true}});
  CHECK(client.complete(kUri, 0, 4).size() == 1);
}

TEST_CASE("commands clear the cache, and unknown ones are refused") {
  SessionClient client;
  client.start();
  client.request("workspace/executeCommand", {{"command", "caretd.clearCache"}});
  CHECK(client.engine().cache_clears() == 1);
  const Json unknown = client.request("workspace/executeCommand", {{"command", "rm"}});
  CHECK(unknown["error"]["code"] == -32602);
}

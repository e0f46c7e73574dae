// What every language client relies on, driven through a real session.

#include <future>

#include "support/executor.h"
#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;

namespace {

int error_code(const Json& answer) {
  return answer.at("error").at("code").get<int>();
}

}  // namespace

TEST_CASE("initialize announces what the server does") {
  SessionClient client;
  const Json result = client.start({{"textDocument", {{"inlineCompletion", Json::object()}}}});
  CHECK(result["serverInfo"] == Json({{"name", "caretd"}, {"version", "1.2.3"}}));
  const Json& capabilities = result["capabilities"];
  CHECK(capabilities["positionEncoding"] == "utf-16");
  CHECK(capabilities["textDocumentSync"]["change"] == 2);
  CHECK(capabilities["inlineCompletionProvider"] == true);
  CHECK_FALSE(capabilities.contains("completionProvider"));
}

TEST_CASE("a client without inline completion is offered ordinary completion") {
  SessionClient client;
  CHECK(client.start()["capabilities"].contains("completionProvider"));
}

TEST_CASE("utf-8 is taken where it is offered, else utf-16") {
  const auto chosen = [](const Json& offered) {
    SessionClient client;
    const Json result = client.start({{"general", {{"positionEncodings", offered}}}});
    return result["capabilities"]["positionEncoding"].get<std::string>();
  };
  CHECK(chosen({"utf-16", "utf-8"}) == "utf-8");
  CHECK(chosen({"utf-16"}) == "utf-16");
  CHECK(chosen({"utf-32"}) == "utf-16");
  CHECK(chosen({"utf-32", 7, nullptr}) == "utf-16");
}

TEST_CASE("requests before initialize, after shutdown and unknown ones get their errors") {
  SessionClient client;
  CHECK(error_code(client.request("caretd/status", nullptr)) == -32002);
  client.notify("textDocument/didOpen", {{"nonsense", true}});
  client.start();
  CHECK(error_code(client.request("initialize", {{"capabilities", Json::object()}})) == -32600);
  CHECK(error_code(client.request("textDocument/hover", Json::object())) == -32601);
  CHECK(error_code(client.request("$/unknown", Json::object())) == -32601);
  client.notify("$/unknown", Json::object());
  client.notify("textDocument/willSave", Json::object());
  CHECK(client.request("shutdown", nullptr).at("result").is_null());
  CHECK(error_code(client.request("caretd/status", nullptr)) == -32600);
  CHECK(error_code(client.request("shutdown", nullptr)) == -32600);
}

TEST_CASE("exit ends with 0 after shutdown and with 1 without it") {
  SECTION("after shutdown") {
    SessionClient client;
    client.start();
    client.request("shutdown", nullptr);
    client.notify("exit", nullptr);
    client.transport().wait_until_closed();
    CHECK(client.exit_code() == 0);
  }
  SECTION("without") {
    SessionClient client;
    client.start();
    client.notify("exit", nullptr);
    client.transport().wait_until_closed();
    CHECK(client.exit_code() == 1);
  }
  SECTION("before initialize") {
    SessionClient client;
    client.notify("exit", nullptr);
    client.transport().wait_until_closed();
    CHECK(client.exit_code() == 1);
  }
  SECTION("the input ends") {
    SessionClient client;
    client.start();
    client.end_of_input();
    client.transport().wait_until_closed();
    CHECK(client.exit_code() == 1);
  }
}

TEST_CASE("params that do not fit are refused with the field's name") {
  SessionClient client;
  client.start();
  const Json answer =
      client.request("textDocument/inlineCompletion", {{"textDocument", {{"uri", kUri}}}});
  CHECK(error_code(answer) == -32602);
  CHECK(answer["error"]["message"] == "position: expected a value");
}

TEST_CASE("garbage between messages leaves the session alive") {
  SessionClient client;
  client.start();
  client.send_raw("GET / HTTP/1.1\r\n\r\n");
  client.send_raw(lsp::frame("{\"jsonrpc\":"));
  client.send_raw(lsp::frame("[]"));
  const auto error_of = [&](int code) {
    return client.transport().take([code](const Json& message) {
      return message.contains("error") && message["error"]["code"] == code;
    });
  };
  CHECK(error_of(-32700)["id"].is_null());
  CHECK(error_of(-32700)["id"].is_null());
  CHECK(error_of(-32600)["id"].is_null());
  CHECK(client.request("caretd/status", nullptr)["result"]["state"] == "ready");
}

TEST_CASE("a change is handled however busy the workers are") {
  SessionClient client;
  client.start();
  client.open(kUri, "x = 1\n");
  std::promise<void> released;
  const std::shared_future<void> release = released.get_future().share();
  for (int i = 0; i < SessionClient::kWorkers; ++i) {
    client.workers().post([release] { release.wait(); });
  }
  client.insert(kUri, 0, 5, "2");
  client.sync();
  released.set_value();
}

TEST_CASE("settings are pulled and pulled again when they change") {
  SessionClient client;
  client.start(
      {{"workspace",
        {{"configuration", true}, {"didChangeConfiguration", {{"dynamicRegistration", true}}}}}},
      {{"completion", {{"maxTokens", 5}}}});
  const Json registered = client.serve("client/registerCapability", nullptr);
  CHECK(registered["registrations"][0]["method"] == "workspace/didChangeConfiguration");
  CHECK(client.serve("workspace/configuration", Json::array({{{"a", 1}}}))["items"][0]["section"] ==
        "caretd");
  client.sync();
  CHECK(client.client_settings().initialization_options["completion"]["maxTokens"] == 5);
  CHECK(client.client_settings().configuration == Json({{"a", 1}}));
  client.notify("workspace/didChangeConfiguration", {{"settings", nullptr}});
  client.serve("workspace/configuration", Json::array({{{"a", 2}}}));
  client.sync();
  CHECK(client.client_settings().configuration == Json({{"a", 2}}));
}

TEST_CASE("settings are taken from the notification where the client cannot be asked") {
  SessionClient client;
  client.start();
  client.notify("workspace/didChangeConfiguration", {{"settings", {{"caretd", {{"b", 3}}}}}});
  client.sync();
  CHECK(client.client_settings().configuration == Json({{"b", 3}}));
}

TEST_CASE("a problem of the settings is shown once") {
  SessionClient client;
  client.set_problems({"an unknown key"});
  client.start();
  CHECK(client.notification("window/showMessage")["message"] == "caretd: an unknown key");
  client.notify("workspace/didChangeConfiguration", {{"settings", {{"caretd", {{"b", 3}}}}}});
  client.sync();
  CHECK_FALSE(client.transport().find(
      [](const Json& message) { return message.value("method", "") == "window/showMessage"; }));
}

TEST_CASE("a session is destroyed in the middle of everything") {
  SessionClient client({.script = always("x = 1"), .paused = true});
  client.start();
  client.open(kUri, "a\n");
  client.ask(kUri, 0, 1);
  REQUIRE(client.engine().wait_for_requests(1));
  client.disconnect();
  client.engine().drain();
}

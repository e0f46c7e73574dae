#include "daemon/relay/session_mirror.h"

#include <random>

#include "lsp/protocol/message.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

using lsp::Json;

Json request(int id, const char* method, Json params = Json::object()) {
  return lsp::make_request(lsp::RequestId(std::int64_t{id}), method, std::move(params));
}

Json notification(const char* method, Json params = Json::object()) {
  return lsp::make_notification(method, std::move(params));
}

Json open(const char* uri, const char* text) {
  return notification(
      "textDocument/didOpen",
      {{"textDocument", {{"uri", uri}, {"languageId", "python"}, {"version", 1}, {"text", text}}}});
}

Json change(const char* uri, int version, Json changes) {
  return notification(
      "textDocument/didChange",
      {{"textDocument", {{"uri", uri}, {"version", version}}}, {"contentChanges", changes}});
}

Json range(int line, int from, int to) {
  return {{"start", {{"line", line}, {"character", from}}},
          {"end", {{"line", line}, {"character", to}}}};
}

/// Brings a session past its initialization.
void start_session(SessionMirror& mirror, const char* encoding = "utf-16") {
  (void)mirror.on_client_message(request(1, "initialize", {{"processId", 7}}));
  (void)mirror.on_daemon_message(
      lsp::make_response(1, {{"capabilities", {{"positionEncoding", encoding}}}}));
  (void)mirror.on_client_message(notification("initialized"));
}

TEST_CASE("a daemon was of use once it answered with something to show") {
  SessionMirror mirror;
  start_session(mirror);
  const auto answer = [&mirror](const char* method, Json result) {
    (void)mirror.on_client_message(request(2, method));
    (void)mirror.on_daemon_message(lsp::make_response(2, std::move(result)));
    return mirror.was_of_use();
  };
  const Json items = Json::array({{{"insertText", "x"}}});
  CHECK_FALSE(answer("caretd/status", {{"state", "starting"}}));
  CHECK_FALSE(answer("textDocument/inlineCompletion", nullptr));
  CHECK_FALSE(answer("textDocument/inlineCompletion", {{"items", Json::array()}}));
  CHECK(answer("textDocument/inlineCompletion", {{"items", items}}));
  (void)mirror.on_daemon_lost();
  (void)mirror.replay();
  CHECK_FALSE(mirror.was_of_use());
  CHECK(answer("textDocument/completion", items));
}

TEST_CASE("a new daemon is told everything that still holds") {
  SessionMirror mirror;
  start_session(mirror);
  (void)mirror.on_client_message(open("file:///a.py", "x = 1\n"));
  (void)mirror.on_client_message(open("file:///b.py", "gone"));
  (void)mirror.on_client_message(
      change("file:///a.py", 5, {{{"range", range(0, 4, 5)}, {"text", "23"}}}));
  (void)mirror.on_client_message(
      notification("textDocument/didClose", {{"textDocument", {{"uri", "file:///b.py"}}}}));
  (void)mirror.on_client_message(
      notification("workspace/didChangeConfiguration", {{"settings", {{"a", 1}}}}));
  (void)mirror.on_client_message(
      request(2, "caretd/setEnabled", {{"language", "python"}, {"enabled", false}}));
  (void)mirror.on_client_message(
      request(3, "caretd/setEnabled", {{"language", "python"}, {"enabled", true}}));

  (void)mirror.on_daemon_lost();
  const auto messages = mirror.replay();
  REQUIRE(messages.size() == 5);
  CHECK(messages[0]["method"] == "initialize");
  CHECK(messages[0]["params"]["processId"] == 7);
  CHECK(messages[0]["id"] != 1);
  CHECK(messages[1]["method"] == "initialized");
  CHECK(messages[2]["params"]["settings"]["a"] == 1);
  CHECK(messages[3]["params"]["enabled"] == true);
  const auto& document = messages[4]["params"]["textDocument"];
  CHECK(document["uri"] == "file:///a.py");
  CHECK(document["text"] == "x = 23\n");
  CHECK(document["version"] == 5);

  // The answers to the mirror's own requests are not for the client.
  CHECK_FALSE(mirror.on_daemon_message(lsp::make_response(messages[0]["id"], Json::object())));
  CHECK_FALSE(mirror.on_daemon_message(lsp::make_response(messages[3]["id"], nullptr)));
}

TEST_CASE("changes are applied in the encoding the daemon chose") {
  const auto text_after = [](const char* encoding) {
    SessionMirror mirror;
    start_session(mirror, encoding);
    (void)mirror.on_client_message(open("file:///a", "\xF0\x9F\x98\x80=1"));
    const int equals = std::string(encoding) == "utf-8" ? 4 : 2;
    (void)mirror.on_client_message(
        change("file:///a", 2, {{{"range", range(0, equals, equals + 1)}, {"text", ":"}}}));
    return mirror.replay().back()["params"]["textDocument"]["text"].get<std::string>();
  };
  CHECK(text_after("utf-16") == "\xF0\x9F\x98\x80:1");
  CHECK(text_after("utf-8") == "\xF0\x9F\x98\x80:1");
}

TEST_CASE("what was under way when the daemon was lost is answered once") {
  SessionMirror mirror;
  start_session(mirror);
  (void)mirror.on_client_message(request(2, "textDocument/inlineCompletion"));
  (void)mirror.on_client_message(request(3, "caretd/stats"));
  (void)mirror.on_client_message(request(4, "textDocument/completion"));
  CHECK(mirror.on_daemon_message(lsp::make_response(4, nullptr)));
  (void)mirror.on_daemon_message(notification(
      "$/progress", {{"token", "load"}, {"value", {{"kind", "begin"}, {"title", "x"}}}}));

  const auto messages = mirror.on_daemon_lost();
  REQUIRE(messages.size() == 3);
  CHECK(messages[0]["id"] == 2);
  CHECK(messages[0]["result"].is_null());
  CHECK(messages[1]["error"]["code"] == -32800);
  CHECK(messages[2]["params"]["value"]["kind"] == "end");
  CHECK(mirror.on_daemon_lost().empty());
}

TEST_CASE("a client that waits for initialize gets its answer from the new daemon") {
  SessionMirror mirror;
  (void)mirror.on_client_message(request(1, "initialize"));
  CHECK(mirror.on_daemon_lost().empty());
  const auto messages = mirror.replay();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0]["id"] == 1);
  CHECK(mirror.on_daemon_message(lsp::make_response(1, Json::object())));
}

TEST_CASE("an answer to a daemon that is gone does not reach the new one") {
  SessionMirror mirror;
  start_session(mirror);
  CHECK(mirror.on_daemon_message(request(1, "workspace/configuration")));
  (void)mirror.on_daemon_lost();
  CHECK(mirror.on_daemon_message(request(1, "workspace/configuration")));
  CHECK_FALSE(mirror.on_client_message(lsp::make_response(1, Json::array())));
  CHECK(mirror.on_client_message(lsp::make_response(1, Json::array())));
}

TEST_CASE("a goodbye is for the relay alone and holds until the next daemon") {
  SessionMirror mirror;
  start_session(mirror);
  CHECK_FALSE(mirror.said_goodbye());
  CHECK_FALSE(mirror.on_daemon_message(lsp::make_notification(kGoodbyeMethod, nullptr)));
  CHECK(mirror.said_goodbye());
  (void)mirror.replay();
  CHECK_FALSE(mirror.said_goodbye());
}

TEST_CASE("messages of any shape are passed on without harm") {
  SessionMirror mirror;
  start_session(mirror);
  std::mt19937 random(7);
  const std::vector<Json> values{nullptr,
                                 1,
                                 -1,
                                 "x",
                                 true,
                                 Json::array(),
                                 Json::object(),
                                 {{"uri", 3}},
                                 {{"textDocument", 1}},
                                 Json::array({1, nullptr})};
  const std::vector<const char*> methods{"textDocument/didOpen",
                                         "textDocument/didChange",
                                         "textDocument/didClose",
                                         "initialize",
                                         "$/progress",
                                         "caretd/setEnabled",
                                         "workspace/didChangeConfiguration"};
  const auto any = [&] { return values[random() % values.size()]; };
  for (int round = 0; round < 2000; ++round) {
    Json message{{"jsonrpc", "2.0"}};
    if (random() % 4 != 0) message["method"] = methods[random() % methods.size()];
    if (random() % 2 == 0) message["id"] = any();
    message["params"] = {{"textDocument", any()},
                         {"contentChanges", any()},
                         {"token", any()},
                         {"value", {{"kind", "begin"}}}};
    if (random() % 8 == 0) message = any();
    if (random() % 2 == 0) {
      (void)mirror.on_client_message(message);
    } else {
      (void)mirror.on_daemon_message(message);
    }
    if (random() % 50 == 0) (void)mirror.on_daemon_lost();
  }
  CHECK(mirror.replay().front()["method"] == "initialize");
}

}  // namespace
}  // namespace caretd::daemon

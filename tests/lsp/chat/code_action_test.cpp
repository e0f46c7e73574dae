// Code actions over the wire: what is offered, resolved, refused and applied.

#include <algorithm>

#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;

namespace {

const std::string kDocument = "file:///project/a.py";
const std::string kSource =
    "import os\n\n\nclass Reader:\n    def read(self, path):\n        return open(path).read()\n";

Json position(int line, int character) {
  return {{"line", line}, {"character", character}};
}
Json range(int line, int from, int to) {
  return {{"start", position(line, from)}, {"end", position(line, to)}};
}

Json full_client() {
  return {{"window", {{"workDoneProgress", true}}},
          {"workspace",
           {{"applyEdit", true},
            {"workspaceEdit", {{"documentChanges", true}, {"resourceOperations", {"create"}}}}}},
          {"textDocument",
           {{"codeAction",
             {{"codeActionLiteralSupport", {{"codeActionKind", {{"valueSet", {"quickfix"}}}}}},
              {"resolveSupport", {{"properties", {"edit"}}}}}}}},
          {"experimental", {{"caretd", {{"chat", true}, {"instruction", true}}}}}};
}

SessionOptions options(Script script) {
  return {.script = std::move(script)};
}

Json actions_at(SessionClient& client, int line, int character, Json context = Json::object()) {
  return client.request("textDocument/codeAction", {{"textDocument", {{"uri", kDocument}}},
                                                    {"range", range(line, character, character)},
                                                    {"context", std::move(context)}})["result"];
}

Json find_action(const Json& actions, const std::string& title) {
  const auto found = std::find_if(actions.begin(), actions.end(), [&](const Json& action) {
    return action["title"].get<std::string>().starts_with(title);
  });
  REQUIRE(found != actions.end());
  return *found;
}

Json diagnostic() {
  return {{"range", range(5, 15, 19)}, {"message", "file is never closed"}, {"severity", 2}};
}

/// Resolves the action while serving the progress bar it asks for.
int start_resolve(SessionClient& client, const Json& action) {
  const int id = client.send_request("codeAction/resolve", action);
  client.serve("window/workDoneProgress/create", nullptr);
  return id;
}

/// The next value of a progress bar that is of this kind.
Json progress(SessionClient& client, const std::string& kind) {
  const Json message = client.transport().take([&](const Json& candidate) {
    return candidate.value("method", "") == "$/progress" &&
           candidate.at("params").at("value").value("kind", "") == kind;
  });
  return message.at("params").at("value");
}

std::string failure_of(SessionClient& client, const Json& action) {
  return client.response(start_resolve(client, action)).at("error").at("message");
}

std::string in_fence(const std::string& code, const std::string& language = "python") {
  return " Here:\n\n```" + language + "\n" + code + "```\n\nDone.";
}

}  // namespace

TEST_CASE("actions are offered under their kinds where the tree says what they act on") {
  SessionClient client(options(always("")));
  const Json capabilities = client.start(full_client())["capabilities"];
  CHECK(capabilities["codeActionProvider"]["resolveProvider"] == true);
  CHECK(capabilities["codeActionProvider"]["codeActionKinds"] ==
        Json({"quickfix", "refactor.rewrite", "source"}));
  client.open(kDocument, kSource);
  const Json actions = actions_at(client, 5, 16, {{"diagnostics", Json::array({diagnostic()})}});
  const Json fix = find_action(actions, "Fix: file is never closed");
  CHECK(fix["kind"] == "quickfix");
  CHECK(fix["diagnostics"] == Json::array({diagnostic()}));
  CHECK(fix.contains("data"));
  CHECK(find_action(actions, "Document 'read'")["kind"] == "refactor.rewrite");
  CHECK(find_action(actions, "Refactor 'read' with an instruction…")["command"]["command"] ==
        "caretd.refactor");
  CHECK(find_action(actions, "Explain 'read'")["kind"] == "source.explain");
  CHECK(find_action(actions, "Write tests for 'read'")["kind"] == "source.writeTests");
  CHECK(actions.size() == 5);
  CHECK(actions_at(client, 4, 0).size() == 4);
  CHECK(actions_at(client, 1, 0).empty());  // between the definitions
  CHECK(actions_at(client, 0, 3).empty());  // an import
  CHECK(actions_at(client, 3, 8)[0]["title"] == "Document 'Reader'");
  CHECK(actions_at(client, 5, 16, {{"only", {"refactor"}}}).size() == 2);
  CHECK(actions_at(client, 5, 16, {{"only", {"quickfix"}}}).empty());
  CHECK(actions_at(client, 5, 16, {{"only", {"source"}}}).size() == 2);
}

TEST_CASE("a selection can be explained and refactored; plain text, ignored files cannot") {
  SessionClient client(options(always("")));
  client.start(full_client());
  client.open(kDocument, "import os\nx = 1\ny = 2\n");
  const Json selected = client.request(
      "textDocument/codeAction", {{"textDocument", {{"uri", kDocument}}},
                                  {"range", {{"start", position(1, 0)}, {"end", position(3, 0)}}},
                                  {"context", Json::object()}})["result"];
  REQUIRE(selected.size() == 2);
  CHECK(selected[0]["title"] == "Refactor these lines with an instruction…");
  CHECK(selected[1]["title"] == "Explain these lines");
  client.open("file:///project/notes.txt", "some words\n", "plaintext");
  client.open("file:///project/.env.py", "def f():\n    pass\n");
  for (const char* uri : {"file:///project/notes.txt", "file:///project/.env.py"}) {
    CHECK(client
              .request("textDocument/codeAction", {{"textDocument", {{"uri", uri}}},
                                                   {"range", range(0, 5, 5)},
                                                   {"context", Json::object()}})["result"]
              .empty());
  }
}

TEST_CASE("code that holds a secret is not offered to be rewritten") {
  SessionClient client(options(always("")));
  client.start(full_client());
  client.open(kDocument,
              "def f():\n    api_key = \"sk_live_4eC39HqLyjWDarjtT1zdp7dc\"\n    return 1\n");
  for (const Json& action : actions_at(client, 2, 6)) {
    CHECK(action["kind"].get<std::string>().starts_with("source"));
  }
}

TEST_CASE("a fix resolves to an edit of the lines that change, with progress and version") {
  SessionClient client(options(always(
      in_fence("def read(self, path):\n    with open(path) as f:\n        return f.read()\n"))));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json fix =
      find_action(actions_at(client, 5, 16, {{"diagnostics", Json::array({diagnostic()})}}), "Fix");
  client.engine().pause();
  const int id = start_resolve(client, fix);
  CHECK(progress(client, "begin")["title"] == "caretd: Fixing read");
  client.engine().resume();
  const Json resolved = client.response(id)["result"];
  CHECK(progress(client, "end")["message"] == "done");
  CHECK(resolved["title"] == fix["title"]);
  const Json change = resolved["edit"]["documentChanges"][0];
  CHECK(change["textDocument"] == Json({{"uri", kDocument}, {"version", 1}}));
  CHECK(change["edits"] ==
        Json::array({{{"range", range(5, 0, 32)},
                      {"newText", "        with open(path) as f:\n            return f.read()"}}}));
  const auto request = client.engine().requests()[0];
  const std::string prompt = prompt_of(request);
  CHECK(prompt.find("Line 2 of this code has a problem: file is never closed") !=
        std::string::npos);
  CHECK(request.sampling.temperature == 0.0F);
}

TEST_CASE("tabs, line ends of the file and the last line's are kept") {
  SessionClient client(options(always(in_fence(
      "func f() int {\n    if true {\n        return 2\n    }\n    return 1\n}\n", "go"))));
  client.start(full_client());
  const std::string uri = "file:///project/a.go";
  client.open(uri, "package a\r\n\r\nfunc f() int {\r\n\treturn 1\r\n}\r\n", "go");
  const Json actions =
      client.request("textDocument/codeAction", {{"textDocument", {{"uri", uri}}},
                                                 {"range", range(3, 2, 2)},
                                                 {"context", Json::object()}})["result"];
  const Json resolved =
      client.response(start_resolve(client, find_action(actions, "Document")))["result"];
  CHECK(resolved["edit"]["documentChanges"][0]["edits"][0]["newText"] ==
        "\tif true {\r\n\t\treturn 2\r\n\t}\r\n");
}

TEST_CASE("code keeps its own indentation in a file that has none") {
  SessionClient client(options(always(in_fence("func f() int {\n\treturn 1\n}\n", "go"))));
  client.start(full_client());
  const std::string uri = "file:///project/a.go";
  client.open(uri, "package a\n\nfunc f() int { return 1 }\n", "go");
  const Json actions =
      client.request("textDocument/codeAction", {{"textDocument", {{"uri", uri}}},
                                                 {"range", range(2, 2, 2)},
                                                 {"context", Json::object()}})["result"];
  const Json resolved =
      client.response(start_resolve(client, find_action(actions, "Document")))["result"];
  CHECK(resolved["edit"]["documentChanges"][0]["edits"][0]["newText"] ==
        "func f() int {\n\treturn 1\n}");
}

TEST_CASE("prose becomes a doc string, or the comment of the language") {
  SessionClient client(options(always(" Read the file at the path.\n\nReturns its text.")));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json python =
      client.response(start_resolve(client, find_action(actions_at(client, 5, 9), "Document")))
          .at("result")["edit"]["documentChanges"][0]["edits"][0];
  CHECK(python["newText"] ==
        "\"\"\"Read the file at the path.\n\n        Returns its text.\n        \"\"\"\n        ");
  CHECK(python["range"] == range(5, 8, 8));

  const std::string uri = "file:///project/a.ts";
  client.open(uri, "export function add(a: number, b: number) {\n  return a + b;\n}\n",
              "typescript");
  const Json actions =
      client.request("textDocument/codeAction", {{"textDocument", {{"uri", uri}}},
                                                 {"range", range(1, 4, 4)},
                                                 {"context", Json::object()}})["result"];
  const Json script = client.response(start_resolve(client, find_action(actions, "Document 'add'")))
                          .at("result")["edit"]["documentChanges"][0]["edits"][0];
  CHECK(script["newText"] == "/**\n * Read the file at the path.\n *\n * Returns its text.\n */\n");
  CHECK(script["range"] == range(0, 0, 0));
}

TEST_CASE("replies without usable code change nothing and say why") {
  SessionClient client(options(always("")));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json fix =
      find_action(actions_at(client, 5, 16, {{"diagnostics", Json::array({diagnostic()})}}), "Fix");
  const auto says = [&](const ScriptedAnswer& reply, const std::string& why) {
    client.engine().set_script([reply](const auto&) { return reply; });
    const std::string message = failure_of(client, fix);
    INFO(message);
    CHECK(message.find(why) != std::string::npos);
    CHECK(message.find("nothing was changed") != std::string::npos);
  };
  says(answer(""), "empty");
  says(answer(" I would close the file."), "syntax errors");
  says(answer("Impossible"), "does not define");
  says(answer(" ```python\ndef read(self, path):\n    with open"), "not finished");
  ScriptedAnswer cut = answer(" ```python\ndef read(self, path):\n    with open");
  cut.reason = engine::FinishReason::max_tokens;
  says(cut, "cut off");
  says(answer(in_fence("func read() {}\n", "go")), "is go, not python");
  says(answer(in_fence("def read(self, path:\n    return (\n")), "syntax errors");
  says(answer(in_fence("\n\n")), "empty");
  says(answer(in_fence("def read(self, path):\n    return open(path).read()\n")), "there already");
  says(answer(" <script>alert(1)</script><img src=x onerror=alert(1)>"), "syntax errors");
  says(answer("def read(self, path):\n    return (\n```\n"), "syntax errors");
  ScriptedAnswer endless = answer("def read(self, path):\n    return 1\n");
  endless.reason = engine::FinishReason::max_tokens;
  says(endless, "cut off");
}

TEST_CASE("code is begun for the model, which goes on with it") {
  SessionClient client(options(always("")));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json fix =
      find_action(actions_at(client, 5, 16, {{"diagnostics", Json::array({diagnostic()})}}), "Fix");
  const std::string code = "def read(self, path):\n    return path\n";
  // With its fence and what follows it, without a fence, and in a block of the model's own.
  for (const std::string& reply : {code + "```\n\nUsage:\n```python\nread()\n```\n", code,
                                   "```\n" + code + "```\n", in_fence(code)}) {
    INFO(reply);
    client.engine().set_script([reply](const auto&) { return answer(reply); });
    const Json resolved = client.response(start_resolve(client, fix));
    REQUIRE(resolved.contains("result"));
    CHECK(resolved["result"]["edit"]["documentChanges"][0]["edits"][0]["newText"] ==
          "        return path");
  }
  const auto prompt = [&] { return prompt_of(client.engine().requests().back()); };
  CHECK(prompt().ends_with("Assistant: ```python\n"));
  // Documentation may as well be prose.
  client.response(start_resolve(client, find_action(actions_at(client, 5, 16), "Document")));
  CHECK(prompt().ends_with("Assistant:"));
}

TEST_CASE("tests that do not parse are no tests") {
  SessionClient client(options(always(in_fence("def test_read(:\n"))));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json command = find_action(actions_at(client, 5, 16), "Write tests")["command"];
  const int id = client.send_request("workspace/executeCommand", command);
  client.serve("window/workDoneProgress/create", nullptr);
  const std::string why = client.response(id)["error"]["message"];
  CHECK(why.find("syntax errors; nothing was changed") != std::string::npos);
}

TEST_CASE("a document that changed is not edited, before or while the model works") {
  SessionClient client(options(always(in_fence("def read(self, path):\n    return 1\n"))));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json action = find_action(actions_at(client, 5, 16), "Document");
  client.engine().pause();
  const int id = start_resolve(client, action);
  REQUIRE(client.engine().wait_for_requests(1));
  client.insert(kDocument, 0, 0, "# new\n");
  client.sync();
  client.engine().resume();
  CHECK(client.response(id)["error"]["code"] == -32801);
  CHECK(client.request("codeAction/resolve", action)["error"]["code"] == -32801);
}

TEST_CASE("the bar and the request cancel, each within one step") {
  SessionClient client(options(always(in_fence("def read(self, path):\n    return 1\n"))));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json action = find_action(actions_at(client, 5, 16), "Document");
  client.engine().pause();
  for (const bool by_bar : {true, false}) {
    const int id = client.send_request("codeAction/resolve", action);
    const Json token = client.serve("window/workDoneProgress/create", nullptr)["token"];
    REQUIRE(client.engine().wait_for_requests(by_bar ? 1 : 2));
    CHECK(progress(client, "begin")["cancellable"] == true);
    client.engine().step();
    if (by_bar) {
      client.notify("window/workDoneProgress/cancel", {{"token", token}});
    } else {
      client.notify("$/cancelRequest", {{"id", id}});
    }
    client.sync();
    client.engine().step();
    CHECK(client.response(id)["error"]["code"] == -32800);
    CHECK(client.engine().statistics().running == 0);
  }
}

TEST_CASE("an instruction is carried out by the command, and the editor's answer is looked at") {
  SessionClient client(options(always(in_fence("def read(self, path):\n    return path\n"))));
  client.start(full_client());
  client.open(kDocument, kSource);
  Json argument = find_action(actions_at(client, 5, 16), "Refactor")["command"]["arguments"][0];
  const auto execute = [&] {
    const int id = client.send_request(
        "workspace/executeCommand",
        {{"command", "caretd.refactor"}, {"arguments", Json::array({argument})}});
    return id;
  };
  CHECK(client.response(execute())["error"]["message"].get<std::string>().find("instruction") == 0);
  argument["instruction"] = "Return the path.";
  int id = execute();
  client.serve("window/workDoneProgress/create", nullptr);
  const Json edit = client.serve("workspace/applyEdit", {{"applied", true}});
  CHECK(edit["edit"]["documentChanges"][0]["textDocument"]["version"] == 1);
  CHECK(client.response(id)["result"]["applied"] == true);
  id = execute();
  client.serve("window/workDoneProgress/create", nullptr);
  client.serve("workspace/applyEdit",
               {{"applied", false}, {"failureReason", "the file is locked"}});
  CHECK(client.response(id)["error"]["message"] ==
        "The editor did not apply the edit (the file is locked); nothing was changed.");
  // The user said no, which is no failure.
  id = execute();
  client.serve("window/workDoneProgress/create", nullptr);
  client.serve("workspace/applyEdit", {{"applied", false}});
  CHECK(client.response(id)["result"]["applied"] == false);
}

TEST_CASE("tests go into a file of their own, which must not exist") {
  SessionClient client(options(always(in_fence("def test_read():\n    assert True\n"))));
  client.start(full_client());
  client.open(kDocument, kSource);
  const Json command = find_action(actions_at(client, 5, 16), "Write tests")["command"];
  const int id = client.send_request("workspace/executeCommand", command);
  client.serve("window/workDoneProgress/create", nullptr);
  const Json edit = client.serve("workspace/applyEdit", {{"applied", true}})["edit"];
  CHECK(edit["documentChanges"][0] == Json({{"kind", "create"},
                                            {"uri", "file:///project/test_a.py"},
                                            {"options", {{"overwrite", false}}}}));
  CHECK(edit["documentChanges"][1]["edits"][0]["newText"] == "def test_read():\n    assert True\n");
  CHECK(client.response(id)["result"]["applied"] == true);
}

TEST_CASE("tests that no file can be made for are shown, with the reason") {
  SessionClient client(options(always(in_fence("def test_read():\n    assert True\n"))));
  Json capabilities = full_client();
  capabilities["workspace"]["workspaceEdit"].erase("resourceOperations");
  capabilities.erase("experimental");
  client.start(capabilities);
  client.open(kDocument, kSource);
  const Json command = find_action(actions_at(client, 5, 16), "Write tests")["command"];
  const int id = client.send_request("workspace/executeCommand", command);
  client.serve("window/workDoneProgress/create", nullptr);
  const Json result = client.response(id)["result"];
  const std::string reason = result["reason"];
  const std::string content = result["content"];
  CHECK(result["applied"] == false);
  CHECK(reason == "The editor makes no files for a server; put these into one.");
  CHECK(content.find("def test_read():") != std::string::npos);
  // Without a chat view the message is all that the user sees.
  CHECK(client.notification("window/showMessage")["message"] == reason + "\n\n" + content);
}

TEST_CASE("tests in a language that keeps them elsewhere are shown, too") {
  const std::string uri = "file:///project/a.rs";
  SessionClient client(options(always(in_fence("#[test]\nfn reads() {}\n", "rust"))));
  client.start(full_client());
  client.open(uri, "fn read() -> i32 {\n    1\n}\n", "rust");
  const Json actions =
      client.request("textDocument/codeAction", {{"textDocument", {{"uri", uri}}},
                                                 {"range", range(1, 4, 4)},
                                                 {"context", Json::object()}})["result"];
  const int id = client.send_request("workspace/executeCommand",
                                     find_action(actions, "Write tests")["command"]);
  client.serve("window/workDoneProgress/create", nullptr);
  const Json result = client.response(id)["result"];
  CHECK(result["applied"] == false);
  CHECK(result["reason"] == "Tests in rust have no customary file; put these where yours are.");
}

TEST_CASE("explain talks: as a result, and as a message where the client shows no chat") {
  SessionClient client(options(always(" It reads.")));
  Json capabilities = full_client();
  capabilities.erase("experimental");
  client.start(capabilities);
  client.open(kDocument, kSource);
  const Json actions = actions_at(client, 5, 16);
  CHECK(actions.size() == 3);  // nobody to ask for an instruction
  const Json result = client.request("workspace/executeCommand",
                                     find_action(actions, "Explain")["command"])["result"];
  CHECK(result["content"] == "It reads.");
  CHECK(client.notification("window/showMessage")["message"] == "It reads.");
}

TEST_CASE("older clients get commands, and edits of theirs by workspace/applyEdit") {
  SessionClient client(options(always(in_fence("def read(self, path):\n    return 1\n"))));
  CHECK(client.start(
            {{"workspace", {{"applyEdit", true}}}})["capabilities"]["codeActionProvider"] == true);
  client.open(kDocument, kSource);
  const Json actions = actions_at(client, 5, 16);
  const Json document = find_action(actions, "Document");
  CHECK(document["command"] == "caretd.document");
  const int id = client.send_request("workspace/executeCommand", document);
  const Json edit = client.serve("workspace/applyEdit", {{"applied", true}})["edit"];
  CHECK(edit["changes"][kDocument].size() == 1);
  CHECK(client.response(id)["result"]["applied"] == true);
}

TEST_CASE("editors that can ask get edits that ask") {
  SessionClient client(options(always(in_fence("def read(self, path):\n    return 1\n"))));
  Json capabilities = full_client();
  capabilities["workspace"]["workspaceEdit"]["changeAnnotationSupport"] = {{"groupsOnLabel", true}};
  client.start(capabilities);
  client.open(kDocument, kSource);
  const Json edit =
      client.response(start_resolve(client, find_action(actions_at(client, 5, 16), "Document")))
          .at("result")["edit"];
  CHECK(edit["changeAnnotations"]["caretd"]["needsConfirmation"] == true);
  CHECK(edit["documentChanges"][0]["edits"][0]["annotationId"] == "caretd");

  const Json tests = find_action(actions_at(client, 5, 16), "Write tests")["command"];
  const int id = client.send_request("workspace/executeCommand", tests);
  const Json file = client.serve("workspace/applyEdit", {{"applied", true}})["edit"];
  CHECK(file["changeAnnotations"]["caretd"]["needsConfirmation"] == true);
  CHECK(file["documentChanges"][0]["annotationId"] == "caretd");
  CHECK(file["documentChanges"][1]["edits"][0]["annotationId"] == "caretd");
  CHECK(client.response(id)["result"]["applied"] == true);
}

TEST_CASE("arguments that make no sense are invalid params") {
  SessionClient client(options(always("")));
  client.start(full_client());
  for (const Json& arguments :
       {Json::array(), Json::array({1}), Json::array({Json::object()}),
        Json::array(
            {{{"verb", "rm"}, {"uri", kDocument}, {"version", 1}, {"range", range(0, 0, 0)}}})}) {
    CHECK(client.request("workspace/executeCommand",
                         {{"command", "caretd.fix"}, {"arguments", arguments}})["error"]["code"] ==
          -32602);
  }
  CHECK(client.request("codeAction/resolve", {{"title", "x"}})["error"]["code"] == -32602);
}

// What sessions do that takes knowledge of code.

#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;

namespace {

const std::string kProjectUri = "file:///project/a.py";

std::string refusal(SessionClient& client, const std::string& uri, int line, int character) {
  CHECK(client.complete(uri, line, character).empty());
  const Json why = client.request("caretd/why", {{"textDocument", {{"uri", uri}}}})["result"];
  return why.at("stopReason").get<std::string>();
}

}  // namespace

TEST_CASE("the prompt is anchored: a keystroke changes only what is typed") {
  SessionClient client({.script = always("value")});
  client.start();
  client.open(kProjectUri, "import os\n\n\ndef f():\n    x = \n    return x\n");
  client.complete(kProjectUri, 4, 8);
  client.insert(kProjectUri, 4, 8, "1 + ");
  client.complete(kProjectUri, 4, 12);
  const auto requests = client.engine().requests();
  REQUIRE(requests.size() == 2);
  const std::string first = prompt_of(requests[0]);
  const std::string second = prompt_of(requests[1]);
  const std::size_t end = first.find("<fim_end>");
  REQUIRE(end != std::string::npos);
  CHECK(second.substr(0, end + 9) == first.substr(0, end + 9));
  CHECK(second.substr(end + 9) + requests[1].forced_prefix == "    x = 1 + ");
}

TEST_CASE("a completion ends with its statement") {
  SessionClient client({.script = always("foo(1)\n    y = 2\n    z = 3\n")});
  client.start();
  client.open(kProjectUri, "def f():\n    x = \n");
  CHECK(client.complete(kProjectUri, 1, 8)[0]["insertText"] == "foo(1)");
}

TEST_CASE("behind a statement that was accepted the next one is suggested, else nothing is") {
  SessionClient client({.script = [](const engine::GenerationRequest& request) {
    const std::string prompt = prompt_of(request) + request.forced_prefix;
    return prompt.ends_with("foo(1)") ? answer("\n    y = 2\n    z = 3\n") : answer("foo(1)");
  }});
  client.start();
  client.open(kProjectUri, "def f():\n    x = \n");
  client.complete(kProjectUri, 1, 8);
  client.insert(kProjectUri, 1, 8, "foo(1)");
  CHECK(client.complete(kProjectUri, 1, 14)[0]["insertText"] == "\n    y = 2");

  const std::string typed = "file:///project/b.py";
  client.open(typed, "def f():\n    x = foo(1)\n");
  CHECK(client.complete(typed, 1, 14).empty());
}

TEST_CASE("comments are completed unless they are switched off") {
  SessionClient client({.script = always("the rest")});
  client.start();
  client.open(kProjectUri, "x = 1\n# say \n");
  CHECK(client.complete(kProjectUri, 1, 6).size() == 1);
  client.request("caretd/setEnabled", {{"scope", "comments"}, {"enabled", false}});
  client.insert(kProjectUri, 1, 6, "it ");
  CHECK(refusal(client, kProjectUri, 1, 9) == "comment");
  CHECK(client.complete(kProjectUri, 0, 5).size() == 1);
}

TEST_CASE("a secret file is never sent to the model") {
  SessionClient client({.script = always("x")});
  client.start();
  client.open("file:///project/.env", "TOKEN=\n", "shellscript");
  CHECK(refusal(client, "file:///project/.env", 0, 6) == "ignored");
  CHECK(client.engine().requests().empty());
}

TEST_CASE("files that rules ignore are neither completed nor used as context") {
  SessionOptions options{.script = always("x")};
  options.settings.ignore = {"*.gen.py", "vendor"};
  SessionClient client(options);
  client.start();
  for (const std::string path : {"a.gen.py", "vendor/deep/b.py", "out/c.py"}) {
    const std::string uri = "file:///project/" + path;
    client.open(uri, "def helper(secret_argument):\n    return 1\n");
    CHECK(refusal(client, uri, 1, 12) == "ignored");
  }
  CHECK(client.engine().requests().empty());
  client.open(kProjectUri, "x = helper()\ny = \n");
  client.complete(kProjectUri, 1, 4);
  CHECK(prompt_of(client.engine().requests().at(0)).find("secret_argument") == std::string::npos);
}

TEST_CASE("definitions from open files stand in front of the prompt") {
  SessionClient client({.script = always("x")});
  client.start();
  const std::string other = "file:///project/helpers.py";
  client.open(other, "def helper(special_argument):\n    return 1\n");
  client.complete(other, 1, 12);  // it has been parsed for certain when this is answered
  client.open(kProjectUri, "x = helper()\ny = \n");
  client.complete(kProjectUri, 1, 4);
  const std::string prompt = prompt_of(client.engine().requests().at(1));
  CHECK(prompt.find("# helpers.py\ndef helper(special_argument)") != std::string::npos);
}

TEST_CASE("nothing is suggested by itself in the middle of a word") {
  SessionClient client({.script = always("x")});
  client.start();
  client.open(kProjectUri, "value = other\n");
  CHECK(refusal(client, kProjectUri, 0, 10) == "word");
  CHECK(client.engine().requests().empty());
}

TEST_CASE("control tokens of the model never reach the text") {
  SessionClient client({.script = always("foo<｜fim▁end｜>bar")});
  client.start();
  client.open(kProjectUri, "x = \n");
  CHECK(client.complete(kProjectUri, 0, 4)[0]["insertText"] == "foo");
}

// caretd/chat over the wire: streaming, conversations, context, cancel.

#include <algorithm>

#include "tests/helpers/catch.h"
#include "tests/lsp/session/session_client.h"

using namespace caretd;
using namespace caretd::test;
using engine::EngineState;

namespace {

const std::string kProjectUri = "file:///project/a.py";

Json chat_params(const std::string& message) {
  return {{"message", message}, {"partialResultToken", "t"}};
}

Json next_value(SessionClient& client) {
  return client.notification("$/progress").at("value");
}

std::string error_of(SessionClient& client, Json params) {
  return client.request("caretd/chat", std::move(params)).at("error").at("message");
}

}  // namespace

TEST_CASE("a reply streams as partial results and is answered whole") {
  SessionClient client({.script = always(" Use a list, please.")});
  client.start();
  const int id = client.send_request("caretd/chat", chat_params("How?"));
  const Json opening = next_value(client);
  CHECK(opening["conversationId"] == "chat-1-1");
  CHECK(opening["promptTokens"].get<int>() > 3);
  CHECK(opening["messagesLeftOut"] == 0);
  const Json result = client.response(id).at("result");
  std::string streamed;
  while (const auto piece = client.transport().find(
             [](const Json& message) { return message.value("method", "") == "$/progress"; })) {
    streamed += piece->at("params").at("value").at("content").get<std::string>();
  }
  CHECK(streamed == "Use a list, please.");
  CHECK(result["content"] == streamed);
  CHECK(result["finishReason"] == "end");
  CHECK(prompt_of(client.engine().requests()[0]) == "<begin_of_sentence>User: How?\n\nAssistant:");
  CHECK(client.engine().requests()[0].priority == engine::Priority::chat);
}

TEST_CASE("the first piece is told in the step that made it; cancel ends within one step") {
  SessionClient client({.script = always(" one two three four"), .paused = true});
  client.start();
  const int id = client.send_request("caretd/chat", chat_params("Count."));
  const std::string conversation = next_value(client)["conversationId"];
  REQUIRE(client.engine().wait_for_requests(1));
  client.engine().step();
  CHECK(next_value(client)["content"] == "one");
  client.notify("$/cancelRequest", {{"id", id}});
  client.sync();
  client.engine().step();
  CHECK(client.response(id).at("error").at("code") == -32800);
  CHECK(client.engine().statistics().running == 0);

  // What had come stays in the conversation.
  client.engine().set_script(always(" five"));
  client.engine().resume();
  Json more = chat_params("Go on.");
  more["conversationId"] = conversation;
  CHECK(client.request("caretd/chat", more)["result"]["content"] == "five");
  const std::string prompt = prompt_of(client.engine().requests()[1]);
  CHECK(prompt.find("User: Count.\n\nAssistant:") != std::string::npos);
  CHECK(prompt.find("User: Go on.\n\nAssistant:") != std::string::npos);
}

TEST_CASE("a question that was cancelled before its reply began is taken back") {
  SessionClient client({.script = always(" x"), .state = EngineState::starting});
  client.start();
  const int id = client.send_request("caretd/chat", chat_params("Too early"));
  client.sync();
  client.notify("$/cancelRequest", {{"id", id}});
  CHECK(client.response(id).at("error").at("code") == -32800);
  CHECK(client.engine().requests().empty());
  CHECK(error_of(client, {{"conversationId", "chat-1-1"}, {"message", "?"}})
            .find("no conversation") != std::string::npos);
}

TEST_CASE("a question waits for the model that loads") {
  SessionClient client({.script = always(" Hello"), .state = EngineState::starting});
  client.start();
  const int id = client.send_request("caretd/chat", chat_params("Hi"));
  client.sync();
  client.engine().set_status({EngineState::ready, 100, false, ""});
  CHECK(client.response(id).at("result").at("content") == "Hello");
}

TEST_CASE("turns follow each other in one conversation with one cache owner; close lets it go") {
  SessionClient client({.script = always(" Yes.")});
  client.start();
  const Json first = client.request("caretd/chat", chat_params("One?"))["result"];
  Json params = chat_params("Two?");
  params["conversationId"] = first["conversationId"];
  client.request("caretd/chat", params);
  const auto requests = client.engine().requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].owner == requests[1].owner);
  CHECK(requests[0].owner != engine::kNoOwner);
  CHECK(prompt_of(requests[1]).starts_with(prompt_of(requests[0])));
  CHECK(prompt_of(requests[1]).ends_with("<end_of_sentence>User: Two?\n\nAssistant:"));

  client.notify("caretd/closeChat", {{"conversationId", first["conversationId"]}});
  CHECK(error_of(client, params).find("no conversation") != std::string::npos);
  CHECK(client.engine().released() == std::vector{requests[0].owner});
}

TEST_CASE("regenerate answers the last question once more, differently") {
  SessionClient client({.script = always(" First.")});
  client.start();
  const Json first = client.request("caretd/chat", chat_params("One?"))["result"];
  client.engine().set_script(always(" Second."));
  const Json again = {{"conversationId", first["conversationId"]}, {"regenerate", true}};
  CHECK(client.request("caretd/chat", again)["result"]["content"] == "Second.");
  const auto requests = client.engine().requests();
  CHECK(prompt_of(requests[0]) == prompt_of(requests[1]));
  CHECK(requests[0].sampling.seed != requests[1].sampling.seed);
  CHECK(requests[1].sampling.temperature > 0.5F);
  CHECK(error_of(client, {{"regenerate", true}}).find("no reply") != std::string::npos);
}

TEST_CASE("a second question while the first is answered is refused") {
  SessionClient client({.script = always(" slow"), .paused = true});
  client.start();
  const int id = client.send_request("caretd/chat", chat_params("One?"));
  Json second = chat_params("Two?");
  second["conversationId"] = next_value(client)["conversationId"];
  CHECK(error_of(client, second).find("still waiting") != std::string::npos);
  client.engine().resume();
  CHECK(client.response(id).contains("result"));
}

TEST_CASE("context goes in front of the question, fenced, with its tokens") {
  SessionClient client({.script = always(" ok")});
  client.start();
  client.open(kProjectUri, "import os\n\n\ndef f(x):\n    return x\n");
  Json params = chat_params("What is this?");
  params["context"] = Json::array(
      {{{"kind", "selection"},
        {"textDocument", {{"uri", kProjectUri}}},
        {"range",
         {{"start", {{"line", 3}, {"character", 0}}}, {"end", {{"line", 5}, {"character", 0}}}}}},
       {{"kind", "diagnostics"},
        {"textDocument", {{"uri", kProjectUri}}},
        {"diagnostics", Json::array({{{"range",
                                       {{"start", {{"line", 0}, {"character", 7}}},
                                        {"end", {{"line", 0}, {"character", 9}}}}},
                                      {"message", "'os' is unused"},
                                      {"source", "pyflakes"}}})}},
       {{"kind", "file"}, {"textDocument", {{"uri", "file:///project/not-open.py"}}}}});
  const int id = client.send_request("caretd/chat", params);
  const Json opening = next_value(client);
  REQUIRE(opening["context"].size() == 3);
  CHECK(opening["context"][0]["kind"] == "selection");
  CHECK(opening["context"][0]["tokens"].get<int>() > 5);
  CHECK(opening["context"][0]["tokens"] == opening["context"][0]["totalTokens"]);
  CHECK_FALSE(opening["context"][0].contains("leftOut"));
  CHECK(opening["context"][2]["leftOut"] == "notOpen");
  client.response(id);
  CHECK(prompt_of(client.engine().requests()[0]) ==
        "<begin_of_sentence>User: a.py, from line 4:\n```python\ndef f(x):\n    return x\n```\n\n"
        "Diagnostics of a.py:\nline 1: 'os' is unused (pyflakes)\n\n"
        "What is this?\n\nAssistant:");
}

TEST_CASE("context that is too long is cut at a line, and the answer says so") {
  SessionClient client({.script = always(" ok")});
  client.start();
  std::string text;
  for (int i = 0; i < 2000; ++i)
    text += "value_" + std::to_string(i) + " = compute(" + std::to_string(i) + ")\n";
  client.open(kProjectUri, text);
  client.open("file:///project/b.py", "y = 2\n");
  Json params = chat_params("Why?");
  params["context"] = Json::array({{{"kind", "openFiles"}}});
  const int id = client.send_request("caretd/chat", params);
  const Json context = next_value(client).at("context");
  REQUIRE(context.size() == 2);
  CHECK(context[0]["leftOut"] == "cut");
  CHECK(context[0]["tokens"].get<int>() < context[0]["totalTokens"].get<int>());
  CHECK(context[0]["tokens"].get<int>() > 500);
  client.response(id);
  const std::string prompt = prompt_of(client.engine().requests()[0]);
  CHECK(prompt.find("value_0 = compute(0)\n") != std::string::npos);
  CHECK(prompt.find(")\n```\n") != std::string::npos);
  CHECK(prompt.find("Why?") != std::string::npos);
}

TEST_CASE("secrets are redacted and secret files left out") {
  SessionClient client({.script = always(" ok")});
  client.start();
  client.open(kProjectUri, "api_key = \"sk_live_4eC39HqLyjWDarjtT1zdp7dc\"\n");
  client.open("file:///project/.env", "X=1\n", "plaintext");
  Json params = chat_params("Why?");
  params["context"] = Json::array({{{"kind", "openFiles"}}});
  const int id = client.send_request("caretd/chat", params);
  const Json context = next_value(client).at("context");
  client.response(id);
  const auto env = std::find_if(context.begin(), context.end(), [](const Json& entry) {
    return entry["uri"] == "file:///project/.env";
  });
  REQUIRE(env != context.end());
  CHECK((*env)["leftOut"] == "ignored");
  const std::string prompt = prompt_of(client.engine().requests()[0]);
  CHECK(prompt.find("4eC39") == std::string::npos);
  CHECK(prompt.find("REDACTED") != std::string::npos);
  CHECK(prompt.find("X=1") == std::string::npos);
}

TEST_CASE("long conversations lose whole turns, the oldest first, and say how many messages") {
  SessionClient client({.script = always(" I see.")});
  client.start();
  Json params = chat_params("Start " + std::string(2000, 'x') + "?");
  params["system"] = "Be brief.";
  Json last;
  for (int turn = 0; turn < 12; ++turn) {
    last = client.request("caretd/chat", params)["result"];
    params["conversationId"] = last["conversationId"];
    params["message"] = "Question " + std::to_string(turn) + " " + std::string(600, '!' + turn);
  }
  CHECK(last["messagesLeftOut"].get<int>() > 0);
  const std::string prompt = prompt_of(client.engine().requests().back());
  CHECK(prompt.starts_with("<begin_of_sentence>Be brief.\n\n"));
  CHECK(prompt.find("Start") == std::string::npos);
  CHECK(prompt.find("Question 10 ") != std::string::npos);
}

TEST_CASE(
    "params that do not fit, models that cannot chat and engines that failed get a sentence") {
  SessionClient client({.script = always(" x")});
  client.start();
  CHECK(error_of(client, {{"message", ""}}).find("message: expected a question") == 0);
  CHECK(error_of(client, {{"message", "x"}, {"maxTokens", 0}}).find("maxTokens") == 0);
  CHECK(error_of(client, {{"message", "x"}, {"temperature", 3}}).find("temperature") == 0);
  CHECK(error_of(client, {{"message", "x"}, {"context", Json::array({{{"kind", "web"}}})}})
            .find("context[0].kind") == 0);
  CHECK(error_of(client, {{"message", std::string(40000, 'q')}}).find("shorten it") !=
        std::string::npos);
  client.engine().set_status({EngineState::failed, 0, false, "The model folder is missing."});
  CHECK(error_of(client, {{"message", "x"}}) == "The model folder is missing.");
}

TEST_CASE("a model that chats badly is named with each reply, and the one to load instead") {
  const auto notice_of = [](const engine::ModelInfo& model) {
    SessionClient client({.script = always(" x"), .model = model});
    client.start();
    return client.request("caretd/chat", chat_params("?"))["result"].value("notice", "");
  };
  engine::ModelInfo model = FakeEngineOptions{}.model;
  CHECK(notice_of(model).empty());
  model.name = "DeepSeek-Coder-V2-Lite-Instruct";
  CHECK(notice_of(model).empty());
  model.name = "DeepSeek-Coder-V2-Lite-Base";
  CHECK(notice_of(model) ==
        "'DeepSeek-Coder-V2-Lite-Base' is a base model, which completes and was not taught to "
        "chat; set chat.model to the folder of DeepSeek-Coder-V2-Lite-Instruct.");
  model.name = "small";
  model.weight_bytes = 30 << 20;
  CHECK(notice_of(model).find("'small' is a tiny model") == 0);
}

TEST_CASE("one model completes and another chats, each told of by its name") {
  FakeEngineOptions options;
  options.tokenizer = tiny_tokenizer();
  options.model.name = "talker";
  options.state = EngineState::starting;
  const auto talker = std::make_shared<FakeEngine>(always(" Hello"), options);
  SessionClient client({.script = always("42"), .chat_engine = talker});
  client.set_chat({.max_tokens = 77, .temperature = 0.5F});
  client.start({{"window", {{"workDoneProgress", true}}}});
  CHECK_FALSE(client.notification("caretd/status").contains("chatModel"));
  client.serve("window/workDoneProgress/create", nullptr);
  CHECK(next_value(client)["title"] == "caretd: loading the chat model");
  const int id = client.send_request("caretd/chat", {{"message", "Hi"}});
  client.open(kProjectUri, "x = ");
  CHECK(client.complete(kProjectUri, 0, 4)[0]["insertText"] == "42");
  talker->set_status({EngineState::ready, 100, false, ""});
  CHECK(client.response(id)["result"]["content"] == "Hello");
  CHECK(client.request("caretd/status", nullptr)["result"]["chatModel"] == "talker");
  REQUIRE(talker->requests().size() == 1);
  CHECK(talker->requests()[0].max_tokens == 77);
  CHECK(talker->requests()[0].sampling.temperature == 0.5F);
  CHECK(client.engine().requests().size() == 1);
  client.request("workspace/executeCommand", {{"command", "caretd.clearCache"}});
  CHECK(talker->cache_clears() == 1);
  talker->set_status({EngineState::failed, 0, false, "The folder is missing."});
  CHECK(client.notification("window/showMessage")["message"] ==
        "caretd cannot chat: The folder is missing.");
  CHECK(error_of(client, {{"message", "x"}}) == "The folder is missing.");
}

TEST_CASE("an endless reply ends at the limit and says so") {
  SessionClient client({.script = [](const engine::GenerationRequest& request) {
    std::string text;
    for (int i = 0; i < request.max_tokens + 100; ++i) text += " on";
    return answer(text);
  }});
  client.start();
  Json params = chat_params("?");
  params["maxTokens"] = 50;
  const Json result = client.request("caretd/chat", params)["result"];
  CHECK(result["finishReason"] == "maxTokens");
  CHECK(result["usage"]["generatedTokens"] == 50);
}

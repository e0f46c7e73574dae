// The events that are put together without an object of JSON say what one would say.
#include <string>

#include "daemon/http/reply_format.h"
#include "lsp/protocol/json.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon::api {
namespace {

using lsp::Json;

Json parsed(const std::string& text) {
  const auto json = lsp::parse_json(text);
  REQUIRE(json);
  return *json;
}

const std::string kTexts[] = {
    "x", "", " \"quoted\" \\ {}\n\t", "\x01", "caf\xC3\xA9 \xF0\x9F\x98\x80", "{{}}{0}"};
const ReplyHead kHead{"id-1", "a \"model\" {}", 1700000000};

TEST_CASE("A piece of a chat as an event", "[api]") {
  const auto format = chat_format(kHead, {});
  for (const std::string& text : kTexts) {
    const Json event = parsed(format->piece(3, text, {}));
    CHECK(event == Json{{"id", "id-1"},
                        {"object", "chat.completion.chunk"},
                        {"created", 1700000000},
                        {"model", "a \"model\" {}"},
                        {"system_fingerprint", nullptr},
                        {"choices", Json::array({{{"index", 3},
                                                  {"delta", {{"content", text}}},
                                                  {"logprobs", nullptr},
                                                  {"finish_reason", nullptr}}})}});
  }
}

TEST_CASE("A piece of a completion as an event", "[api]") {
  CompletionFields fields;
  fields.common.include_usage = true;
  const auto format = completion_format(kHead, fields);
  for (const std::string& text : kTexts) {
    const Json event = parsed(format->piece(0, text, {}));
    CHECK(event["object"] == "text_completion");
    CHECK(event["usage"].is_null());
    CHECK(event["choices"] ==
          Json::array(
              {{{"index", 0}, {"text", text}, {"logprobs", nullptr}, {"finish_reason", nullptr}}}));
  }
}

TEST_CASE("A piece with log-probabilities keeps them", "[api]") {
  ChatFields fields;
  fields.logprobs = true;
  const ReplyToken token{"x", -0.5F, true, 0, {{"y", -1.5F}}};
  const Json event = parsed(chat_format(kHead, fields)->piece(0, "x", {&token, 1}));
  const Json& choice = event["choices"][0];
  CHECK(choice["delta"]["content"] == "x");
  CHECK(choice["logprobs"]["content"][0]["top_logprobs"][0]["token"] == "y");
}

TEST_CASE("Bytes that are no UTF-8 become U+FFFD in an event", "[api]") {
  const Json event = parsed(chat_format(kHead, {})->piece(0, "a\xFF", {}));
  CHECK(event["choices"][0]["delta"]["content"] == "a\xEF\xBF\xBD");
}

}  // namespace
}  // namespace caretd::daemon::api

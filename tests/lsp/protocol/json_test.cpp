#include "lsp/protocol/json.h"

#include <random>
#include <string>

#include "lsp/protocol/json_reader.h"
#include "lsp/protocol/message.h"
#include "lsp/protocol/types.h"
#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

TEST_CASE("half a surrogate pair and invalid bytes become U+FFFD") {
  CHECK(parse_json(R"("\ud83d\ude00")").value() == "\U0001F600");
  CHECK(parse_json(R"("a\ud83d")").value() == "a\uFFFD");
  CHECK(parse_json(R"("\ude00\ud83db")").value() == "\uFFFD\uFFFDb");
  CHECK(parse_json(R"("\ud83d\ud83d\ude00")").value() == "\uFFFD\U0001F600");
  CHECK(parse_json(R"("\\ud83d")").value() == "\\ud83d");
  CHECK(parse_json(R"("\\\ud83d")").value() == "\\\uFFFD");
  CHECK(parse_json("\"\xff\"").value() == "\uFFFD");
}

TEST_CASE("nesting has a limit that brackets inside strings do not count for") {
  CHECK(parse_json(std::string(100, '[') + std::string(100, ']')).has_value());
  CHECK_FALSE(parse_json(std::string(1'000'000, '[')).has_value());
  CHECK_FALSE(parse_json(std::string(129, '[') + std::string(129, ']')).has_value());
  std::string in_string = "\"";
  in_string.append(1000, '[');
  in_string += "\\\"[\"";
  CHECK(parse_json(in_string).has_value());
}

TEST_CASE("a mismatch is named by its path") {
  const auto change = [](const char* text) {
    return read_json<DidChangeParams>(parse_json(text).value());
  };
  CHECK(change(R"({"textDocument":{"uri":"a","version":1},
                   "contentChanges":[{"text":"x"},{"range":{"start":{"line":-1,"character":0},
                   "end":{"line":0,"character":0}},"text":"y"}]})")
            .error()
            .message == "contentChanges[1].range.start.line: expected a whole number in range");
  CHECK(change(R"({"textDocument":{"uri":1}})").error().message ==
        "textDocument.uri: expected a string");
  CHECK(change("[]").error().message == "the value: expected an object");
}

TEST_CASE("whole numbers may be written as floats, others not") {
  CHECK(read_json<std::uint32_t>(Json(3.0)).value() == 3);
  CHECK_FALSE(read_json<std::uint32_t>(Json(3.5)).has_value());
  CHECK_FALSE(read_json<std::uint32_t>(Json(-1)).has_value());
  CHECK_FALSE(read_json<std::uint32_t>(Json(1e300)).has_value());
  CHECK_FALSE(read_json<int>(Json(5'000'000'000)).has_value());
  CHECK_FALSE(read_json<std::int64_t>(Json(18446744073709551615ULL)).has_value());
  CHECK(read_json<std::uint32_t>(Json(4294967295U)).value() == 4294967295U);
}

TEST_CASE("messages are told apart") {
  const auto of = [](const char* text) { return classify(parse_json(text).value()); };
  CHECK(std::holds_alternative<RequestMessage>(of(R"({"jsonrpc":"2.0","id":1,"method":"a"})")));
  CHECK(std::holds_alternative<RequestMessage>(
      of(R"({"jsonrpc":"2.0","id":"x","method":"a","params":null})")));
  CHECK(std::holds_alternative<NotificationMessage>(
      of(R"({"jsonrpc":"2.0","method":"a","params":[1]})")));
  CHECK(std::holds_alternative<ResponseMessage>(of(R"({"jsonrpc":"2.0","id":1,"result":null})")));
  const auto failed = of(R"({"jsonrpc":"2.0","id":1,"error":{"code":-5,"message":"no"}})");
  CHECK(std::get<ResponseMessage>(failed).error->message == "no");
}

TEST_CASE("what is no message is an invalid request with the id where there is one") {
  const auto id_of = [](const char* text) {
    const Message message = classify(parse_json(text).value());
    REQUIRE(std::holds_alternative<InvalidMessage>(message));
    CHECK(std::get<InvalidMessage>(message).error.code == ErrorCode::invalid_request);
    return std::get<InvalidMessage>(message).id;
  };
  CHECK(id_of("[]").is_null());
  CHECK(id_of(R"([{"jsonrpc":"2.0","id":1,"method":"a"}])").is_null());
  CHECK(id_of("7").is_null());
  CHECK(id_of(R"({"id":4,"method":"a"})") == 4);
  CHECK(id_of(R"({"jsonrpc":"1.0","id":"q","method":"a"})") == "q");
  CHECK(id_of(R"({"jsonrpc":"2.0","id":5})") == 5);
  CHECK(id_of(R"({"jsonrpc":"2.0","id":5,"method":3})") == 5);
  CHECK(id_of(R"({"jsonrpc":"2.0","id":5,"method":"a","params":"x"})") == 5);
  CHECK(id_of(R"({"jsonrpc":"2.0","id":1.5,"method":"a"})").is_null());
  CHECK(id_of(R"({"jsonrpc":"2.0","id":null,"method":"a"})").is_null());
  CHECK(id_of(R"({"jsonrpc":"2.0","id":1,"error":7})").is_null());
}

TEST_CASE("mutated messages are refused or read, never more") {
  const std::string seed =
      R"({"jsonrpc":"2.0","id":1,"method":"textDocument/didChange","params":{"textDocument":)"
      R"({"uri":"file:///a","version":2},"position":{"line":1,"character":2},"contentChanges":)"
      R"([{"range":{"start":{"line":0,"character":1},"end":{"line":0,"character":2}},)"
      R"("text":"\ud83d\ude00"}],"capabilities":{"general":{"positionEncodings":["utf-8"]}}}})";
  std::mt19937 random(9);
  int readable = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seed;
    for (int i = 0; i < 3; ++i) {
      const std::size_t at = random() % text.size();
      if (random() % 3 == 0) {
        text.erase(at, 1 + random() % 4);
      } else if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.insert(at, seed.substr(random() % seed.size(), random() % 8));
      }
    }
    const Result<Json> json = parse_json(text);
    if (!json) continue;
    ++readable;
    const Message message = classify(*json);
    (void)to_string(*json);
    if (const auto* request = std::get_if<RequestMessage>(&message)) {
      (void)read_json<DidChangeParams>(request->params);
      (void)read_json<InlineCompletionParams>(request->params);
      (void)read_json<InitializeParams>(request->params);
    }
  }
  CHECK(readable > 100);
}

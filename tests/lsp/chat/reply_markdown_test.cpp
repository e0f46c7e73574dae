#include "lsp/features/chat/reply_markdown.h"

#include <random>

#include "lsp/features/chat/chat_context.h"
#include "tests/helpers/catch.h"

using namespace caretd::lsp;

TEST_CASE("fenced blocks are found with their language, in lists and quotes too") {
  const auto blocks = fenced_code(
      "Text\n\n```Python title=x\na = 1\n```\n\n1. one\n   ~~~~\n   b\n   ~~~\n   ~~~~\n\n> "
      "```go\n> "
      "c\n> ```\n\n    ```\n    indented\n    ```\n\nInline ```code``` here.\n");
  REQUIRE(blocks.size() == 3);
  CHECK(blocks[0].language == "python");
  CHECK(blocks[0].code == "a = 1\n");
  CHECK(blocks[1].language.empty());
  CHECK(blocks[1].code == "b\n~~~\n");
  CHECK(blocks[2].language == "go");
  CHECK(blocks[2].code == "c\n");
  for (const CodeBlock& block : blocks) CHECK(block.closed);
}

TEST_CASE("a fence that the text does not close is open") {
  CHECK_FALSE(fenced_code("```python\na = 1\n").at(0).closed);
  CHECK_FALSE(fenced_code("```python\na = 1").at(0).closed);
  CHECK_FALSE(fenced_code("```python\na = 1\n``").at(0).closed);
  CHECK_FALSE(fenced_code("````\na\n```\n").at(0).closed);
  CHECK_FALSE(fenced_code("```").at(0).closed);
  CHECK(fenced_code("```\n```").at(0).closed);
  CHECK(fenced_code("```\r\na\r\n```").at(0).closed);
  CHECK(fenced_code("").empty());
}

TEST_CASE("what is fenced comes out as it went in, whatever fences it holds") {
  for (const char* code : {"a\n", "```\nb\n```\n", "~~~~\n", "`````` x\n", "\n\n"}) {
    const auto blocks = fenced_code(fenced(code, "python"));
    REQUIRE(blocks.size() == 1);
    CHECK(blocks[0].code == code);
    CHECK(blocks[0].closed);
  }
}

TEST_CASE("any bytes are read without harm") {
  std::mt19937_64 random(11);
  const std::string alphabet = "`~ \t\n\r>-*#1.[]()<a\xC3\xA9\x80";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const std::size_t length = random() % 200;
    while (text.size() < length) text += alphabet[random() % alphabet.size()];
    for (const CodeBlock& block : fenced_code(text))
      CHECK(block.code.size() <= 3 * text.size() + 1);
  }
}

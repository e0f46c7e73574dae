#include "lsp/documents/token_buffer.h"

#include <random>

#include "tests/helpers/catch.h"
#include "tests/helpers/tiny_tokenizer.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::tiny_tokenizer;

namespace {

std::string sample() {
  std::string text;
  for (int i = 0; i < 40; ++i)
    text += "def f" + std::to_string(i) + "(a, b):\n    return a + 'é'\n\n";
  return text + "api_key = \"aB3dE6gH9jK2mN5pQ8sT\"\n";
}

}  // namespace

TEST_CASE("the ids of a document are those of its text without secrets, after any edits") {
  const auto tokenizer = tiny_tokenizer();
  REQUIRE(tokenizer->splits_at_newlines());
  DocumentStore documents(1);
  DocumentSnapshot document = documents.open("a.py", "python", 1, sample());
  TokenBufferPtr buffer = TokenBuffer::build(document, tokenizer, nullptr);
  std::mt19937 random(5);  // NOLINT: the same edits every time
  const std::string key_head = "-----BEGIN PRIVATE" + std::string(" KEY-----\n");
  const std::vector<std::string> pieces = {"x",
                                           "\n",
                                           "    y = 1\r\n",
                                           "",
                                           "password = 's3cr!tPw'\n",
                                           "é",
                                           "  ",
                                           key_head,
                                           "-----END PRIVATE KEY-----\n"};
  for (int i = 0; i < 150; ++i) {
    const auto line = static_cast<std::uint32_t>(random() % document->text.line_count());
    const auto column = static_cast<std::uint32_t>(random() % 8);
    const std::vector<ContentChange> changes = {
        {Range{{line, column}, {line + static_cast<std::uint32_t>(random() % 3), column}},
         pieces[random() % pieces.size()]},
        {Range{{0, 0}, {0, 0}}, pieces[random() % 3]}};
    document = *documents.change("a.py", i, changes, PositionEncoding::utf8);
    buffer = TokenBuffer::build(document, tokenizer, buffer.get());
    const std::string expected = redact(document->text.view());
    const std::size_t size = document->text.size();
    REQUIRE(buffer->text(0, size) == expected);
    REQUIRE(buffer->ids(0, size) == tokenizer->encode(expected));
    REQUIRE(buffer->count(0, size) == static_cast<int>(tokenizer->encode(expected).size()));
    const std::size_t begin = document->text.line_start(line % document->text.line_count());
    REQUIRE(tokenizer->decode(buffer->ids(begin, size)) == buffer->text(begin, size));
  }
}

TEST_CASE("only edited lines are encoded again") {
  const auto tokenizer = tiny_tokenizer();
  DocumentStore documents(1);
  const DocumentSnapshot first = documents.open("a.py", "python", 1, sample());
  TokenBuffers buffers;
  const TokenBufferPtr before = buffers.buffer_of(first, tokenizer);
  CHECK(buffers.buffer_of(first, tokenizer) == before);
  const std::vector<ContentChange> changes = {{Range{{30, 4}, {30, 4}}, "zz"}};
  const DocumentSnapshot second = *documents.change("a.py", 2, changes, PositionEncoding::utf8);
  const TokenBufferPtr after = buffers.buffer_of(second, tokenizer);
  CHECK(after != before);
  CHECK(after->count(0, second->text.size()) >= before->count(0, first->text.size()));
  CHECK(after->tokens(10) == before->tokens(10));
  CHECK(after->tokens(60) == before->tokens(60));
}

TEST_CASE("the buffers used last are kept within their budget") {
  const auto tokenizer = tiny_tokenizer();
  DocumentStore documents(1);
  const DocumentSnapshot first = documents.open("a.py", "python", 1, sample());
  const DocumentSnapshot second = documents.open("b.py", "python", 1, sample());
  const std::size_t bytes = TokenBuffer::build(first, tokenizer, nullptr)->bytes();
  CHECK(bytes > 2 * first->text.size());
  TokenBuffers buffers(bytes);
  const std::weak_ptr<const TokenBuffer> before = buffers.buffer_of(first, tokenizer);
  CHECK_FALSE(before.expired());
  const std::weak_ptr<const TokenBuffer> after = buffers.buffer_of(second, tokenizer);
  CHECK(before.expired());
  CHECK_FALSE(after.expired());
}

TEST_CASE("a secret is cut whole wherever the cut is") {
  DocumentStore documents(1);
  const std::string text = "a = 1\npassword = \"s3cr!tPw9\"\n";
  const DocumentSnapshot document = documents.open("a.py", "python", 1, text);
  const TokenBufferPtr buffer = TokenBuffer::build(document, tiny_tokenizer(), nullptr);
  const std::size_t secret = text.find("s3cr");
  CHECK(buffer->text(secret + 3, text.size()) == "REDACTED\"\n");
  CHECK(buffer->text(6, secret + 3) == "password = \"REDACTED");
  CHECK(buffer->touches_secret(secret + 3, secret + 3));
  CHECK(buffer->touches_secret(secret + 9, secret + 9));
  CHECK_FALSE(buffer->touches_secret(0, 5));
  CHECK_FALSE(buffer->touches_secret(text.size(), text.size()));
}

TEST_CASE("without a tokenizer tokens are estimated") {
  DocumentStore documents(1);
  const DocumentSnapshot document = documents.open("a.py", "python", 1, sample());
  const TokenBufferPtr buffer = TokenBuffer::build(document, nullptr, nullptr);
  CHECK_FALSE(buffer->exact());
  CHECK(buffer->count(0, document->text.size()) > static_cast<int>(document->text.size()) / 4);
  CHECK(buffer->text(0, 10) == document->text.view().substr(0, 10));
}

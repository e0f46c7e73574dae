#include "engine/text/utf8.h"
#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;

namespace {

/// The ids of single bytes, so that characters fall apart into tokens.
std::vector<TokenId> byte_ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) {
    const auto found = tiny_tokenizer().encode(std::string(1, c));
    REQUIRE(found.size() == 1);
    ids.push_back(found.front());
  }
  return ids;
}

std::string streamed(const std::vector<TokenId>& ids) {
  StreamingDetokenizer detokenizer(tiny_tokenizer());
  std::string text;
  for (const TokenId id : ids) {
    const std::string piece = detokenizer.push(id);
    CHECK(well_formed_prefix(piece) == piece.size());
    text += piece;
  }
  return text + detokenizer.finish();
}

}  // namespace

TEST_CASE("a character comes out whole however its bytes are split over tokens") {
  const std::string text = "aé数🚀𐐀ü\nz";
  CHECK(streamed(byte_ids(text)) == text);
  CHECK(streamed(tiny_tokenizer().encode(text)) == text);
  // Every way to cut the text in two encodes the parts differently.
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    auto ids = tiny_tokenizer().encode(text.substr(0, cut));
    const auto rest = tiny_tokenizer().encode(text.substr(cut));
    ids.insert(ids.end(), rest.begin(), rest.end());
    CHECK(streamed(ids) == text);
  }
}

TEST_CASE("text is not held back longer than its character needs") {
  StreamingDetokenizer detokenizer(tiny_tokenizer());
  const auto ids = byte_ids("é!");
  CHECK(detokenizer.push(ids[0]).empty());
  CHECK(detokenizer.push(ids[1]) == "é");
  CHECK(detokenizer.push(ids[2]) == "!");
  CHECK(detokenizer.finish().empty());
}

TEST_CASE("bytes that cannot become a character are replaced at once") {
  const auto replaced = [](std::string_view bytes) { return streamed(byte_ids(bytes)); };
  CHECK(replaced("a\xFF"
                 "b") == "a\uFFFDb");
  CHECK(replaced("\xE6\x95"
                 "b") == "\uFFFDb");  // a character that is never finished
  CHECK(replaced("\xE6\x95\xF0\x9F\x9A\x80") == "\uFFFD🚀");
  CHECK(replaced("\xC0\xAF") == "\uFFFD\uFFFD");            // overlong
  CHECK(replaced("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");  // a surrogate
  CHECK(replaced("\xF0\x9F") == "\uFFFD");                  // unfinished at the end
  StreamingDetokenizer detokenizer(tiny_tokenizer());
  CHECK(detokenizer.push(byte_ids("\x80").front()) == "\uFFFD");
}

TEST_CASE("control tokens and padding rows write nothing") {
  StreamingDetokenizer detokenizer(tiny_tokenizer());
  const auto ids = byte_ids("é");
  CHECK(detokenizer.push(ids[0]).empty());
  CHECK(detokenizer.push(*tiny_tokenizer().control(ControlToken::end_of_sentence)).empty());
  CHECK(detokenizer.push(12287).empty());
  CHECK(detokenizer.push(ids[1]) == "é");
}

TEST_CASE("streams of random bytes are well-formed and keep what is well-formed in them") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 500; ++i) {
    const std::string bytes = random_bytes(random, 20);
    const std::string text = streamed(byte_ids(bytes));
    CHECK(well_formed_prefix(text) == text.size());
    if (well_formed_prefix(bytes) == bytes.size()) CHECK(text == bytes);
  }
}

#include "lsp/documents/text.h"

#include <random>
#include <string>

#include "tests/helpers/catch.h"
#include "tests/lsp/documents/reference_model.h"

using namespace caretd;
using namespace caretd::lsp;

TEST_CASE("lines end at LF, CRLF and a lone CR") {
  const Text text("a\nb\r\nc\rd\r\n");
  REQUIRE(text.line_count() == 5);
  CHECK(text.line(0) == "a");
  CHECK(text.line(1) == "b");
  CHECK(text.line(2) == "c");
  CHECK(text.line(3) == "d");
  CHECK(text.line(4).empty());
  CHECK(Text("").line_count() == 1);
  CHECK(Text("\r").line_count() == 2);
  CHECK(Text("\r\n").line_count() == 2);
  CHECK(Text("\n\r").line_count() == 3);
}

TEST_CASE("an edit between CR and LF keeps the line index right") {
  Text text("a\r\nb");
  text.replace(2, 2, "x");
  CHECK(text.line_starts() == Text("a\rx\nb").line_starts());
  text.replace(2, 3, "");
  CHECK(text.line_starts() == Text("a\r\nb").line_starts());
  text.replace(1, 2, "");
  CHECK(text.line_starts() == Text("a\nb").line_starts());
  text.replace(1, 1, "\r");
  CHECK(text.line_starts() == Text("a\r\nb").line_starts());
}

TEST_CASE("positions count code units of the negotiated encoding") {
  const Text text("x\U0001F600y\u00E9z");
  const std::size_t at_y = 5;
  CHECK(text.position_at(at_y, PositionEncoding::utf8) == Position{0, 5});
  CHECK(text.position_at(at_y, PositionEncoding::utf16) == Position{0, 3});
  CHECK(text.position_at(at_y, PositionEncoding::utf32) == Position{0, 2});
  CHECK(text.offset_at({0, 5}, PositionEncoding::utf8) == at_y);
  CHECK(text.offset_at({0, 3}, PositionEncoding::utf16) == at_y);
  CHECK(text.offset_at({0, 2}, PositionEncoding::utf32) == at_y);
}

TEST_CASE("a position inside a character is where the character begins") {
  const Text text("x\U0001F600y");
  CHECK(text.offset_at({0, 2}, PositionEncoding::utf16) == 1);
  CHECK(text.offset_at({0, 2}, PositionEncoding::utf8) == 1);
  CHECK(text.offset_at({0, 4}, PositionEncoding::utf8) == 1);
}

TEST_CASE("positions beyond a line or the text are clamped") {
  const Text text("ab\r\ncd");
  for (const auto encoding :
       {PositionEncoding::utf8, PositionEncoding::utf16, PositionEncoding::utf32}) {
    CHECK(text.offset_at({0, 99}, encoding) == 2);
    CHECK(text.offset_at({1, 4294967295U}, encoding) == 6);
    CHECK(text.offset_at({2, 0}, encoding) == 6);
    CHECK(text.offset_at({4294967295U, 4294967295U}, encoding) == 6);
    CHECK(text.position_at(3, encoding) == Position{0, 2});
    CHECK(text.position_at(99, encoding) == Position{1, 2});
  }
}

TEST_CASE("position conversion of random text equals the naive model") {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const test::ReferenceText reference(test::random_text(random, 60));
    const Text text(reference.utf8());
    for (int probe = 0; probe < 40; ++probe) {
      const auto lines = static_cast<std::uint32_t>(text.line_count());
      const Position position = test::random_position(random, lines);
      for (const auto encoding :
           {PositionEncoding::utf8, PositionEncoding::utf16, PositionEncoding::utf32}) {
        const std::size_t index = reference.index_at(position, encoding);
        const std::size_t offset = text.offset_at(position, encoding);
        REQUIRE(offset == test::to_utf8(reference.code_points().substr(0, index)).size());
        REQUIRE(text.offset_at(text.position_at(offset, encoding), encoding) == offset);
      }
    }
  }
}

TEST_CASE("arbitrary bytes are never read beyond their end") {
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 12, '\0');
    for (char& byte : bytes)
      byte = static_cast<char>(random() % 3 == 0 ? 0xF0 + random() % 8 : random());
    const Text text(bytes);
    for (const auto encoding :
         {PositionEncoding::utf8, PositionEncoding::utf16, PositionEncoding::utf32}) {
      const std::size_t offset = text.offset_at(test::random_position(random, 3), encoding);
      REQUIRE(offset <= bytes.size());
      REQUIRE(text.offset_at(text.position_at(offset, encoding), encoding) == offset);
    }
  }
}

TEST_CASE("well-formed UTF-8 is told from the rest") {
  CHECK(is_valid_utf8("a\u00E9\u20AC\U0001F600"));
  CHECK_FALSE(is_valid_utf8("\xC0\x80"));          // overlong
  CHECK_FALSE(is_valid_utf8("\xED\xA0\x80"));      // a surrogate
  CHECK_FALSE(is_valid_utf8("\xF4\x90\x80\x80"));  // above U+10FFFF
  CHECK_FALSE(is_valid_utf8("\xE2\x82"));          // cut short
  CHECK_FALSE(is_valid_utf8("\x80"));
}

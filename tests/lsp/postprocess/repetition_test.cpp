#include "lsp/postprocess/repetition.h"

#include <string>

#include "tests/helpers/catch.h"

using caretd::lsp::begin_of_repetition;

TEST_CASE("text that repeats itself is cut behind the first time") {
  CHECK(begin_of_repetition(std::string(40, '~')) == 1U);
  const std::string start = "\"TO\" + \"DO\"";
  std::string text = start;
  for (int i = 0; i < 5; ++i) text += " + \"WHATWG\"";
  CHECK(begin_of_repetition(text) == start.size() + std::string(" + \"WHATWG\"").size());
}

TEST_CASE("rulers, tables and code that varies are no repetition") {
  CHECK_FALSE(begin_of_repetition(""));
  CHECK_FALSE(begin_of_repetition("# " + std::string(30, '-')));
  CHECK_FALSE(begin_of_repetition("{0, 0, 0, 0, 0, 0, 0, 0}"));
  CHECK_FALSE(begin_of_repetition("a.b(1); a.b(2); a.b(3); a.b(4); a.b(5); a.b(6); a.b(7);"));
  const std::string line = "result.push_back(value_of_the_first);\n";
  CHECK_FALSE(begin_of_repetition(line + line + line));
}

TEST_CASE("indentation is no repetition, white space without end is") {
  CHECK_FALSE(begin_of_repetition("f(a,\n" + std::string(90, ' ')));
  CHECK_FALSE(begin_of_repetition("f(a,\n" + std::string(45, '\t')));
  CHECK(begin_of_repetition("f(a,\n" + std::string(200, ' ')));
}

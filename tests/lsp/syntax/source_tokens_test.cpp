#include "lsp/syntax/source_tokens.h"

#include <string>

#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

// The tokens one a word: brackets as themselves, s for a string, c for a comment, w and p else.
std::string summary(std::string_view language_id, std::string_view source, bool with_tree,
                    std::size_t begin = 0, std::size_t end = std::string::npos) {
  const ManualClock clock;  // no parse takes too long
  const Language& language = find_language(language_id);
  const SyntaxTreePtr tree = with_tree ? parse(language, source, {}, clock) : nullptr;
  std::string result;
  for (const SourceToken& token :
       source_tokens(tree.get(), language, source, begin, std::min(end, source.size()))) {
    switch (token.cls) {
      case TokenClass::word:
        result += 'w';
        break;
      case TokenClass::string:
        result += 's';
        break;
      case TokenClass::comment:
        result += 'c';
        break;
      case TokenClass::punctuation:
        result += 'p';
        break;
      default:
        result += source[token.begin];
    }
  }
  return result;
}

}  // namespace

TEST_CASE("brackets in strings and comments are none") {
  for (const bool with_tree : {true, false}) {
    CHECK(summary("python", "f(')', x)  # (\n", with_tree) == "w(spw)c");
    CHECK(summary("javascript", "f(\"}\", [x]); // {\n", with_tree) == "w(sp[w])pc");
    CHECK(summary("c", "g('(', /* ) */ 1);\n", with_tree) == "w(spcw)p");
  }
}

TEST_CASE("tokens of several brackets are taken apart") {
  CHECK(summary("shellscript", "echo $((1 + 2))\n", true) == "wp((wpw))");
  const std::string tokens = summary("javascript", "a = `${b}`; c = {d: [e]};\n", true);
  CHECK(tokens == "wpspwp{wp[w]}p");
}

TEST_CASE("broken code still has its brackets") {
  CHECK(summary("python", "def f(a, b", true) == "ww(wpw");
  CHECK(summary("javascript", "if (x) { foo(", true) == "w(w){w(");
  CHECK(summary("go", "package p\nfunc f() { if a[1", true) == "wwww(){ww[w");
}

TEST_CASE("only the tokens of the range are listed") {
  const std::string_view source = "a(1)\nb(2)\nc(3)\n";
  CHECK(summary("python", source, true, 5, 9) == "w(w)");
  CHECK(summary("python", source, false, 5, 9) == "w(w)");
}

TEST_CASE("an apostrophe is no quote in plain text") {
  CHECK(summary("plaintext", "don't (do) it", false) == "wpw(w)w");
}

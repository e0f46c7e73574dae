#include "lsp/syntax/language.h"

#include <set>
#include <string>
#include <vector>

#include <tree_sitter/api.h>

#include "lsp/syntax/syntax_tree.h"
#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

struct Sample {
  std::string_view language_id;
  std::string_view source;
};

// One valid file a grammar, so that a grammar that cannot be loaded or is mixed up shows.
const std::vector<Sample> kSamples = {
    {"shellscript", "for f in *.txt; do\n  echo \"$f\"\ndone\n"},
    {"c", "int add(int a, int b) { return a + b; }\n"},
    {"csharp", "class A { int F() { return 1; } }\n"},
    {"cpp", "template <class T> T f(T x) { return x + 1; }\n"},
    {"css", "a { color: red; }\n"},
    {"go", "package p\n\nfunc f() int { return 1 }\n"},
    {"html", "<p class=\"a\">text</p>\n"},
    {"java", "class A { int f() { return 1; } }\n"},
    {"javascript", "const f = (x) => x + 1;\n"},
    {"json", "{\"a\": [1, 2]}\n"},
    {"kotlin", "fun f(x: Int): Int {\n    return x + 1\n}\n"},
    {"lua", "local function f(x)\n  return x + 1\nend\n"},
    {"php", "<?php\nfunction f($x) { return $x + 1; }\n"},
    {"python", "def f(x):\n    return x + 1\n"},
    {"ruby", "def f(x)\n  x + 1\nend\n"},
    {"rust", "fn f(x: i32) -> i32 { x + 1 }\n"},
    {"scala", "object A { def f(x: Int): Int = x + 1 }\n"},
    {"swift", "func f(x: Int) -> Int {\n    return x + 1\n}\n"},
    {"typescriptreact", "const a = <p>{f(1)}</p>;\n"},
    {"typescript", "function f(x: number): number { return x + 1; }\n"},
    {"yaml", "a:\n  - 1\n  - b: 2\n"},
};

}  // namespace

TEST_CASE("every grammar is loaded by the core and parses its language") {
  const ManualClock clock;  // no parse takes too long
  REQUIRE(kSamples.size() == grammar_languages().size());
  for (const Sample& sample : kSamples) {
    const Language& language = find_language(sample.language_id);
    INFO(sample.language_id);
    CHECK(language.id == sample.language_id);
    const SyntaxTreePtr tree = parse(language, sample.source, {}, clock);
    REQUIRE(tree);
    CHECK_FALSE(ts_node_has_error(tree->root()));
    CHECK(is_block(tree->root(), language));
  }
}

TEST_CASE("the node kinds in the table exist in their grammars") {
  for (const Language& language : grammar_languages()) {
    for (const std::string_view kind : language.block_kinds) {
      INFO(language.id << " " << kind);
      CHECK(ts_language_symbol_for_name(language.grammar(), kind.data(),
                                        static_cast<std::uint32_t>(kind.size()), true) != 0);
    }
  }
}

TEST_CASE("the definition queries compile") {
  for (const Language& language : grammar_languages()) {
    if (language.definitions_query.empty()) continue;
    INFO(language.id);
    std::uint32_t offset = 0;
    TSQueryError error = TSQueryErrorNone;
    TSQuery* query = ts_query_new(language.grammar(), language.definitions_query.data(),
                                  static_cast<std::uint32_t>(language.definitions_query.size()),
                                  &offset, &error);
    INFO(language.definitions_query.substr(std::min<std::size_t>(offset, 4000)));
    CHECK(query != nullptr);
    ts_query_delete(query);
  }
}

TEST_CASE("a language is found by id, alias and extension, and otherwise is plain text") {
  CHECK(find_language("python").id == "python");
  CHECK(find_language("Python").id == "python");
  CHECK(find_language("javascriptreact").id == "javascript");
  CHECK(find_language("sh").id == "shellscript");
  CHECK(find_language("cuda-cpp").id == "cpp");
  CHECK(find_language("", "file:///a/b.test.TSX").id == "typescriptreact");
  CHECK(find_language("unheard-of", "x.rs").id == "rust");
  CHECK(find_language("plaintext", "x.rs").id == "plaintext");
  CHECK(find_language("unheard-of", "/home/a.b/Makefile").grammar == nullptr);
  CHECK(find_language("haskell").comment.line == "--");
  CHECK(find_language("haskell").grammar == nullptr);
  CHECK(find_language("").id == "plaintext");
}

TEST_CASE("no id, alias or extension belongs to two languages") {
  std::set<std::string_view> ids;
  std::set<std::string_view> extensions;
  for (const auto table : {grammar_languages(), plain_languages()}) {
    for (const Language& language : table) {
      CHECK(ids.insert(language.id).second);
      for (const std::string_view alias : language.aliases) {
        INFO(alias);
        CHECK(ids.insert(alias).second);
      }
      for (const std::string_view extension : language.extensions) {
        INFO(extension);
        CHECK(extensions.insert(extension).second);
      }
    }
  }
}

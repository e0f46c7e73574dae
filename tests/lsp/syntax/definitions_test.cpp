#include "lsp/syntax/definitions.h"

#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

std::vector<std::string> names(std::string_view language_id, std::string_view source) {
  const ManualClock clock;  // no parse takes too long
  DefinitionFinder finder;
  const SyntaxTreePtr tree = parse(find_language(language_id), source, {}, clock);
  std::vector<std::string> result;
  for (const Definition& definition : finder.definitions(*tree, source)) {
    CHECK(
        source.substr(definition.begin, definition.end - definition.begin).find(definition.name) !=
        std::string_view::npos);
    result.push_back(definition.name);
  }
  return result;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("definitions are found in each language that has a query") {
  CHECK(names("python", "LIMIT = 3\nclass A:\n    def f(self):\n        x = 1\n") ==
        Names{"LIMIT", "A", "f"});
  CHECK(names("javascript", "export const a = 1;\nfunction b() {}\nclass C { d() {} }\n") ==
        Names{"a", "b", "C", "d"});
  CHECK(names("typescript", "interface I { x: number }\ntype T = I;\nenum E { A }\nclass C {}\n") ==
        Names{"I", "T", "E", "C"});
  CHECK(names("typescriptreact", "function App() { return <p/>; }\n") == Names{"App"});
  CHECK(names("go", "package p\ntype S struct{}\nfunc (s S) M() {}\nfunc F() {}\nconst K = 1\n") ==
        Names{"S", "M", "F", "K"});
  CHECK(names("rust", "struct S;\nenum E { A }\ntrait T { fn t(&self); }\nfn f() {}\n") ==
        Names{"S", "E", "T", "t", "f"});
  CHECK(
      names("c", "#define K 1\nstruct s { int a; };\nint *f(void) { return 0; }\nint g(int);\n") ==
      Names{"K", "s", "f", "g"});
  CHECK(names("cpp", "class A { void m() {} };\nint A::n() { return 1; }\nusing B = A;\n") ==
        Names{"A", "m", "n", "B"});
  CHECK(names("java", "class A { A() {} int f() { return 1; } }\nenum E { X }\n") ==
        Names{"A", "A", "f", "E"});
  CHECK(names("csharp", "class A { int P { get; } int F() { return 1; } }\n") ==
        Names{"A", "P", "F"});
  CHECK(names("ruby", "module M\n  class A\n    def f; end\n    def self.g; end\n  end\nend\n") ==
        Names{"M", "A", "f", "g"});
  CHECK(names("php", "<?php\nclass A { function f() {} }\nfunction g() {}\n") ==
        Names{"A", "f", "g"});
  CHECK(names("shellscript", "K=1\nf() { echo; }\n") == Names{"K", "f"});
  CHECK(names("lua", "local function f() end\nfunction M.g() end\nfunction M:h() end\n") ==
        Names{"f", "g", "h"});
  CHECK(names("kotlin", "class A {\n    fun f() {}\n}\nobject O\n") == Names{"A", "f", "O"});
  CHECK(names("scala", "class A { def f = 1 }\nobject O\ntrait T\n") == Names{"A", "f", "O", "T"});
  CHECK(names("swift", "class A { func f() {} }\nprotocol P {}\nstruct S {}\n") ==
        Names{"A", "f", "P", "S"});
}

TEST_CASE("a language without a query has no definitions") {
  CHECK(names("json", "{\"a\": 1}").empty());
}

TEST_CASE("identifiers near the cursor come nearest first and without keywords") {
  const ManualClock clock;  // no parse takes too long
  const Language& language = find_language("python");
  const std::string_view source = "far = 1\nfor item in values:\n    total = merge(item, total)\n";
  const SyntaxTreePtr tree = parse(language, source, {}, clock);
  const std::size_t at = source.find("merge");
  CHECK(identifiers_near(tree.get(), language, source, at, 100, 4) ==
        Names{"merge", "total", "item", "values"});
  CHECK(identifiers_near(tree.get(), language, source, at, 100, 10) ==
        Names{"merge", "total", "item", "values", "far"});
  CHECK(identifiers_near(tree.get(), language, source, at, 3, 10) == Names{"merge"});
}

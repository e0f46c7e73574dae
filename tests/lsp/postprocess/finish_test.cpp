// One test for each complaint that has its remedy here, and the steps of the pipeline.
#include "lsp/postprocess/finish.h"

#include <string>
#include <vector>

#include "tests/helpers/catch.h"
#include "tests/helpers/completion_case.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::CompletionCase;

namespace {

const std::vector<std::string> kControls = {"<｜fim▁hole｜>", "<｜fim▁end｜>",
                                            "<｜end▁of▁sentence｜>"};

// The line or lines after acceptance, with what was replaced; "-" where nothing is suggested.
std::string accepted(std::string_view language_id, std::string_view source,
                     std::string_view generated) {
  const CompletionSite site = CompletionCase(language_id, source).site;
  const auto insertion = finish_completion(site, generated, kControls);
  if (!insertion) return "-";
  REQUIRE(insertion->replaced <= site.rest.size());
  return std::string(site.typed()) + insertion->text + site.rest.substr(insertion->replaced);
}

}  // namespace

TEST_CASE("closers that the editor inserted are replaced, not doubled") {
  CHECK(accepted("python", "foo(^)\n", "a, b)") == "foo(a, b)");
  CHECK(accepted("python", "foo(^)\n", "a, b") == "foo(a, b)");
  CHECK(accepted("javascript", "foo(^);\n", "a, b);") == "foo(a, b);");
  CHECK(accepted("javascript", "foo(^);\n", "a, b)") == "foo(a, b);");
  CHECK(accepted("javascript", "foo({ a: ^ });\n", "1, b: [2] });") == "foo({ a: 1, b: [2] });");
  CHECK(accepted("javascript", "foo({ a: ^ });\n", "1, b: 2 }") == "foo({ a: 1, b: 2 });");
  CHECK(accepted("javascript", "foo(a[^] + b);\n", "0] + b);") == "foo(a[0] + b);");
  CHECK(accepted("python", "open(\"^\")\n", "a.txt\", \"r\")") == "open(\"a.txt\", \"r\")");
  CHECK(accepted("python", "open(\"^\")\n", "a.txt") == "open(\"a.txt\")");
  CHECK(accepted("javascript", "if (x) {^}\n", "\n  a();\n}") == "if (x) {\n  a();\n}");
  CHECK(accepted("javascript", "foo(^)\n", "a).then(b)") == "foo(a).then(b)");
}

TEST_CASE("closers are balanced") {
  CHECK(accepted("python", "foo(^)\n", "bar(x") == "foo(bar(x))");
  CHECK(accepted("python", "foo(^)\n", "bar(x))") == "foo(bar(x))");
  CHECK(accepted("python", "foo(^)\n", "a)))") == "foo(a)");
  CHECK(accepted("javascript", "function f() {\n  ^\n}\n", "a();\n}\n}") == "  a();");
  CHECK(accepted("javascript", "function f() {\n  if (b) {\n    ^\n}\n", "a();\n  }\n}\n") ==
        "    a();\n  }");
}

TEST_CASE("brackets that end a pattern of the shell stay") {
  const std::string_view branches = "case $1 in\n  a) b ;;\n  *) c ;;\nesac";
  CHECK(accepted("shellscript", "x=1\n^\n", branches) == branches);
}

TEST_CASE("brackets in a string that was cut short are none") {
  const std::string_view function = "def f(a):\n    \"\"\"Does this:\n\n    1) the first";
  CHECK(accepted("python", "x = 1\n^\n", function) == function);
  CHECK(accepted("javascript", "foo(^)\n", "'a) b") == "foo('a) b)");
}

TEST_CASE("the next lines are not repeated") {
  CHECK(accepted("python", "def f():\n    ^\n    return total\n", "total = 1\n    return total") ==
        "    total = 1");
  CHECK(accepted("python", "def f():\n    ^\n    b = 2\n\n    return b\n",
                 "a = 1\n    b = 2\n    retur") == "    a = 1");
  CHECK(accepted("python", "def f():\n    ^\n    return total\n", "return total") == "-");
  CHECK(accepted("javascript", "f(() => {\n  ^\n});\n", "a();\n});") == "  a();");
  CHECK(accepted("ruby", "def f\n  ^\nend\n", "a\nend") == "  a");
  CHECK(accepted("ruby", "def f\n  ^\nend\n", "if a\n    b\n  end") == "  if a\n    b\n  end");
}

TEST_CASE("the middle of a line gets what fits there") {
  CHECK(accepted("python", "x = ^ + second\n", "first + second") == "x = first + second");
  CHECK(accepted("python", "x = foo(^, b)\n", "a, b)\ny = 1\n") == "x = foo(a, b)");
  CHECK(accepted("python", "if ^ == 1:\n", "x\nfoo()") == "if x == 1:");
  CHECK(accepted("python", "if ^ and y:\n", "data") == "if data and y:");
  CHECK(accepted("python", "if x == ^ and y:\n", "a") == "if x == a and y:");
  CHECK(accepted("python", "for ^ in xs:\n", "i") == "for i in xs:");
  CHECK(accepted("python", "for ^ in xs:\n", "i in xs:") == "for i in xs:");
  CHECK(accepted("python", "x = self.^name\n", "first_name") == "x = self.first_name");
  CHECK(accepted("lua", "if x then ^ end\n", "send") == "if x then send end");
  CHECK_FALSE(may_ask_automatically(CompletionCase("python", "pri^nt(x)\n").site));
  CHECK(may_ask_automatically(CompletionCase("python", "pri^(x)\n").site));
  CHECK(may_ask_automatically(CompletionCase("python", "print(^x)\n").site));
}

TEST_CASE("indentation is that of the file") {
  CHECK(accepted("go", "package p\n\nfunc f() {\n\t^\n}\n", "if x {\n        y()\n    }") ==
        "\tif x {\n\t\ty()\n\t}");
  CHECK(accepted("c", "void f(void) {\n\t^\n\tg();\n}\n", "if (x) {\n  y();\n}") ==
        "\tif (x) {\n\ty();\n}");
  CHECK(accepted("python", "def f():\n  a = 1\n  ^\n", "if a:\n\t\tb()") == "  if a:\n    b()");
  CHECK(accepted("python", "def f():\n    a = 1\n^\n", "\tb = 2") == "    b = 2");
}

TEST_CASE("a file without indentation takes that of the suggestion") {
  CHECK(accepted("go", "package p\n\n^\n", "func f() {\n\tg()\n}") == "func f() {\n\tg()\n}");
  CHECK(accepted("javascript", "^", "f(() => {\n  g();\n});") == "f(() => {\n  g();\n});");
  CHECK(accepted("makefile", "A = a \\\n    b\nall: a\n^\n", "\tcc a.c") == "\tcc a.c");
}

TEST_CASE("lines end as they do in the file") {
  CHECK(accepted("python", "a = 1\r\n^\r\n", "if a:\n    b()") == "if a:\r\n    b()");
  CHECK(accepted("python", "a = 1\n^\n", "if a:\r\n    b()") == "if a:\n    b()");
}

TEST_CASE("nothing worth showing is not shown") {
  CHECK(accepted("python", "def f():\n    ^\n", "   \n  ") == "-");
  CHECK(accepted("python", "def f():\n    ^\n", "") == "-");
  CHECK(accepted("python", "foo(^)\n", ")") == "-");
  CHECK(accepted("python", "    total += 1\n    ^\n", "total += 1") == "-");
  CHECK(accepted("python", "    total += 1\n    ^\n", "total += 2") == "    total += 2");
  CHECK(accepted("javascript", "  }\n^\n", "}") == "-");
  CHECK(accepted("python", "x = 1\nx = 1^\n", "\ny = 2") == "x = 1\ny = 2");
  CHECK(accepted("python", "total = 1^\n", "\ntotal = 1") == "-");
}

TEST_CASE("control tokens and broken characters never reach the text") {
  CHECK(accepted("python", "x = ^\n", "1<｜fim▁hole｜>2") == "x = 1");
  CHECK(accepted("python", "x = ^\n", "<｜end▁of▁sentence｜>") == "-");
  CHECK(accepted("python", "x = ^\n", "'a\xEF\xBF\xBD") == "x = 'a");
  CHECK(accepted("python", "x = ^\n", std::string_view("1\0 2", 4)) == "x = 1");
}

TEST_CASE("a doc string is closed once") {
  CHECK(accepted("python", "def f():\n    \"\"\"^\"\"\"\n", "Does it.\"\"\"") ==
        "    \"\"\"Does it.\"\"\"");
  CHECK(accepted("python", "def f():\n    \"\"\"^\"\"\"\n", "Does it.") ==
        "    \"\"\"Does it.\"\"\"");
}

TEST_CASE("any output at any place gives valid ranges") {
  const std::string text = "def f(a, b={'x': [1, 2]}):\n    if a:\n\treturn (b\r\n\n'é{ \"\"\"";
  for (const std::string_view id : {"python", "javascript", "ruby", "plaintext"}) {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      for (const std::string_view output : {")]}", "a\n\tb)\n", "'\"", "\n\n", "é(["}) {
        accepted(id, text.substr(0, i) + "^" + text.substr(i), output);
      }
    }
  }
}

#include "lsp/postprocess/syntax_stop_rule.h"

#include <iostream>
#include <string>

#include "support/thread_clock.h"
#include "tests/lsp/postprocess/stopped.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::completed;
using caretd::test::CompletionCase;
using caretd::test::feed;
using caretd::test::Stopped;

TEST_CASE("a statement ends the completion") {
  CHECK(completed("python", "x = 1\ny = ^\n", "x + 1\nz = 3\n") == Stopped{"x + 1", "statement"});
  CHECK(completed("python", "^\n", "y = foo(\n    1,\n    2)\nz = 3\n") ==
        Stopped{"y = foo(\n    1,\n    2)", "statement"});
  CHECK(completed("javascript", "const a = ^\n", "f(1, [2]); b();\n") ==
        Stopped{"f(1, [2]);", "statement"});
  CHECK(completed("javascript", "const a = ^\n", "b +\n  c\nd\n") ==
        Stopped{"b +\n  c", "statement"});
  CHECK(completed("go", "package p\nfunc f() {\n\tx := ^\n}\n", "g(1)\n\ty := 2\n") ==
        Stopped{"g(1)", "statement"});
  CHECK(
      completed("c", "void f() {\n  ^\n  g();\n}\n", "for (int i = 0; i < 3; ++i)\n    h(i);\n") ==
      Stopped{"for (int i = 0; i < 3; ++i)\n    h(i);", "statement"});
  CHECK(completed("plaintext", "Once ^", "upon a time\nthere was\n") ==
        Stopped{"upon a time", "statement"});
}

TEST_CASE("behind an accepted statement the completion is the next one") {
  const auto next = [](std::string_view language_id, std::string_view source,
                       std::string_view output) {
    CompletionSite site = CompletionCase(language_id, source).site;
    CHECK(feed(site, output, 1).text.find_first_not_of(" \n") == std::string::npos);
    site.may_begin_below = true;
    return feed(site, output, 1);
  };
  CHECK(next("python", "def f():\n    x = 1^\n", "\n    y = 2\n    z = 3\n") ==
        Stopped{"\n    y = 2", "statement"});
  CHECK(next("python", "x = 1^\n", "\n\ny = 2\nz = 3\n") == Stopped{"\n\ny = 2", "statement"});
  CHECK(next("python", "x = 1^\n", "\n\n\n\n\n") == Stopped{"", "block"});
  CHECK(next("javascript", "function f() {\n  a();^\n}\n", "\n  b();\n  c();\n") ==
        Stopped{"\n  b();", "statement"});
  CHECK(next("javascript", "function f() {\n  a();^\n}\n", "\n}\nb();") == Stopped{"", "closer"});
  CHECK(next("python", "# adds two^\n", "\n# numbers\nx = 1\n") == Stopped{"\n# numbers", "line"});
}

TEST_CASE("an entry of a list is a statement of its own") {
  CHECK(completed("javascript", "const a = {\n  b: 1,\n  ^\n};\n",
                  "c: [\n    2,\n  ],\n  d: 3,\n") == Stopped{"c: [\n    2,\n  ],", "statement"});
  CHECK(completed("javascript", "let a = 1^\n", ",\n  b = 2;\nc();\n") ==
        Stopped{",\n  b = 2;", "statement"});
}

TEST_CASE("a block that the completion opened is completed with it") {
  CHECK(completed("python", "def g():\n    pass\n^\n",
                  "def f(a):\n    b = a\n\n    return b\n\nx = 1\n") ==
        Stopped{"def f(a):\n    b = a\n\n    return b", "block"});
  CHECK(completed("python", "for i in ^", "range(3):\n    print(i)\nprint(1)\n") ==
        Stopped{"range(3):\n    print(i)", "block"});
  CHECK(completed("python", "^", "if a:\n    b()\nelse:\n    c()\nd()\n") ==
        Stopped{"if a:\n    b()\nelse:\n    c()", "block"});
  CHECK(completed("javascript", "function f() {\n  ^\n}\n",
                  "if (a) {\n    b();\n  } else {\n    c();\n  }\n  d();\n") ==
        Stopped{"if (a) {\n    b();\n  } else {\n    c();\n  }\n  d();\n", "end"});
  CHECK(completed("javascript", "function f() {\n  x();\n  ^\n}\n",
                  "if (a) {\n    b();\n  } else {\n    c();\n  }\n  d();\n") ==
        Stopped{"if (a) {\n    b();\n  } else {\n    c();\n  }", "statement"});
  CHECK(completed("ruby", "^\n", "def f(a)\n  a + 1\nend\nputs 1\n") ==
        Stopped{"def f(a)\n  a + 1\nend", "block"});
  CHECK(completed("lua", "^\n", "for i = 1, 3 do\n  print(i)\nend\nprint(1)\n") ==
        Stopped{"for i = 1, 3 do\n  print(i)\nend", "block"});
  CHECK(completed("shellscript", "^\n", "if a; then\n  b\nfi\nc\n") ==
        Stopped{"if a; then\n  b\nfi", "block"});
}

TEST_CASE("an empty block is filled, and not left") {
  CHECK(completed("python", "def f(a):\n    ^\n\ndef g():\n    pass\n",
                  "b = a\n    return b\n\ndef h():\n") == Stopped{"b = a\n    return b", "block"});
  CHECK(completed("python", "class A:\n    def f(self):\n        ^\n",
                  "return 1\n\n    def g(self):\n        return 2\n") ==
        Stopped{"return 1", "block"});
  CHECK(completed("javascript", "function f() {\n  ^\n}\n", "a();\n  b();\n}\n\nc();\n") ==
        Stopped{"a();\n  b();", "closer"});
  CHECK(completed("javascript", "function f() {\n  if (x) {^\n}\n", "\n    a();\n  }\n  b();\n") ==
        Stopped{"\n    a();\n  }", "block"});
  CHECK(completed("javascript", "function f() {^}\n", "\n  a();\n}\n\nb();\n") ==
        Stopped{"\n  a();\n}", "block"});
  CHECK(completed("ruby", "def f\n  ^\nend\n", "a = 1\n  a\nend\n\ndef g\n") ==
        Stopped{"a = 1\n  a", "block"});
}

TEST_CASE("a closer that nothing opened ends the completion before it") {
  CHECK(completed("javascript", "foo(\n  a,\n  ^\n)\n", "b)\nbar(") == Stopped{"b", "closer"});
  CHECK(completed("python", "x = foo(^)\n", "a, b)\ny = 1\n") == Stopped{"a, b)", "statement"});
  CHECK(completed("python", "x = foo(^)\n", "a))\n") == Stopped{"a)", "closer"});
  CHECK(completed("python", "x = [^]\n", "a)\n") == Stopped{"a", "closer"});
  CHECK(completed("python", "x = f(\"^\")\n", "a) b\")\n") == Stopped{"a) b\")", "line"});
}

TEST_CASE("text that follows the cursor is not written again") {
  CHECK(completed("python", "def f():\n    ^\n    return total\n",
                  "total = 1\n    return total\n") == Stopped{"total = 1", "statement"});
  CHECK(completed("python", "def f(x):\n    if x:\n        ^\n    return total\n",
                  "y = 1\n        return total\n    z\n") == Stopped{"y = 1", "suffix"});
  CHECK(completed("python", "x = ^ + second\n", "first + second\n") == Stopped{"first ", "suffix"});
  CHECK(completed("lua", "if x then ^ end\n", "append(endings) end\n") ==
        Stopped{"append(endings) ", "suffix"});
}

TEST_CASE("what begins as the next statement does may go on otherwise") {
  const std::string property = "@property\n    def a(self):\n        return 1";
  const std::string_view source =
      "class A:\n    x = 1\n\n    ^\n\n    @property\n    def b(self):\n        return 2\n";
  CHECK(completed("python", source, property + "\n\n    @property\n    def b(self):\n") ==
        Stopped{property, "block"});
  CHECK(completed("python", source, "@property\n    def b(self):\n        return 2\n") ==
        Stopped{"", "suffix"});
}

TEST_CASE("a block is not left for the lines of its head that stand further right") {
  CHECK(completed("python", "def f(a,\n      b):\n    ^\n", "c = a\n    return c\n\nx = 1\n") ==
        Stopped{"c = a\n    return c", "block"});
  CHECK(completed("cpp", "void f(int a,\n       int b) {\n  ^\n}\n", "g(a);\n  h(b);\n}\n") ==
        Stopped{"g(a);\n  h(b);", "closer"});
}

TEST_CASE("a line that ends in a backslash goes on") {
  CHECK(completed("python", "x = 1\n^\n", "from a import b, \\\n    c\ny = 1\n") ==
        Stopped{"from a import b, \\\n    c", "statement"});
  CHECK(completed("shellscript", "x=1\n^\n", "a b \\\n  c\nd\n") ==
        Stopped{"a b \\\n  c", "statement"});
}

TEST_CASE("a completion in a comment or string stays on its line") {
  CHECK(completed("python", "# adds ^\n", "two numbers\ndef add(a, b):\n") ==
        Stopped{"two numbers", "line"});
  CHECK(completed("go", "package p\n// F ^\nfunc F() {}\n", "does (it\n// again\n").text ==
        "does (it");
}

TEST_CASE("a doc string ends the completion") {
  CHECK(completed("python", "def f(a):\n    \"\"\"^\n    return a\n",
                  "Add one.\n\n    Args: a\n    \"\"\"\n    b = 1\n") ==
        Stopped{"Add one.\n\n    Args: a\n    \"\"\"", "literal"});
  CHECK(completed("javascript", "/**^\nfunction f() {}\n", "\n * Adds.\n */\nfunction g") ==
        Stopped{"\n * Adds.\n */", "literal"});
}

TEST_CASE("blocks that end one after another are no repetition") {
  const std::string loops =
      "for (const a of x) {\n    for (const b of a) {\n      for (const c of b) {\n"
      "        g(c);\n      }\n    }\n  }";
  CHECK(completed("javascript", "function f(x) {\n  h(x);\n  ^\n}\n", loops + "\n  k();\n") ==
        Stopped{loops, "statement"});
  const std::string method =
      "  def f(x)\n    if x\n      while x.any?\n        g(x)\n      end\n    end\n  end";
  CHECK(completed("ruby", "class A\n  B = 1\n\n^\nend\n", method + "\n\n  def g\n") ==
        Stopped{method, "block"});
  const std::string table = "[\n    0,\n    0,\n    0,\n]";
  CHECK(completed("python", "x = 1\ny = ^\n", table + "\nz = 2\n") == Stopped{table, "statement"});
}

TEST_CASE("arguments may stand far to the right") {
  const std::string call = "first(second,\n" + std::string(60, ' ') + "third);";
  CHECK(completed("c", "void f() {\n  a();\n  ^\n}\n", call + "\n  b();\n") ==
        Stopped{call, "statement"});
}

TEST_CASE("lines that come again are cut behind the first of them") {
  CHECK(completed("python", "def f(x):\n^\n",
                  "    log(show(x))\n    show(x)\n    show(x)\n    show(x)\n") ==
        Stopped{"    log(show(x))\n    show(x)", "repetition"});
  CHECK(completed("python", "def f(x):\n^\n",
                  "    show(x)\n    if x:\n        show(x)\n        show(x)\n        show(x)\n") ==
        Stopped{"    show(x)\n    if x:\n        show(x)", "repetition"});
}

TEST_CASE("a completion that never ends is ended") {
  std::string lines;
  for (int i = 0; i < 100; ++i)
    lines += "    x" + std::to_string(i) + " = f(" + std::to_string(i) + ")\n";
  const Stopped stopped = completed("python", "def f(a):\n^\n", lines);
  CHECK(stopped.reason == "lines");
  CHECK(std::ranges::count(stopped.text, '\n') < 24);
  std::string same;
  for (int i = 0; i < 20; ++i) same += "    print(x)\n";
  CHECK(completed("python", "def f(a):\n^\n", same) == Stopped{"    print(x)", "repetition"});
}

TEST_CASE("no output breaks the rule") {
  const std::vector<std::string> outputs = {"",
                                            "\n\n\n\n",
                                            ")]}",
                                            "\"\"\"\"",
                                            "\r\n\r\n",
                                            "é\xff(",
                                            "{{{{\n}}}}\n}\n",
                                            "<<EOF\nx\nEOF\n",
                                            "/* \n * \n",
                                            "if (x\n\t\t)\n{\n",
                                            "end\nend\n",
                                            "\\\n\\\n"};
  for (const Language& language : grammar_languages()) {
    for (const std::string& output : outputs) {
      for (const std::string_view source : {"a (\n  ^\n)\n", "^", "f(\"^\");"}) {
        const CompletionSite site = CompletionCase(language.id, source).site;
        feed(site, output, 1);
        feed(site, output, 4);
      }
    }
  }
}

// Run with `lsp_postprocess_tests "[time]"`; a bound in an ordinary test would depend on the
// machine.
TEST_CASE("time of the stop rule in a file of 2,000 lines", "[.time]") {
  for (const std::string_view id : {"python", "typescript", "cpp"}) {
    const bool python = id == "python";
    std::string source;
    for (int i = 0; i < 100; ++i) {
      source += python ? "def f(a, b):\n" : "function f(a, b) {\n";
      for (int j = 0; j < 18; ++j) {
        source +=
            python ? "    x = g(a[1], {'k': b}) + h(a, b)\n" : "  x = g(a[1], {k: b}) + h(a, b);\n";
      }
      if (i == 50) source += "  ^\n";
      source += python ? "\n" : "}\n";
    }
    std::string output;
    for (int j = 0; j < 12; ++j) output += python ? "  if a[1]:\n" : "  if (a[1]) {\n";
    const ThreadClock clock;
    const TimePoint begin = clock.now();
    const CompletionSite site = CompletionCase(id, source).site;
    const TimePoint described = clock.now();
    SyntaxStopRule rule(site);
    const TimePoint ready = clock.now();
    Duration longest{};
    int tokens = 0;
    for (std::size_t size = 3; size < output.size(); size += 3, ++tokens) {
      const TimePoint before = clock.now();
      static_cast<void>(rule.end_of_completion(std::string_view(output).substr(0, size)));
      longest = std::max(longest, clock.now() - before);
    }
    const Duration total = clock.now() - ready;
    std::cout << id << ": document and site " << to_milliseconds(described - begin) << " ms, start "
              << to_milliseconds(ready - described) << " ms, a token "
              << to_milliseconds(total) / tokens << " ms, longest " << to_milliseconds(longest)
              << " ms\n";
  }
}

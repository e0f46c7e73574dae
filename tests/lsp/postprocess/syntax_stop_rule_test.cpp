#include "lsp/postprocess/syntax_stop_rule.h"

#include <iostream>
#include <string>

#include "support/thread_clock.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/completion_case.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::CompletionCase;

namespace {

struct Stopped {
  std::string text;
  std::string reason;

  friend bool operator==(const Stopped&, const Stopped&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Stopped& s) {
    return out << "[" << s.reason << "] " << s.text;
  }
};

// Feeds `output` in steps of `step` bytes. A rule that never says stop has reason "end".
Stopped feed(const CompletionSite& site, std::string_view output, std::size_t step) {
  SyntaxStopRule rule(site);
  for (std::size_t size = step; size < output.size() + step; size += step) {
    const std::string_view text = output.substr(0, size);
    if (const auto end = rule.end_of_completion(text)) {
      REQUIRE(*end <= text.size());
      return {std::string(text.substr(0, *end)), std::string(rule.reason())};
    }
  }
  return {std::string(output), "end"};
}

// The same whatever the sizes of the tokens are.
Stopped completed(std::string_view language_id, std::string_view source, std::string_view output) {
  const CompletionSite site = CompletionCase(language_id, source).site;
  const Stopped one_by_one = feed(site, output, 1);
  for (const std::size_t step : {2, 3, 5, 8}) CHECK(feed(site, output, step) == one_by_one);
  return one_by_one;
}

}  // namespace

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

TEST_CASE("where statements need a semicolon, lines end none") {
  const auto whole = [](std::string_view language_id, std::string_view source,
                        const std::string& statement) {
    CHECK(completed(language_id, source, statement + "\n\nh();\n") ==
          Stopped{statement, "statement"});
  };
  whole("rust", "fn f() {\n    a();\n    ^\n}\n",
        "let v = xs.iter()\n        .map(|x| x + 1)\n        .collect();");
  whole("csharp", "class A {\n  int a;\n  ^\n}\n", "[Test]\n  void F(int a)\n  {\n    G(a);\n  }");
  whole("java", "class A {\n  int a;\n  ^\n}\n", "@Override\n  public void f() {\n    g();\n  }");
  whole("c", "int x;\n\n^\n", "int f(int a)\n{\n    return a;\n}");
  whole("c", "int x;\n\n^\n", "#include <a.h>");
  CHECK(completed("rust", "fn f() -> i32 {\n    a();\n    ^\n}\n", "b + 1\n}\n") ==
        Stopped{"b + 1", "closer"});
  CHECK(completed("java", "enum A {\n  B,\n  ^\n}\n", "C,\n  D,\n") == Stopped{"C,", "statement"});
  CHECK(completed("c", "f(a,\n  ^\n);\n", "b\n);\n") == Stopped{"b", "statement"});
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

TEST_CASE("comments of several lines end nothing") {
  const std::string script = "a();\n  // one\n  // two\n  /* three\n   * four)\n   */\n  b();";
  CHECK(completed("javascript", "function f() {\n  ^\n}\n", script + "\n}\n") ==
        Stopped{script, "closer"});
  const std::string body = "# one\n    # two\n    # three\n    x = a\n    return x";
  CHECK(completed("python", "def f(a):\n    ^\n", body + "\n\ny = 1\n") == Stopped{body, "block"});
  const std::string documented = "/// One.\n/// Two.\n/// Three.\nfn f() {\n    g();\n}";
  CHECK(completed("rust", "fn a() {}\n\n^\n", documented + "\n\nfn b() {}\n") ==
        Stopped{documented, "statement"});
  const std::string entries = "{\n    # one\n    # two\n    'a': 1,\n}";
  CHECK(completed("python", "x = 1\ny = ^\n", entries + "\nz = 2\n") ==
        Stopped{entries, "statement"});
}

TEST_CASE("comments in front of what follows a block are not in it") {
  const std::string_view source = "def f(a):\n    ^\n";
  CHECK(completed("python", source, "b = a\n    return b\n\n# Next.\ndef g():\n") ==
        Stopped{"b = a\n    return b", "block"});
  CHECK(completed("python", source, "b = a\n    return b\n# Next.\ndef g():\n") ==
        Stopped{"b = a\n    return b", "block"});
  CHECK(completed("python", source, "b = a\n# c = a\n    return b\n\nx = 1\n") ==
        Stopped{"b = a\n# c = a\n    return b", "block"});
}

TEST_CASE("strings of several lines are completed") {
  const std::string function =
      "def f(a):\n    \"\"\"Adds one.\n\n    1) It's quick.\n\n\n    Args:\n        a: x\n    "
      "\"\"\"\n"
      "    return a + 1";
  CHECK(completed("python", "x = 1\n^\n", function + "\n\ny = 1\n") == Stopped{function, "block"});
  const std::string query = "'''\nselect (a\nfrom b; c)\n'''";
  CHECK(completed("python", "x = 1\ny = ^\n", query + "\nz = 1\n") == Stopped{query, "statement"});
  const std::string page = "`\n<p>one;</p>\n\n\n}) ${two}\n`;";
  CHECK(completed("javascript", "x();\nconst y = ^\n", page + "\nz();\n") ==
        Stopped{page, "statement"});
  const std::string raw = "`\n(one\n}\n`";
  CHECK(completed("go", "package p\n\nfunc f() {\n\ta()\n\tx := ^\n}\n", raw + "\n\tb()\n") ==
        Stopped{raw, "statement"});
}

TEST_CASE("half a string is no code") {
  CHECK(completed("javascript", "x();\nconst y = ^\n", "'a; b)';\nz();\n") ==
        Stopped{"'a; b)';", "statement"});
  CHECK(completed("c", "void f() {\n  a();\n  ^\n}\n", "g(\"a) b; \\\" }\", '\"');\n  h();\n") ==
        Stopped{"g(\"a) b; \\\" }\", '\"');", "statement"});
  CHECK(completed("rust", "fn f() {\n    a();\n    ^\n}\n", "g('\"', \"b) c\");\n    h();\n") ==
        Stopped{"g('\"', \"b) c\");", "statement"});
  CHECK(completed("python", "x = f(\"^\")\n", "a\", \"b) c\")\ny = 1\n") ==
        Stopped{"a\", \"b) c\")", "line"});
}

TEST_CASE("labels, cases and directives at the margin of a block are in it") {
  const auto filled = [](std::string_view language_id, std::string_view source,
                         const std::string& block) {
    CHECK(completed(language_id, source, block + "\n}\n") == Stopped{block, "closer"});
  };
  filled("go", "package p\nfunc f(x int) {\n\tswitch x {\n\t^\n\t}\n}\n",
         "case 1:\n\t\tg()\n\tcase 2:\n\t\th()\n\tdefault:\n\t\tk()");
  filled("c", "int f(void) {\n    ^\n}\n",
         "int r = g();\n    if (r) goto out;\n    h();\nout:\n    return r;");
  filled("c", "int f(void) {\n    ^\n}\n",
         "int r = g();\n#ifdef X\n    h();\n#endif\n    return r;");
  filled("cpp", "class A {\n^\n};\n", "public:\n  A();\n\nprivate:\n  int a_;");
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

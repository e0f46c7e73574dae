// What is peculiar to languages, and to comments and strings, about where completions end.
#include "lsp/postprocess/syntactic_end.h"

#include <string>

#include "tests/lsp/postprocess/stopped.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::completed;
using caretd::test::Stopped;

TEST_CASE("functions of Lua and methods of Ruby are completed wherever their word stands") {
  for (const std::string head : {"local function f(a)", "M.f = function(a)"}) {
    const std::string function = head + "\n  return a\nend";
    CHECK(completed("lua", "x = 1\n^\n", function + "\n\ny = 2\n") == Stopped{function, "block"});
  }
  CHECK(completed("lua", "x = 1\n^\n", "f(function() return 1 end)\ny = 2\n") ==
        Stopped{"f(function() return 1 end)", "statement"});
  CHECK(completed("lua", "local function f(a)\n  ^\nend\n", "a()\n  b()\nend\n") ==
        Stopped{"a()\n  b()", "block"});
  const std::string method = "private def f\n    1\n  end";
  CHECK(completed("ruby", "class A\n  b\n\n  ^\nend\n", method + "\n\n  def g\n") ==
        Stopped{method, "block"});
}

TEST_CASE("patterns of the shell's case end with a bracket of their own") {
  const std::string branches = "case $1 in\n  a) b ;;\n  *) c ;;\nesac";
  CHECK(completed("shellscript", "x=1\n^\n", branches + "\nd\n") == Stopped{branches, "block"});
  CHECK(completed("shellscript", "x=1\n^\n", "a)\n") == Stopped{"a", "closer"});
}

TEST_CASE("code of PHP is code wherever the excerpt begins") {
  const std::string loop = "foreach ($a as $b) {\n    c($b);\n}";
  CHECK(completed("php", "<?php\n$a = 1;\n^\n", loop + "\nd();\n") == Stopped{loop, "statement"});
  CHECK(completed("php", "<?php\nfunction f() {\n    ^\n}\n", "return g(1);\n}\n") ==
        Stopped{"return g(1);", "closer"});
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
  const std::string choice = "const d = a\n  ? b\n  : f(c)\n    .g();";
  whole("javascript", "const a = 1;\nconst b = 2;\nconst c = 3;\n^\n", choice);
  CHECK(completed("javascript", "const a = 1\nconst b = 2\nconst c = 3\n^\n", "f(a)\ng(b)\n") ==
        Stopped{"f(a)", "statement"});
  CHECK(completed("rust", "fn f() -> i32 {\n    a();\n    ^\n}\n", "b + 1\n}\n") ==
        Stopped{"b + 1", "closer"});
  CHECK(completed("java", "enum A {\n  B,\n  ^\n}\n", "C,\n  D,\n") == Stopped{"C,", "statement"});
  CHECK(completed("c", "f(a,\n  ^\n);\n", "b\n);\n") == Stopped{"b", "statement"});
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

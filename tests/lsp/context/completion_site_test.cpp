#include "lsp/context/completion_site.h"

#include "tests/helpers/catch.h"
#include "tests/helpers/completion_case.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::CompletionCase;

namespace {

Extent extent(std::string_view language_id, std::string_view source) {
  return CompletionCase(language_id, source).site.extent;
}

std::string replaceable(std::string_view language_id, std::string_view source) {
  const CompletionSite site = CompletionCase(language_id, source).site;
  return site.rest.substr(0, site.replaceable);
}

}  // namespace

TEST_CASE("one line or several is decided by syntax") {
  CHECK(extent("python", "def f(a):\n    ^\n\nx = 1\n") == Extent::block);
  CHECK(extent("python", "def f(a):^\n") == Extent::block);
  CHECK(extent("python", "def f(a):\n    x = 1\n    ^\n") == Extent::statement);
  CHECK(extent("python", "def f(a):\n    ^\n    return a\n") == Extent::statement);
  CHECK(extent("python", "def f(a):\n    \"\"\"^\n") == Extent::literal);
  CHECK(extent("python", "def f(a):\n    \"\"\"^\"\"\"\n    return a\n") == Extent::literal);
  CHECK(extent("python", "x = 1  # the ^\n") == Extent::line);
  CHECK(extent("python", "x = foo(^ + 1)\n") == Extent::line);
  CHECK(extent("python", "x = foo(^)\n") == Extent::statement);
  CHECK(extent("python", "x = 'abc^'\n") == Extent::line);
  CHECK(extent("python", "x = 'abc^\n") == Extent::line);
  CHECK(extent("javascript", "function f() {\n  ^\n}\n") == Extent::block);
  CHECK(extent("javascript", "function f() {^}\n") == Extent::block);
  CHECK(extent("javascript", "function f() {\n  a();\n  ^\n}\n") == Extent::statement);
  CHECK(extent("javascript", "/**^\nfunction f() {}\n") == Extent::literal);
  CHECK(extent("javascript", "// to ^\n") == Extent::line);
  CHECK(extent("javascript", "/* one\n   ^\n two */\n") == Extent::line);
  CHECK(extent("ruby", "def f\n  ^\nend\n") == Extent::block);
  CHECK(extent("lua", "for i = 1, 3 do\n  ^\nend\n") == Extent::block);
  CHECK(extent("shellscript", "if true; then\n  ^\nfi\n") == Extent::block);
  CHECK(extent("go", "package p\n\nfunc f() {\n\t^\n}\n") == Extent::block);
  CHECK(extent("rust", "fn f<'a>(x: &'a str) -> ^\n") == Extent::statement);
  CHECK(extent("plaintext", "it doesn't ^\n") == Extent::statement);
  CHECK(extent("haskell", "f x = -- the ^\n") == Extent::line);
}

TEST_CASE("comments are told from code and strings") {
  const auto in_comment = [](std::string_view language_id, std::string_view source) {
    return CompletionCase(language_id, source).site.in_comment;
  };
  CHECK(in_comment("python", "x = 1  # the ^\n"));
  CHECK(in_comment("javascript", "/* one\n   ^\n two */\n"));
  CHECK(in_comment("javascript", "/**^\nfunction f() {}\n"));
  CHECK_FALSE(in_comment("python", "x = '# the ^'\n"));
  CHECK_FALSE(in_comment("python", "x = 1  # the\n^\n"));
}

TEST_CASE("a quote within another literal, or that is none, begins no string") {
  const auto is_code = [](std::string_view language_id, std::string_view source) {
    const CompletionSite site = CompletionCase(language_id, source).site;
    CHECK(site.quote == 0);
    CHECK_FALSE(site.in_comment);
    CHECK(site.extent == Extent::statement);
    CHECK(site.rest.substr(0, site.replaceable) == ")");
  };
  is_code("javascript", "x = s.replace(/\"/g, ^)\n");
  is_code("javascript", "x = s.replace(/https?:\\/\\//, ^)\n");
  is_code("rust", "let x = c == '\"' && f(^)\n");
  is_code("clojure", "(foo 'bar ^)\n");
  is_code("ocaml", "let f (x : 'a) = g (^)\n");
  CHECK(CompletionCase("javascript", "x = f(/a/, '^)\n").site.quote == '\'');
  CHECK(CompletionCase("javascript", "x = \"a\" + \"^\n").site.quote == '"');
}

TEST_CASE("closers that the line opened are replaceable, others are not") {
  CHECK(replaceable("python", "foo(^)\n") == ")");
  CHECK(replaceable("python", "foo(bar[^])\n") == "])");
  CHECK(replaceable("python", "foo(\"^\")\n") == "\")");
  CHECK(replaceable("javascript", "foo({ a: ^ });\n") == " });");
  CHECK(replaceable("javascript", "foo(^);\n") == ");");
  CHECK(replaceable("javascript", "foo(a[^] + b);\n") == "]");
  CHECK(replaceable("javascript", "foo(^, b);\n") == "");
  CHECK(replaceable("javascript", "foo(() => {\n  a();\n^});\n") == "");
  CHECK(replaceable("javascript", "x = ^;\n") == "");
  CHECK(replaceable("javascript", "x = `^`\n") == "`");
  CHECK(replaceable("python", "def f():\n    \"\"\"^\"\"\"\n") == "\"\"\"");
}

TEST_CASE("it is known which brackets a completion may close") {
  const auto closable = [](std::string_view source) {
    return CompletionCase("javascript", source).site.closable;
  };
  CHECK(closable("function f() {\n  ^\n}\n") == 0);
  CHECK(closable("function f() {\n  if (x) {\n    ^\n}\n") == 1);
  CHECK(closable("function f() {\n  foo(^)\n}\n") == 1);
  CHECK(closable("function f() {\n  foo(^\n}\n") == 1);
  CHECK(closable("foo(a,\n  ^\n)\n") == 0);
  CHECK(closable("foo(a,\n  ^\n") == 1);
  CHECK(closable("const s = '{{{';\n^\n") == 0);
  CHECK(CompletionCase("javascript", "f(() => {\n  a[^\n})\n").site.open_brackets == "({[");
  CHECK(CompletionCase("javascript", "f(() => {\n  a[^\n})\n").site.open_above == 2);
}

TEST_CASE("the surroundings are copied as they are") {
  const CompletionCase sample("python",
                              "import os\n\ndef f():\n\tx = 1\n\n\tre^st\n\n\ty = 2\n\tz = 3\n");
  CHECK(sample.site.before == "def f():\n\tx = 1\n\n\tre");
  CHECK(sample.site.typed() == "\tre");
  CHECK(sample.site.rest == "st");
  CHECK(sample.site.inside_word);
  CHECK(sample.site.line_above == "\tx = 1");
  CHECK(sample.site.following == std::vector<std::string>{"\ty = 2", "\tz = 3"});
  CHECK(sample.site.indent.tabs);
  CHECK_FALSE(sample.site.crlf);
  CHECK(CompletionCase("python", "a = 1\r\nb = ^\r\n").site.crlf);
}

TEST_CASE("an excerpt never begins within a string or comment") {
  const auto check = [](std::string_view language_id, const std::string& head,
                        const std::string& method) {
    std::string source = head;
    while (source.size() < 9000) source += method;
    for (std::size_t moved = 0; moved < method.size(); moved += 5) {
      const std::string more(moved, '#');
      const std::string mark = language_id == "python" ? "    " : "  // ";
      CHECK(replaceable(language_id, source + mark + more + "\n    f(^)\n") == ")");
    }
  };
  check("python", "class A:\n",
        "    def f(self):\n        \"\"\"Does it.\n\n        It's (one\nof two).\n        \"\"\"\n"
        "        return self.a\n\n");
  check("javascript", "class A {\n",
        "  /**\n   * It's (one\n of two).\n   */\n  f() {\n    return `a\n b\n `;\n  }\n\n");
}

TEST_CASE("text that is taken as accepted is part of what is in front of the hole") {
  CompletionCase sample("javascript", "function f() {\n  ^\n}\n");
  sample.query.pending = "if (x) {\n    ";
  const CompletionSite site =
      describe_site(sample.query, find_language("javascript"), sample.tree.get());
  CHECK(site.typed() == "    ");
  CHECK(site.extent == Extent::block);
  CHECK(site.open_brackets == "{{");
  CHECK(site.closable == 1);
}

TEST_CASE("indentation is taken from the file") {
  CHECK(detect_indent(Text(std::string("a:\n  b:\n    c\n  d\n")), 0) == IndentStyle{false, 2});
  CHECK(detect_indent(Text(std::string("a:\n    b:\n        c\n")), 0) == IndentStyle{false, 4});
  CHECK(detect_indent(Text(std::string("a {\n\tb {\n\t\tc\n")), 0).tabs);
  CHECK(detect_indent(Text(), 0) == IndentStyle{false, 4, false});
  CHECK_FALSE(detect_indent(Text(std::string("a\n\nb\n")), 0).known);
  CHECK(indent_columns("\t  x", 4) == 6);
  CHECK(indent_columns("  \tx", 4) == 4);
}

TEST_CASE("any offset of any text has a site") {
  const std::string text =
      "def f(a, b={'x': [1, 2]}):\n    \"\"\"doc\n    more\"\"\"\n    if a:\n\treturn (b\n\r\n'é{";
  for (const std::string_view id : {"python", "javascript", "yaml", "ruby", "plaintext", "html"}) {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      const CompletionSite site = CompletionCase(id, text.substr(0, i) + "^" + text.substr(i)).site;
      CHECK(site.line_begin <= site.before.size());
      CHECK(site.replaceable <= site.rest.size());
      CHECK(site.open_above <= site.open_brackets.size());
    }
  }
}

#include "lsp/context/anchored_prompt.h"

#include <iostream>
#include <random>
#include <set>

#include "lsp/syntax/tree_store.h"
#include "support/thread_clock.h"
#include "tests/helpers/annotated_source.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/tiny_tokenizer.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::AnnotatedSource;
using caretd::test::tiny_tokenizer;
using engine::ControlToken;

namespace {

// A document that is typed into, with what a session keeps for it.
class Editor {
 public:
  Editor(std::string_view language_id, std::string_view annotated)
      : trees_(documents_, clock_, {.time = std::chrono::seconds(60)}) {
    const AnnotatedSource source(annotated);
    cursor_ = source.cursor;
    document_ = documents_.open(kUri, std::string(language_id), 1, source.text);
  }

  void replace(std::size_t begin, std::size_t end, std::string_view with) {
    const auto at = [&](std::size_t offset) {
      return document_->text.position_at(offset, PositionEncoding::utf8);
    };
    const std::vector<ContentChange> changes = {{Range{at(begin), at(end)}, std::string(with)}};
    document_ = *documents_.change(kUri, document_->version + 1, changes, PositionEncoding::utf8);
  }
  void type(std::string_view text) {
    replace(cursor_, cursor_, text);
    cursor_ += text.size();
  }
  void move(std::size_t to) { cursor_ = to; }
  void parse() { static_cast<void>(trees_.tree_of(document_)); }

  AnchoredPrompt ask(Anchoring anchoring = Anchoring::keep) {
    const PromptQuery query{document_, cursor_, pending, cursor_};
    const Language& language = find_language(document_->language_id);
    const SyntaxTreePtr tree = with_tree ? trees_.tree_of(document_) : nullptr;
    const CompletionSite site = describe_site(query, language, tree.get());
    const TokenBufferPtr tokens = buffers_.buffer_of(document_, tiny_tokenizer());
    AnchoredInput input;
    input.query = &query;
    input.site = &site;
    input.tokens = tokens.get();
    input.tree = tree.get();
    input.budget = budget;
    input.path = path;
    input.fill_in_the_middle = fim;
    input.find_related = find_related;
    std::optional<std::vector<ByteEdit>> edits;
    if (context_)
      edits = documents_.edits_between(document_->id, context_->revision, document_->revision);
    AnchoredPrompt prompt =
        build_anchored_prompt(input, context_ ? &*context_ : nullptr, edits, anchoring);
    context_ = prompt.context;
    return prompt;
  }

  [[nodiscard]] std::string_view text() const { return document_->text.view(); }
  [[nodiscard]] std::size_t cursor() const { return cursor_; }
  [[nodiscard]] const DocumentSnapshot& document() const { return document_; }

  PromptBudget budget;
  std::string path = "src/sample.py";
  std::string pending;
  bool with_tree = true;
  bool fim = true;
  std::function<std::vector<RelatedPiece>(const Anchor&)> find_related;

 private:
  static constexpr const char* kUri = "file:///project/src/sample.py";
  SteadyClock clock_;
  DocumentStore documents_{1};
  TreeStore trees_;
  TokenBuffers buffers_;
  DocumentSnapshot document_;
  std::size_t cursor_ = 0;
  std::optional<AnchoredContext> context_;
};

// The prompt written out, control tokens as marks.
std::string written(const AnchoredPrompt& prompt) {
  std::string text;
  for (const engine::PromptPart& part : prompt.completion.prompt) {
    if (const auto* control = std::get_if<ControlToken>(&part)) {
      switch (*control) {
        case ControlToken::begin_of_sentence:
          text += "<bos>";
          break;
        case ControlToken::fim_begin:
          text += "<begin>";
          break;
        case ControlToken::fim_hole:
          text += "<hole>";
          break;
        case ControlToken::fim_end:
          text += "<end>";
          break;
        default:
          text += "<?>";
      }
    } else if (const auto* ids = std::get_if<std::vector<engine::TokenId>>(&part)) {
      text += tiny_tokenizer()->decode(*ids);
    } else {
      text += std::get<std::string>(part);
    }
  }
  return text + "<forced>" + prompt.completion.forced_prefix;
}

// Everything in front of what is typed: what the cache has to keep.
std::string anchored_part(const AnchoredPrompt& prompt) {
  const std::string text = written(prompt);
  return text.substr(0, text.find("<end>"));
}

int tokens_of(const AnchoredPrompt& prompt) {
  int total = 4;
  for (const PromptPiece& piece : prompt.completion.pieces) total += piece.tokens;
  return total;
}

std::string long_source(int functions) {
  std::string text = "import os\n\n\n";
  for (int i = 0; i < functions; ++i) {
    const std::string n = std::to_string(i);
    text += "def handler_" + n + "(request, value):\n    result = request.get('key_" + n +
            "', value)\n    if result:\n        return result + " + n + "\n    return None\n\n\n";
  }
  return text;
}

}  // namespace

TEST_CASE("the layout is begin, path, P, hole, S, end, typed") {
  Editor editor("python", "import math\n\n\ndef area(r):\n    return ma^)\n\nx = 1\n");
  CHECK(written(editor.ask()) ==
        "<bos><begin># src/sample.py\nimport math\n\n\ndef area(r):\n<hole>)\n\nx = 1\n<end>"
        "    return<forced> ma");
}

TEST_CASE("closers that the completion may replace are not in S") {
  Editor editor("python", "x = foo(bar[^])\ny = 1\n");
  const AnchoredPrompt prompt = editor.ask();
  CHECK(anchored_part(prompt) == "<bos><begin># src/sample.py\n<hole>\ny = 1\n");
  CHECK(prompt.completion.replace_end == editor.cursor() + 2);
}

TEST_CASE("typing on a line leaves P and S equal byte for byte") {
  for (const bool with_tree : {true, false}) {
    const std::string source = long_source(40);
    const std::size_t middle = source.find("def handler_20");
    Editor editor("python", source.substr(0, middle) + "^\n\n" + source.substr(middle));
    editor.with_tree = with_tree;
    const std::string before = anchored_part(editor.ask());
    for (const char c : std::string("total = sum(values[3:")) {
      editor.type(std::string(1, c));
      // The editor closes brackets by itself.
      if (c == '(') editor.replace(editor.cursor(), editor.cursor(), ")");
      if (c == '[') editor.replace(editor.cursor(), editor.cursor(), "]");
      const AnchoredPrompt prompt = editor.ask();
      REQUIRE_FALSE(prompt.reanchored);
      REQUIRE(anchored_part(prompt) == before);
      REQUIRE(tokens_of(prompt) <= editor.budget.tokens);
    }
  }
}

TEST_CASE("a new line keeps the anchor until the background renews it") {
  Editor editor("python", "def f(a):\n    b = a^\n    return b\n");
  const std::string before = anchored_part(editor.ask());
  editor.type(" + 1\n    ");
  const AnchoredPrompt kept = editor.ask();
  CHECK_FALSE(kept.reanchored);
  CHECK(anchored_part(kept) == before);
  CHECK(written(kept).ends_with("<end>    b = a + 1\n<forced>    "));
  const AnchoredPrompt renewed = editor.ask(Anchoring::renew);
  CHECK(renewed.reanchored);
  CHECK(written(renewed) ==
        "<bos><begin># src/sample.py\ndef f(a):\n    b = a + 1\n<hole>\n    return b\n<end>"
        "<forced>    ");
  CHECK_FALSE(editor.ask().reanchored);
  CHECK_FALSE(editor.ask(Anchoring::renew).reanchored);
}

TEST_CASE("P begins at top-level nodes and moves in strides of a quarter of its budget") {
  const std::string source = long_source(60);
  Editor editor("python", "^" + source);
  editor.budget.tokens = 600;
  std::set<std::size_t> begins;
  std::size_t last = 0;
  int moves = 0;
  for (std::size_t at = source.find('\n'); at != std::string::npos;
       at = source.find('\n', at + 1)) {
    editor.move(at);
    const AnchoredPrompt prompt = editor.ask();
    const std::size_t begin = prompt.context.anchor.prefix_begin;
    CHECK(tokens_of(prompt) <= 600);
    if (begin == last) continue;
    ++moves;
    CHECK(source.substr(begin, 3) == "def");
    CHECK(begin > last);
    // A quarter of P's budget of more than 350 tokens, at more than two bytes a token.
    CHECK(begin - last > 180);
    last = begin;
  }
  CHECK(moves > 5);
  CHECK(moves < 60);
}

TEST_CASE("S ends where a statement does") {
  const std::string source = long_source(40);
  Editor editor("python", "^\n" + source);
  const AnchoredPrompt prompt = editor.ask();
  const std::string_view behind = editor.text().substr(prompt.context.anchor.suffix_end);
  CHECK(behind.substr(0, behind.find_first_not_of('\n') + 3).ends_with("def"));
  CHECK(prompt.context.anchor.suffix_end > 300);
}

TEST_CASE("edits elsewhere carry the anchor or break it") {
  const Anchor anchor{100, 200, 210, 300};
  const auto edit = [](std::size_t start, std::size_t old_end, std::size_t new_end) {
    return std::vector<ByteEdit>{{start, old_end, new_end, {}, {}, {}}};
  };
  CHECK(carry(anchor, edit(10, 12, 15)).anchor == Anchor{103, 203, 213, 303});
  CHECK(carry(anchor, edit(10, 12, 15)).prefix_intact);
  CHECK(carry(anchor, edit(200, 200, 205)).anchor == Anchor{100, 200, 215, 305});
  CHECK(carry(anchor, edit(210, 210, 215)).anchor == Anchor{100, 200, 215, 305});
  CHECK(carry(anchor, edit(205, 210, 205)).anchor == Anchor{100, 200, 205, 295});
  CHECK(carry(anchor, edit(300, 310, 300)).anchor == anchor);
  CHECK_FALSE(carry(anchor, edit(199, 200, 199)).prefix_intact);
  CHECK(carry(anchor, edit(199, 200, 199)).begin_known);
  CHECK_FALSE(carry(anchor, edit(90, 110, 90)).begin_known);
  CHECK_FALSE(carry(anchor, edit(250, 251, 250)).suffix_intact);
  CHECK(carry(anchor, edit(250, 251, 250)).prefix_intact);
}

TEST_CASE("text taken as accepted is typed behind the same P and S") {
  Editor editor("javascript", "function f(a) {\n  ^\n}\n");
  editor.path = "f.js";
  const std::string before = anchored_part(editor.ask());
  editor.pending = "if (a) {\n    ";
  const AnchoredPrompt prompt = editor.ask();
  CHECK(anchored_part(prompt) == before);
  CHECK(written(prompt).ends_with("<end>  if (a) {\n<forced>    "));
}

TEST_CASE("a model without FIM reads from left to right") {
  Editor editor("python", "a = 1\nb = a^\nc = 2\n");
  editor.fim = false;
  CHECK(written(editor.ask()) == "<bos># src/sample.py\na = 1\nb =<forced> a");
}

TEST_CASE("secrets never enter a prompt, and none is completed") {
  const std::string key = "aB3dE6gH9jK2mN5pQ8sT";
  Editor editor("python", "api_key = \"" + key + "\"\nx = ^\npassword = \"s3cr!tPw9\"\n");
  const AnchoredPrompt prompt = editor.ask();
  CHECK(written(prompt) ==
        "<bos><begin># src/sample.py\napi_key = \"REDACTED\"\n<hole>\n"
        "password = \"REDACTED\"\n<end>x =<forced> ");
  CHECK_FALSE(prompt.secret_at_hole);
  editor.move(editor.text().find("s3cr!tPw9") + 9);
  const AnchoredPrompt inside = editor.ask();
  CHECK(inside.secret_at_hole);
  CHECK(written(inside).find("s3cr") == std::string::npos);
}

TEST_CASE("related context stands in front and stays while P begins where it did") {
  Editor editor("python", "from util import merge\n\nx = merge(^)\n");
  int asked = 0;
  editor.find_related = [&](const Anchor&) {
    ++asked;
    const Language& python = find_language("python");
    return std::vector<RelatedPiece>{
        {PieceKind::recent_edit, "b", "b.py", &python, 0, 6, "e = 2\n"},
        {PieceKind::recent_edit, "a", "a.py", &python, 0, 6, "d = 1\n"},
        {PieceKind::definition, "u", "util.py", &python, 9, 30, "def merge(a, b):\n"},
        {PieceKind::definition, "u", "util.py", &python, 0, 9, "def first():\n"}};
  };
  const std::string related =
      "<bos><begin># util.py\ndef first():\ndef merge(a, b):\n# a.py\nd = 1\n# b.py\ne = 2\n"
      "# src/sample.py\nfrom util";
  CHECK(written(editor.ask()).starts_with(related));
  CHECK(asked == 1);
  editor.type("x");
  CHECK(written(editor.ask()).starts_with(related));
  editor.type("\ny = 1\n");
  CHECK(written(editor.ask(Anchoring::renew)).starts_with(related));
  CHECK(asked == 1);
  editor.ask(Anchoring::rebuild);
  CHECK(asked == 2);
  editor.budget.tokens = 60;
  CHECK(tokens_of(editor.ask(Anchoring::rebuild)) <= 60);
}

TEST_CASE("any place, edit and budget gives a prompt within the budget") {
  std::mt19937 random(11);  // NOLINT: the same edits every time
  const std::vector<std::string> pieces = {
      "x", "\n",   "(", ")",    "def g():\n    ",      "\"\"\"",
      "é", "\r\n", "",  "    ", std::string(3000, 'y')};
  Editor editor("python", long_source(30) + "^");
  for (int i = 0; i < 300; ++i) {
    const std::size_t size = editor.text().size();
    std::size_t begin = random() % (size + 1);
    while (begin > 0 && begin < size &&
           (static_cast<unsigned char>(editor.text()[begin]) & 0xC0) == 0x80)
      --begin;
    editor.replace(begin, begin, pieces[random() % pieces.size()]);
    std::size_t at = random() % (editor.text().size() + 1);
    while (at > 0 && at < editor.text().size() &&
           (static_cast<unsigned char>(editor.text()[at]) & 0xC0) == 0x80) {
      --at;
    }
    editor.move(at);
    editor.budget.tokens = i % 3 == 0 ? 200 : 1024;
    const AnchoredPrompt prompt = editor.ask(i % 2 == 0 ? Anchoring::keep : Anchoring::renew);
    REQUIRE(tokens_of(prompt) <= editor.budget.tokens);
    const Anchor& anchor = prompt.context.anchor;
    REQUIRE(anchor.prefix_begin <= anchor.prefix_end);
    REQUIRE(anchor.prefix_end <= at);
    REQUIRE(at <= anchor.suffix_begin);
    REQUIRE(anchor.suffix_begin <= anchor.suffix_end);
    REQUIRE(anchor.suffix_end <= editor.text().size());
    REQUIRE(prompt.completion.replace_end == anchor.suffix_begin);
  }
}

TEST_CASE("a line of megabytes costs no more than its end") {
  std::string line = "var a=[";
  while (line.size() < 3'000'000) line += "{b:1,c:'x'},";
  const std::string secret = "password:\"s3cr!tPw9\",";
  Editor editor("javascript", line + secret + "^" + line);
  editor.with_tree = false;
  const ThreadClock clock;
  editor.ask();
  const TimePoint begin = clock.now();
  for (int i = 0; i < 5; ++i) {
    editor.type("y");
    const AnchoredPrompt prompt = editor.ask();
    CHECK(tokens_of(prompt) <= editor.budget.tokens);
    CHECK(written(prompt).find("s3cr") == std::string::npos);
    CHECK(written(prompt).find("REDACTED") != std::string::npos);
  }
#ifdef __SANITIZE_ADDRESS__
  constexpr std::chrono::seconds kBound{20};  // instrumented code is many times slower
#else
  constexpr std::chrono::seconds kBound{2};
#endif
  // Encoding the line alone would take a second each time; this takes milliseconds.
  CHECK(clock.now() - begin < kBound);
}

TEST_CASE("the path header is a comment of the language") {
  CHECK(path_header(find_language("python"), "a/b.py") == "# a/b.py\n");
  CHECK(path_header(find_language("css"), "a.css") == "/* a.css */\n");
  CHECK(path_header(find_language("html"), "a.html") == "<!-- a.html -->\n");
  CHECK(path_header(find_language("haskell"), "a.hs") == "-- a.hs\n");
  CHECK(path_header(find_language("json"), "a.json").empty());
  CHECK(path_header(find_language("python"), "").empty());
  CHECK(path_header(find_language("python"), "a\nb").empty());
}

// Run with `lsp_context_tests "[time]"`; a bound in an ordinary test would depend on the machine.
TEST_CASE("time of a keystroke's context in a file of 2,000 lines", "[.time]") {
  const std::string source = long_source(285);
  const std::size_t middle = source.find("def handler_140");
  Editor editor("python", source.substr(0, middle) + "^\n\n" + source.substr(middle));
  editor.ask();
  const ThreadClock clock;
  Duration tree{};
  Duration all{};
  constexpr int kKeys = 40;
  for (int i = 0; i < kKeys; ++i) {
    editor.type("x");
    const TimePoint begin = clock.now();
    editor.parse();
    tree += clock.now() - begin;
    CHECK_FALSE(editor.ask().reanchored);
    all += clock.now() - begin;
  }
  std::cout << "a keystroke: tree " << to_milliseconds(tree) / kKeys
            << " ms, tree, tokens, place and "
            << "prompt " << to_milliseconds(all) / kKeys << " ms\n";
  editor.type("\n");
  const TimePoint begin = clock.now();
  editor.ask(Anchoring::renew);
  std::cout << "renewing the anchor: " << to_milliseconds(clock.now() - begin) << " ms\n";
}

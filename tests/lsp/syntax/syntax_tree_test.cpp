#include "lsp/syntax/syntax_tree.h"

#include <random>
#include <string>

#include <malloc.h>

#include "lsp/syntax/tree_store.h"
#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

std::string shape(const SyntaxTree& tree) {
  char* text = ts_node_string(tree.root());
  std::string result(text);
  free(text);
  return result;
}

// Says that time is up after `looks` readings.
class ImpatientClock final : public Clock {
 public:
  explicit ImpatientClock(int looks) : looks_(looks) {}
  [[nodiscard]] TimePoint now() const override {
    return looks_-- > 0 ? TimePoint{} : TimePoint{} + std::chrono::hours(1);
  }

 private:
  mutable int looks_;
};

std::string long_source(int functions) {
  std::string text;
  for (int i = 0; i < functions; ++i) {
    text += "def f" + std::to_string(i) + "(x):\n    y = [x, (x + 1) * 2]\n    return y\n\n";
  }
  return text;
}

}  // namespace

TEST_CASE("an incremental parse gives the tree of a fresh one") {
  const ManualClock clock;  // no parse takes too long
  std::mt19937 random(7);   // NOLINT: the same edits every time
  const std::vector<std::string> pieces = {"(", ")", "\n", "    ", "x = 1\n", "def g():\n", "\"",
                                           "é", ":", "",   "#",    "[",       "return"};
  const Language& language = find_language("python");
  Text text(long_source(20));
  SyntaxTreePtr tree = parse(language, text.view(), {}, clock);
  for (int i = 0; i < 200; ++i) {
    const std::size_t begin = random() % (text.size() + 1);
    const std::size_t end = std::min(text.size(), begin + random() % 12);
    const ByteEdit edit = text.replace(begin, end, pieces[random() % pieces.size()]);
    tree = reparse(*tree, {&edit, 1}, text.view(), {}, clock);
    REQUIRE(tree);
    REQUIRE(ts_node_end_byte(tree->root()) <= text.size());
  }
  // Error recovery may differ between the two, so they are compared once the text is whole again.
  const ByteEdit repair = text.replace(0, text.size(), long_source(20));
  tree = reparse(*tree, {&repair, 1}, text.view(), {}, clock);
  const SyntaxTreePtr fresh = parse(language, text.view(), {}, clock);
  CHECK(shape(*tree) == shape(*fresh));
}

TEST_CASE("edits of valid code give the tree of a fresh parse") {
  const ManualClock clock;  // no parse takes too long
  const Language& language = find_language("python");
  Text text(long_source(30));
  SyntaxTreePtr tree = parse(language, text.view(), {}, clock);
  for (int i = 0; i < 30; ++i) {
    const std::size_t at = text.line_start(static_cast<std::size_t>(i) * 4 + 1);
    const ByteEdit edit = text.replace(at, at, "    z = {\"k\": x}\n");
    tree = reparse(*tree, {&edit, 1}, text.view(), {}, clock);
    REQUIRE(shape(*tree) == shape(*parse(language, text.view(), {}, clock)));
  }
}

TEST_CASE("the nodes around a range are the innermost one and its parents") {
  const std::string text = long_source(3);
  const SyntaxTreePtr tree = parse(find_language("python"), text, {}, ManualClock());
  for (std::size_t begin = 0; begin <= text.size(); ++begin) {
    for (const std::size_t end : {begin, begin + 1, begin + 9}) {
      if (end > text.size()) continue;
      const auto from = static_cast<std::uint32_t>(begin);
      const auto to = static_cast<std::uint32_t>(end);
      std::vector<TSNode> nodes = nodes_around(*tree, begin, end);
      TSNode node = ts_node_descendant_for_byte_range(tree->root(), from, to);
      for (; !nodes.empty(); nodes.pop_back(), node = ts_node_parent(node)) {
        REQUIRE(ts_node_eq(nodes.back(), node));
      }
      REQUIRE(ts_node_is_null(node));
    }
  }
}

TEST_CASE("a lone carriage return, at which rows differ, does not break editing") {
  const ManualClock clock;  // no parse takes too long
  const Language& language = find_language("javascript");
  Text text(std::string("let a = 1;\rlet b = 2;\nlet c = 3;\n"));
  const SyntaxTreePtr tree = parse(language, text.view(), {}, clock);
  const ByteEdit edit = text.replace(4, 5, "long_name");
  const SyntaxTreePtr after = reparse(*tree, {&edit, 1}, text.view(), {}, clock);
  CHECK(shape(*after) == shape(*parse(language, text.view(), {}, clock)));
}

TEST_CASE("a file that takes too long or is too large is plain text") {
  const std::string text = long_source(2000);
  const Language& language = find_language("python");
  CHECK_FALSE(parse(language, text, {}, ImpatientClock(3)));
  const ManualClock clock;  // no parse takes too long
  CHECK_FALSE(parse(language, text, {.bytes = 1000}, clock));
  CHECK(parse(language, text, {}, clock));
  CHECK_FALSE(parse(plain_text(), text, {}, clock));
}

TEST_CASE("the store parses each revision and skips those nobody asked for") {
  const ManualClock clock;  // no parse takes too long
  DocumentStore documents(1);
  TreeStore trees(documents, clock);
  const DocumentSnapshot first = documents.open("file:///a.py", "python", 1, long_source(3));
  const SyntaxTreePtr tree = trees.tree_of(first);
  REQUIRE(tree);
  CHECK(trees.find(*first) == tree);
  CHECK(trees.tree_of(first) == tree);

  DocumentSnapshot latest;
  for (int i = 0; i < 5; ++i) {
    const std::vector<ContentChange> changes = {{Range{{0, 0}, {0, 0}}, "import os\n"}};
    latest = *documents.change("file:///a.py", 2 + i, changes, PositionEncoding::utf16);
  }
  CHECK_FALSE(trees.find(*latest));
  const SyntaxTreePtr later = trees.tree_of(latest);
  REQUIRE(later);
  CHECK(shape(*later) == shape(*parse(find_language("python"), latest->text.view(), {}, clock)));
  CHECK(trees.tree_of(first));  // an older one is parsed again and does not replace the newer
  CHECK(trees.find(*latest) == later);
  trees.forget(latest->id);
  CHECK_FALSE(trees.find(*latest));
}

TEST_CASE("the store keeps the trees used last within its budget") {
  const ManualClock clock;  // no parse takes too long
  DocumentStore documents(1);
  const DocumentSnapshot first = documents.open("a.py", "python", 1, long_source(100));
  const DocumentSnapshot second = documents.open("b.py", "python", 1, long_source(100));
  const DocumentSnapshot third = documents.open("c.py", "python", 1, long_source(100));
  const std::size_t bytes = parse(find_language("python"), first->text.view(), {}, clock)->bytes();
  TreeStore trees(documents, clock, {}, 2 * bytes);
  REQUIRE(trees.tree_of(first));
  REQUIRE(trees.tree_of(second));
  CHECK(trees.find(*first));
  REQUIRE(trees.tree_of(first));  // used again
  REQUIRE(trees.tree_of(third));
  CHECK(trees.find(*first));
  CHECK_FALSE(trees.find(*second));
  CHECK_FALSE(trees.has_older(*second));
  CHECK(trees.tree_of(second));
}

// A sanitizer's allocator does not count.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
TEST_CASE("the estimate of a tree's size is about what it takes") {
  const ManualClock clock;  // no parse takes too long
  for (const char* language : {"python", "javascript", "go", "c", "json"}) {
    CAPTURE(language);
    const std::string text = long_source(500);
    const std::size_t before = mallinfo2().uordblks;
    const SyntaxTreePtr tree = parse(find_language(language), text, {}, clock);
    const std::size_t taken = mallinfo2().uordblks - before;
    REQUIRE(tree);
    CHECK(tree->bytes() > taken / 2);
    CHECK(tree->bytes() < taken * 2);
  }
}
#endif

TEST_CASE("a file that was too slow is left alone for a while") {
  DocumentStore documents(1);
  const ImpatientClock clock(1);
  TreeStore trees(documents, clock);
  const DocumentSnapshot document = documents.open("a.py", "python", 1, long_source(2000));
  CHECK_FALSE(trees.tree_of(document));
  CHECK_FALSE(trees.tree_of(document));
}

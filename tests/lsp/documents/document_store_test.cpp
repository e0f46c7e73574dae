#include "lsp/documents/document_store.h"

#include <random>
#include <string>
#include <vector>

#include "tests/helpers/catch.h"
#include "tests/lsp/documents/reference_model.h"

using namespace caretd;
using namespace caretd::lsp;
using caretd::test::ReferenceText;

namespace {

const std::string kUri = "file:///a.py";

// Every promise of Text, checked from scratch.
void check_line_index(const Text& text) {
  const Text rebuilt{std::string(text.view())};
  REQUIRE(text.line_starts() == rebuilt.line_starts());
}

// Replays `edits` on `before`, taking inserted bytes from `after`'s history being impossible to
// see, so only sizes and untouched bytes are compared.
void check_edits_bridge(const Document& before, const Document& after) {
  std::size_t size = before.text.size();
  for (const ByteEdit& edit : after.edits) {
    REQUIRE(edit.start <= edit.old_end);
    REQUIRE(edit.old_end <= size);
    size = size - edit.old_end + edit.new_end;
  }
  REQUIRE(size == after.text.size());
}

void edit_at_random(PositionEncoding encoding, std::uint32_t seed, int edits) {
  std::mt19937 random(seed);
  DocumentStore store(1);
  ReferenceText reference(test::random_text(random, 400));
  DocumentSnapshot snapshot = store.open(kUri, "python", 1, reference.utf8());

  for (int done = 0; done < edits;) {
    std::vector<ContentChange> changes(1 + random() % 3);
    const auto lines = static_cast<std::uint32_t>(snapshot->text.line_count());
    for (ContentChange& change : changes) {
      const std::u32string with = test::random_text(random, random() % 20 == 0 ? 200 : 6);
      change.text = test::to_utf8(with);
      if (random() % 500 == 0) {
        reference = ReferenceText(with);
      } else {
        Position start = test::random_position(random, lines);
        Position end = start;
        if (random() % 2 == 0) end.character += random() % 5;
        if (random() % 8 == 0) end = test::random_position(random, lines);
        change.range = Range{start, end};
        reference.replace(*change.range, with, encoding);
      }
      ++done;
    }
    const DocumentSnapshot before = snapshot;
    snapshot = store.change(kUri, done, changes, encoding).value();
    REQUIRE(snapshot->text.view() == reference.utf8());
    REQUIRE(snapshot->revision == before->revision + 1);
    check_line_index(snapshot->text);
    check_edits_bridge(*before, *snapshot);
  }
}

}  // namespace

TEST_CASE("10,000 random edits of any Unicode equal a naive model after each") {
  SECTION("utf-8") {
    edit_at_random(PositionEncoding::utf8, 1, 10000);
  }
  SECTION("utf-16") {
    edit_at_random(PositionEncoding::utf16, 2, 10000);
  }
  SECTION("utf-32") {
    edit_at_random(PositionEncoding::utf32, 3, 10000);
  }
}

TEST_CASE("a snapshot stays what it was while the document changes") {
  DocumentStore store(1);
  const DocumentSnapshot first = store.open(kUri, "python", 1, "a = 1\n");
  const std::vector<ContentChange> changes = {{Range{{0, 4}, {0, 5}}, "2"},
                                              {Range{{0, 5}, {0, 5}}, "3"}};
  const DocumentSnapshot second = store.change(kUri, 2, changes, PositionEncoding::utf16).value();
  CHECK(first->text.view() == "a = 1\n");
  CHECK(second->text.view() == "a = 23\n");
  CHECK(second->version == 2);
  CHECK(second->id == first->id);
  CHECK(store.find(kUri) == second);
}

TEST_CASE("edits carry the points tree-sitter needs") {
  DocumentStore store(1);
  store.open(kUri, "python", 1, "ab\ncd\nef");
  const std::vector<ContentChange> changes = {{Range{{0, 1}, {1, 1}}, "1\n2\n34"}};
  const DocumentSnapshot after = store.change(kUri, 2, changes, PositionEncoding::utf8).value();
  CHECK(after->text.view() == "a1\n2\n34d\nef");
  REQUIRE(after->edits.size() == 1);
  const ByteEdit& edit = after->edits[0];
  CHECK(edit.start == 1);
  CHECK(edit.old_end == 4);
  CHECK(edit.new_end == 7);
  CHECK(edit.start_point == TextPoint{0, 1});
  CHECK(edit.old_end_point == TextPoint{1, 1});
  CHECK(edit.new_end_point == TextPoint{2, 2});
}

TEST_CASE("edits between revisions are remembered for a while") {
  DocumentStore store(3);
  const DocumentSnapshot first = store.open(kUri, "go", 1, "");
  DocumentSnapshot latest = first;
  const std::size_t total = DocumentStore::kRememberedEdits + 10;
  for (std::size_t i = 0; i < total; ++i) {
    const std::vector<ContentChange> changes = {{Range{{0, 0}, {0, 0}}, "x"}};
    latest = store.change(kUri, static_cast<int>(i), changes, PositionEncoding::utf8).value();
  }
  CHECK_FALSE(store.edits_between(first->id, 0, latest->revision).has_value());
  CHECK(store.edits_between(first->id, 10, latest->revision)->size() == total - 10);
  CHECK(store.edits_between(first->id, total, total)->empty());
  CHECK_FALSE(store.edits_between(first->id, total, total + 1).has_value());
  CHECK_FALSE(store.edits_between(first->id + 1, 0, 0).has_value());
  store.close(kUri);
  CHECK_FALSE(store.edits_between(first->id, total, total).has_value());
}

TEST_CASE("documents that are opened twice, unknown or closed") {
  DocumentStore store(1);
  const DocumentSnapshot first = store.open(kUri, "go", 1, "one");
  const DocumentSnapshot second = store.open(kUri, "go", 1, "two");
  CHECK(first->id != second->id);
  CHECK(store.all().size() == 1);
  const std::vector<ContentChange> changes = {{std::nullopt, "x"}};
  CHECK(store.change("file:///other", 1, changes, PositionEncoding::utf8).error().kind ==
        ErrorKind::not_found);
  CHECK(store.close(kUri) == second);
  CHECK(store.close(kUri) == nullptr);
  CHECK(store.find(kUri) == nullptr);
}

TEST_CASE("ids differ between sessions") {
  DocumentStore one(1);
  DocumentStore two(2);
  CHECK(one.open(kUri, "go", 1, "")->id != two.open(kUri, "go", 1, "")->id);
}

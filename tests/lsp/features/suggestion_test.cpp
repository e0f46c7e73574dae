#include "lsp/features/suggestion.h"

#include <string>
#include <vector>

#include "lsp/documents/document_store.h"
#include "tests/helpers/catch.h"

using namespace caretd::lsp;

namespace {

/// A document that is edited; `|` in a text marks the cursor.
class Place {
 public:
  explicit Place(const std::string& marked) {
    const std::size_t cursor = marked.find('|');
    before_ = store_.open("file:///a", "python", 1, without_mark(marked));
    suggestion_ = {1, before_, cursor, cursor, cursor, "", 0};
  }

  Place& suggests(std::string text, std::size_t replaced = 0) {
    suggestion_.text = std::move(text);
    suggestion_.end += replaced;
    return *this;
  }
  Place& continues(std::size_t bytes) {
    suggestion_.continues = bytes;
    return *this;
  }

  /// What is offered when the document reads so: "text/replaced bytes", "-" for nothing.
  std::string offered(const std::string& marked, const std::string& pending = "") {
    const std::size_t cursor = marked.find('|');
    const std::vector<ContentChange> all = {{std::nullopt, without_mark(marked)}};
    const auto now = store_.change("file:///a", 2, all, PositionEncoding::utf8).value();
    const auto offer = fit(suggestion_, {now, cursor, pending, cursor});
    if (!offer) return "-";
    CHECK(offer->begin == cursor);
    return offer->text + "/" + std::to_string(offer->end - offer->begin);
  }

 private:
  static std::string without_mark(std::string text) { return text.erase(text.find('|'), 1); }

  DocumentStore store_{1};
  DocumentSnapshot before_;
  Suggestion suggestion_;
};

struct ExpectedOffer {
  std::string document;  ///< with the cursor marked
  std::string offer;     ///< as Place::offered() writes it
  std::string pending = {};
};

void check_offers(Place& place, const std::vector<ExpectedOffer>& expected) {
  for (const ExpectedOffer& one : expected) {
    INFO(one.document);
    CHECK(place.offered(one.document, one.pending) == one.offer);
  }
}

}  // namespace

TEST_CASE("a suggestion fits where it was made and behind what was typed of it") {
  check_offers(Place("x = |\ny").suggests("foo(1)"), {{"x = |\ny", "foo(1)/0"},
                                                      {"x = fo|\ny", "o(1)/0"},
                                                      {"x = foo(1|\ny", ")/0"},
                                                      {"x = foo(1)|\ny", "-"},
                                                      {"x = foo(1) |\ny", "-"}});
}

TEST_CASE("a suggestion does not fit where the text differs") {
  check_offers(Place("x = |\ny").suggests("foo(1)"), {{"x = fa|\ny", "-"},
                                                      {"z = fo|\ny", "-"},
                                                      {"x = fo|\nz", "-"},
                                                      {"x =| \ny", "-"},
                                                      {"x = f|z\ny", "-"}});
}

TEST_CASE("closers that the editor inserted are replaced by those of the suggestion") {
  check_offers(
      Place("x = |\ny").suggests("foo([1])"),
      {{"x = foo(|)\ny", "[1])/1"}, {"x = foo([|])\ny", "1])/2"}, {"x = foo([1|])\ny", "])/2"}});
}

TEST_CASE("closers that the suggestion does not bring stay") {
  check_offers(Place("x = |\ny").suggests("foo(1"), {{"x = foo(|)\ny", "1/0"}});
}

TEST_CASE("closers that were replaceable from the start stay replaceable") {
  check_offers(Place("foo(|)\ny").suggests("1)", 1),
               {{"foo(|)\ny", "1)/1"}, {"foo(1|)\ny", ")/1"}});
}

TEST_CASE("a continuation waits for what it continues") {
  check_offers(Place("x = |\n").suggests("foo\nbar").continues(3),
               {{"x = |\n", "-"}, {"x = fo|\n", "-"}, {"x = foo|\n", "\nbar/0"}});
}

TEST_CASE("the popup's item counts as typed") {
  check_offers(Place("x = |\n").suggests("foo(1)"),
               {{"x = |\n", "foo(1)/0", "foo"}, {"x = |\n", "-", "fox"}});
}

TEST_CASE("suggestions for versions of a large document are few") {
  DocumentStore store(1);
  SuggestionCache cache(16, 1000);
  std::vector<DocumentSnapshot> versions;
  for (std::uint64_t id = 1; id <= 4; ++id) {
    versions.push_back(store.open("file:///a", "python", 1, std::string(400, ' ')));
    cache.add({id, versions.back(), 0, 0, 0, "x", 0});
  }
  CHECK(cache.size() == 2);
  CHECK(cache.find({versions[3], 0, {}, 0}));
  CHECK_FALSE(cache.find({versions[0], 0, {}, 0}));
}

TEST_CASE("the newest suggestion that fits is found, alternatives last, the oldest forgotten") {
  DocumentStore store(1);
  const auto document = store.open("file:///a", "python", 1, "");
  const PromptQuery query{document, 0, {}, 0};
  SuggestionCache cache(3);
  CHECK_FALSE(cache.find(query));
  cache.add({1, document, 0, 0, 0, "one", 0});
  cache.add({2, document, 0, 0, 0, "two", 0});
  cache.add_last({3, document, 0, 0, 0, "three", 0});
  CHECK(cache.find(query)->text == "two");
  cache.add({4, document, 0, 0, 0, "four", 0});
  CHECK(cache.find(query)->text == "four");
  cache.clear();
  CHECK_FALSE(cache.find(query));
}

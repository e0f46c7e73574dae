#include "engine/cache/prefix_tree.h"

#include <algorithm>
#include <random>
#include <vector>

#include "engine/cache/page_pool.h"
#include "tests/engine/cache/cache_fixture.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)

using caretd::test::concat;
using caretd::test::Tokens;

namespace {

Tokens page_of(TokenId token) {
  return Tokens(kPageTokens, token);
}

int naive_match(const std::vector<Tokens>& known, const Tokens& wanted) {
  size_t best = 0;
  for (const Tokens& tokens : known) {
    const auto [end, ignored] = std::ranges::mismatch(tokens, wanted);
    best = std::max(best, static_cast<size_t>(end - tokens.begin()));
  }
  return static_cast<int>(best);
}

}  // namespace

TEST_CASE("a page pool hands out every page once and then nothing") {
  PagePool pool(3);
  std::vector<PageId> pages;
  while (const auto page = pool.allocate()) pages.push_back(*page);
  std::ranges::sort(pages);
  CHECK(pages == std::vector<PageId>{0, 1, 2});
  CHECK(pool.used() == 3);
  pool.free(1);
  CHECK(pool.allocate() == 1);
}

TEST_CASE("a match ends inside a page where the tokens differ") {
  PrefixTree tree;
  CacheNode& first = tree.insert(tree.root(), page_of(7), 0);
  tree.insert(first, Tokens{1, 2, 3, 4}, 1);
  tree.insert(first, Tokens{1, 2, 9}, 2);

  const PrefixMatch match = tree.match(concat(page_of(7), {1, 2, 3, 5}));
  CHECK(match.full == std::vector<CacheNode*>{&first});
  REQUIRE(match.partial != nullptr);
  CHECK(match.partial->page == 1);
  CHECK(match.partial_tokens == 3);
  CHECK(match.tokens() == kPageTokens + 3);
  CHECK(tree.match_length(concat(page_of(7), {1, 2, 9, 9})) == kPageTokens + 3);
  CHECK(tree.match_length(Tokens{8}) == 0);
  CHECK(tree.match_length(page_of(7)) == kPageTokens);
  CHECK(tree.match_length({}) == 0);
}

TEST_CASE("children stay in order while one of them grows past another") {
  PrefixTree tree;
  CacheNode& growing = tree.insert(tree.root(), Tokens{1}, 0);
  tree.insert(tree.root(), Tokens{1, 5}, 1);
  tree.insert(tree.root(), Tokens{1, 7}, 2);
  tree.extend(growing, Tokens{6, 6});
  CHECK(tree.match(Tokens{1, 6, 6}).partial == &growing);
  CHECK(tree.match(Tokens{1, 7}).partial->page == 2);
  CHECK(tree.match(Tokens{1, 5}).partial->page == 1);
}

TEST_CASE("the longest match is found among random siblings") {
  std::mt19937 random(7);
  const auto random_tokens = [&](int longest) {
    Tokens tokens(1 + random() % static_cast<unsigned>(longest));
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 3);
    return tokens;
  };
  for (int round = 0; round < 200; ++round) {
    PrefixTree tree;
    std::vector<Tokens> known;
    for (int i = 0; i < 30; ++i) {
      Tokens tokens = random_tokens(8);
      CacheNode& node = tree.insert(tree.root(), tokens, i);
      if (random() % 2 == 0) {
        const Tokens more = random_tokens(8);
        tree.extend(node, more);
        tokens = concat(tokens, more);
      }
      known.push_back(tokens);
    }
    for (int i = 0; i < 30; ++i) {
      const Tokens wanted = random_tokens(16);
      REQUIRE(tree.match_length(wanted) == naive_match(known, wanted));
      REQUIRE(tree.match(wanted).tokens() == naive_match(known, wanted));
    }
  }
}

TEST_CASE("leaves go first, least recently used first, pinned last") {
  PrefixTree tree;
  CacheNode& parent = tree.insert(tree.root(), page_of(1), 0);
  CacheNode& child = tree.insert(parent, Tokens{1}, 1);
  tree.advance_time();
  CacheNode& other = tree.insert(tree.root(), Tokens{2}, 2);
  CHECK(tree.next_resident_victim() == &child);
  tree.pin(child);
  CHECK(tree.pinned() == 2);
  CHECK(tree.next_resident_victim() == &other);
  tree.ref(other);
  CHECK(tree.next_resident_victim() == &child);
  tree.unref(other);
  tree.unpin(child);
  tree.set_page(child, kNoPage);
  CHECK(tree.next_resident_victim() == &parent);
  tree.set_host_slot(child, 0);
  CHECK(tree.next_host_victim() == &child);
}

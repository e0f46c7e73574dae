#include "engine/cache/kv_cache.h"

#include "tests/engine/cache/cache_fixture.h"

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)
using namespace caretd::test;    // NOLINT(google-build-using-namespace)

TEST_CASE("a second request computes only what the first did not") {
  CacheFixture fixture({.pages = 16});
  const Tokens prompt = text(150, 1);
  CHECK(fixture.run(prompt) == 0);
  CHECK(fixture.run(concat(prompt, {5, 6, 7})) == 150);
  CHECK(fixture.run(prompt) == 150);
  // An edit in the middle rewinds to it, inside a page.
  Tokens edited = prompt;
  edited[100] = 89;
  CHECK(fixture.run(edited) == 100);
}

TEST_CASE("a sequence that continues the last page writes on in it without a copy") {
  CacheFixture fixture({.pages = 16});
  const Tokens prompt = text(70, 1);
  fixture.run(prompt);
  const int used = fixture.cache.used_pages();
  CHECK(fixture.run(concat(prompt, {1, 2})) == 70);
  CHECK(fixture.log->page_copies() == 0);
  CHECK(fixture.cache.used_pages() == used);
}

TEST_CASE("the tokens of a running sequence are found, its last page is copied") {
  CacheFixture fixture({.pages = 16});
  const Tokens prompt = text(100, 1);
  const auto first = fixture.open(prompt);
  REQUIRE(fixture.compute(*first, 90));
  const auto second = fixture.open(prompt);
  CHECK(second->table.tokens() == 90);
  CHECK(second->table.pages()[0] == first->table.pages()[0]);
  CHECK(second->table.pages()[1] != first->table.pages()[1]);
  REQUIRE(fixture.compute_all(*first));
  REQUIRE(fixture.compute_all(*second));
  fixture.cache.close(first->table);
  fixture.cache.close(second->table);
  CHECK(fixture.cache.used_pages() == 2);
  CHECK(fixture.log->violations().empty());
}

TEST_CASE("two sequences that computed the same page keep one of the two") {
  CacheFixture fixture({.pages = 16});
  const Tokens prompt = text(80, 1);
  const auto first = fixture.open(prompt);
  const auto second = fixture.open(prompt);
  REQUIRE(fixture.compute_all(*first));
  REQUIRE(fixture.compute_all(*second));
  CHECK(first->table.pages()[0] == second->table.pages()[0]);
  fixture.cache.close(first->table);
  fixture.cache.close(second->table);
  CHECK(fixture.cache.used_pages() == 2);
}

TEST_CASE("the least recently used path is evicted, from its end") {
  CacheFixture fixture({.pages = 6});
  fixture.run(text(128, 1));
  fixture.run(text(128, 2));
  fixture.run(text(128, 1));
  fixture.run(text(192, 3));
  CHECK(fixture.cache.used_pages() == 6);
  CHECK(fixture.cache.cached_tokens(text(128, 1)) == 128);
  CHECK(fixture.cache.cached_tokens(text(128, 2)) == kPageTokens);
  CHECK(fixture.cache.cached_tokens(text(192, 3)) == 192);
}

TEST_CASE("an owner's latest path outlives what is younger") {
  CacheFixture fixture({.pages = 6});
  const CacheOwner file = 17;
  fixture.run(text(128, 9), file);
  fixture.run(text(128, 1), file);
  for (int seed = 2; seed < 8; ++seed) fixture.run(text(128, seed));
  CHECK(fixture.cache.cached_tokens(text(128, 1)) == 128);
  CHECK(fixture.cache.cached_tokens(text(128, 9)) == 0);
  CHECK(fixture.cache.pinned_pages() == 2);

  SECTION("until it is released") {
    fixture.cache.release(file);
    CHECK(fixture.cache.pinned_pages() == 0);
    for (int seed = 2; seed < 8; ++seed) fixture.run(text(128, seed));
    CHECK(fixture.cache.cached_tokens(text(128, 1)) == 0);
  }
  SECTION("or what is running needs its pages") {
    fixture.run(text(320, 3));
    CHECK(fixture.cache.cached_tokens(text(128, 1)) == kPageTokens);
    CHECK(fixture.cache.pinned_pages() == 1);
    fixture.run(text(384, 4));
    CHECK(fixture.cache.pinned_pages() == 0);
  }
}

TEST_CASE("clear forgets all but what is running") {
  CacheFixture fixture({.pages = 8});
  fixture.run(text(128, 1), 5);
  const auto running = fixture.open(concat(text(64, 1), text(40, 2)));
  REQUIRE(fixture.compute_all(*running));
  fixture.cache.clear();
  CHECK(fixture.cache.used_pages() == 2);
  CHECK(fixture.cache.cached_tokens(text(128, 1)) == 64);
  fixture.cache.close(running->table);
  fixture.cache.clear();
  CHECK(fixture.cache.used_pages() == 0);
  CHECK(fixture.cache.pinned_pages() == 0);
}

TEST_CASE("a sequence that needs more pages than there are is told so and loses nothing") {
  CacheFixture fixture({.pages = 4});
  const auto running = fixture.open(text(100, 1));
  REQUIRE(fixture.compute_all(*running));
  CHECK_FALSE(fixture.cache.reserve(running->table, 200));
  CHECK(fixture.cache.reserve(running->table, 28));
  CHECK(fixture.cache.available_pages() == 2);
  fixture.cache.close(running->table);
  CHECK(fixture.cache.available_pages() == 4);
}

TEST_CASE("evicted pages come back from the host instead of being recomputed") {
  CacheFixture fixture({.pages = 4, .host_pages = 8});
  const Tokens first = text(200, 1);
  fixture.run(first);
  fixture.run(text(256, 2));
  CHECK(fixture.cache.host_pages() == 4);
  CHECK(fixture.cache.cached_tokens(first) == 200);
  CHECK(fixture.run(first) == 200);
  CHECK(fixture.log->pages_written() == 4);
  CHECK(fixture.run(concat(Tokens(first.begin(), first.begin() + 150), {1, 2, 3})) == 150);
}

TEST_CASE("a full host keeps the younger copies") {
  CacheFixture fixture({.pages = 4, .host_pages = 4});
  for (int seed = 1; seed <= 3; ++seed) fixture.run(text(256, seed));
  CHECK(fixture.cache.host_pages() == 4);
  CHECK(fixture.cache.cached_tokens(text(256, 1)) == 0);
  CHECK(fixture.cache.cached_tokens(text(256, 2)) == 256);
  CHECK(fixture.run(text(256, 2)) == 256);
}

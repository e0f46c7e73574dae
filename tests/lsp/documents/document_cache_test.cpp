#include "lsp/documents/document_cache.h"

#include <string>

#include "tests/helpers/catch.h"

using caretd::lsp::DocumentCache;

TEST_CASE("what was used the longest ago goes when the budget is exceeded") {
  DocumentCache<std::string> cache(100);
  cache.put(1, "a", 40);
  cache.put(2, "b", 40);
  REQUIRE(cache.use(1));
  REQUIRE(cache.find(2));  // looking is no use
  cache.put(3, "c", 40);
  CHECK_FALSE(cache.find(2));
  REQUIRE(cache.find(1));
  CHECK(*cache.find(1) == "a");
  CHECK(*cache.find(3) == "c");
}

TEST_CASE("a value that is replaced or forgotten gives its bytes back") {
  DocumentCache<std::string> cache(100);
  for (int i = 0; i < 10; ++i) cache.put(1, "a", 60);
  cache.put(2, "b", 40);
  CHECK(cache.find(1));
  cache.forget(1);
  cache.forget(1);
  CHECK_FALSE(cache.find(1));
  cache.put(3, "c", 60);
  CHECK(cache.find(2));
}

TEST_CASE("the value used last stays, whatever it costs") {
  DocumentCache<std::string> cache(100);
  cache.put(1, "a", 10);
  cache.put(2, "b", 500);
  CHECK_FALSE(cache.find(1));
  CHECK(cache.find(2));
  cache.put(3, "c", 10);
  CHECK_FALSE(cache.find(2));
  CHECK(cache.find(3));
}

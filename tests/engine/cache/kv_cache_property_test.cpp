// Random operations against a model that forgets nothing and finds prefixes by comparing.
#include <algorithm>
#include <random>
#include <set>

#include "tests/engine/cache/cache_fixture.h"

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)
using namespace caretd::test;    // NOLINT(google-build-using-namespace)

namespace {

class RandomWalk {
 public:
  RandomWalk(FakeRunnerOptions options, unsigned seed)
      : random_(seed), fixture_(options), everything_fits_(options.pages > 1000) {}

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      operate();
      check();
    }
    for (const auto& sequence : running_) fixture_.cache.close(sequence->table);
    running_.clear();
    fixture_.cache.clear();
    CHECK(fixture_.cache.used_pages() == 0);
    CHECK(fixture_.cache.pinned_pages() == 0);
    CHECK(fixture_.cache.host_pages() == 0);
    CHECK(fixture_.cache.available_pages() == fixture_.cache.capacity());
    CHECK(fixture_.log->violations().empty());
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  void operate() {
    const int dice = below(100);
    if (dice < 25 && running_.size() < 6) return open();
    if (dice < 75 && !running_.empty()) return compute();
    if (dice < 92 && !running_.empty()) return close();
    if (dice < 95) return fixture_.cache.release(static_cast<CacheOwner>(1 + below(4)));
    if (dice == 99 && below(10) == 0) {
      fixture_.cache.clear();
      forget();
    }
  }

  /// Something known up to a random place and something new behind it.
  Tokens some_tokens() {
    Tokens tokens;
    if (!known_.empty() && below(8) != 0) {
      auto from = known_.begin();
      std::advance(from, below(static_cast<int>(known_.size())));
      tokens = *from;
      tokens.resize(static_cast<size_t>(below(static_cast<int>(tokens.size()) + 1)));
    }
    const int more = below(4) == 0 ? below(150) : 1 + below(6);
    for (int i = 0; i < more; ++i) tokens.push_back(below(3));
    if (tokens.size() > 700) tokens.resize(700);
    return tokens;
  }

  int expected_match(const Tokens& wanted) const {
    size_t best = 0;
    for (const Tokens& tokens : known_) {
      const auto [end, ignored] = std::ranges::mismatch(tokens, wanted);
      best = std::max(best, static_cast<size_t>(end - tokens.begin()));
    }
    return static_cast<int>(best);
  }

  void open() {
    const Tokens tokens = some_tokens();
    const int promised = fixture_.cache.cached_tokens(tokens);
    const int expected = expected_match(tokens);
    REQUIRE((everything_fits_ ? promised == expected : promised <= expected));
    running_.push_back(fixture_.open(tokens, static_cast<CacheOwner>(below(5))));
    const int found = running_.back()->table.tokens();
    REQUIRE((everything_fits_ ? found == promised : found <= promised));
  }

  void compute() {
    RunningSequence& sequence =
        *running_[static_cast<size_t>(below(static_cast<int>(running_.size())))];
    const int missing = static_cast<int>(sequence.tokens.size()) - sequence.table.tokens();
    if (missing == 0) return;
    if (!fixture_.compute(sequence, 1 + below(missing))) {
      REQUIRE_FALSE(everything_fits_);
      return;
    }
    const auto computed = static_cast<std::ptrdiff_t>(sequence.table.tokens());
    known_.insert(Tokens(sequence.tokens.begin(), sequence.tokens.begin() + computed));
  }

  void close() {
    const auto at = running_.begin() + below(static_cast<int>(running_.size()));
    fixture_.cache.close((*at)->table);
    running_.erase(at);
  }

  void forget() {
    known_.clear();
    for (const auto& sequence : running_) {
      const auto computed = static_cast<std::ptrdiff_t>(sequence->table.tokens());
      known_.insert(Tokens(sequence->tokens.begin(), sequence->tokens.begin() + computed));
    }
  }

  void check() {
    REQUIRE(fixture_.log->violations().empty());
    const KvCache& cache = fixture_.cache;
    REQUIRE(cache.used_pages() <= cache.capacity());
    REQUIRE(cache.pinned_pages() <= cache.used_pages());
    std::set<PageId> in_use;
    for (const auto& sequence : running_) {
      const auto pages = sequence->table.pages();
      in_use.insert(pages.begin(), pages.end());
    }
    REQUIRE(cache.available_pages() == cache.capacity() - static_cast<int>(in_use.size()));
  }

  std::mt19937 random_;
  CacheFixture fixture_;
  const bool everything_fits_;
  std::vector<std::unique_ptr<RunningSequence>> running_;
  std::set<Tokens> known_;
};

}  // namespace

TEST_CASE("random use of a cache that is large enough finds every prefix") {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    RandomWalk({.pages = 4000, .vocab = 8}, seed).run(1500);
  }
}

TEST_CASE("random use of a small cache stays in its budget and never mixes histories") {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    RandomWalk({.pages = 24, .vocab = 8}, seed).run(1500);
  }
}

TEST_CASE("random use of a small cache with host copies never mixes histories") {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    RandomWalk({.pages = 20, .host_pages = 16, .vocab = 8}, seed).run(1500);
  }
}

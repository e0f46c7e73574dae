// A KvCache over the fake runner, driven the way the scheduler drives it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/fake_runner.h"

namespace caretd::test {

using Tokens = std::vector<engine::TokenId>;

/// One sequence that computes what it was given, token run by token run.
struct RunningSequence {
  Tokens tokens;
  engine::PageTable table;
};

struct CacheFixture {
  explicit CacheFixture(FakeRunnerOptions options)
      : runner_options(options), runner(options, log), cache(runner) {}

  std::unique_ptr<RunningSequence> open(const Tokens& tokens, engine::CacheOwner owner = 0) {
    auto sequence = std::make_unique<RunningSequence>();
    sequence->tokens = tokens;
    REQUIRE(cache.open(sequence->table, tokens, owner));
    return sequence;
  }

  /// Computes the next `count` tokens; false when there is no room for them.
  bool compute(RunningSequence& sequence, int count) {
    const int from = sequence.table.tokens();
    if (!cache.reserve(sequence.table, count)) return false;
    const auto tokens =
        std::span(sequence.tokens).subspan(static_cast<size_t>(from), static_cast<size_t>(count));
    const engine::TokenRun run{.tokens = tokens, .position = from, .pages = sequence.table.pages()};
    const auto rows = runner.forward({&run, 1});
    REQUIRE(rows);
    const auto history = std::span(sequence.tokens).first(static_cast<size_t>(from + count));
    REQUIRE(rows->front().candidates.front().id == FakeRunner::greedy(runner_options, history));
    cache.commit(sequence.table, tokens);
    return true;
  }

  bool compute_all(RunningSequence& sequence) {
    const int missing = static_cast<int>(sequence.tokens.size()) - sequence.table.tokens();
    return missing == 0 || compute(sequence, missing);
  }

  /// Opens, computes and closes; returns how many tokens the cache had.
  int run(const Tokens& tokens, engine::CacheOwner owner = 0) {
    const auto sequence = open(tokens, owner);
    const int found = sequence->table.tokens();
    REQUIRE(compute_all(*sequence));
    cache.close(sequence->table);
    REQUIRE(log->violations().empty());
    return found;
  }

  FakeRunnerOptions runner_options;
  std::shared_ptr<FakeRunnerLog> log = std::make_shared<FakeRunnerLog>();
  FakeRunner runner;
  engine::KvCache cache;
};

/// `count` tokens that depend on `seed` at every position.
inline Tokens text(int count, int seed) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * 7 + seed * 31 + i * seed) % 90);
  return tokens;
}

inline Tokens concat(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace caretd::test

// Pages on the device: copies, and the way to the host and back.
#include "tests/gpu/gpu_fixture.h"

using namespace caretd::engine;
using namespace caretd::test;

TEST_CASE("a page that left and came back answers as before", "[pages]") {
  const auto checkpoint = open_checkpoint("models/tiny");
  const auto runner = gpu_runner(checkpoint);
  const auto tokens = random_tokens(100, checkpoint->config().vocab_size, 9);
  const std::vector<PageId> pages{3, 5};
  const auto step = [&](std::span<const TokenId> ids, int position,
                        const std::vector<PageId>& where) {
    const TokenRun run{
        .tokens = ids, .position = position, .pages = where, .output = Output::logits};
    const auto rows = runner->forward(std::span(&run, 1));
    REQUIRE(rows);
    return std::vector<float>(rows->front().logits.begin(), rows->front().logits.end());
  };
  step(std::span(tokens).first(99), 0, pages);
  const auto expected = step(std::span(tokens).last(1), 99, pages);

  std::vector<std::byte> content(static_cast<std::size_t>(runner->info().page_bytes));
  REQUIRE(runner->read_page(3, content));
  REQUIRE(runner->write_page(7, content));
  REQUIRE(runner->copy_page(5, 8, 35));
  CHECK(step(std::span(tokens).last(1), 99, {7, 8}) == expected);
  CHECK_FALSE(runner->read_page(runner->info().pages, content));
  CHECK_FALSE(runner->write_page(0, std::span(content).first(10)));
}

TEST_CASE("what the caller gets wrong is an error, and the runner goes on", "[pages]") {
  const auto checkpoint = open_checkpoint("models/tiny");
  const auto runner = gpu_runner(checkpoint);
  const std::vector<TokenId> tokens{1, 2, 3};
  const std::vector<TokenId> unknown{checkpoint->config().vocab_size};
  const std::vector<PageId> pages{0};
  const std::vector<PageId> nowhere{runner->info().pages};
  const auto run = [&](const TokenRun& r) { return runner->forward(std::span(&r, 1)).has_value(); };
  CHECK_FALSE(run({.tokens = unknown, .position = 0, .pages = pages}));
  CHECK_FALSE(run({.tokens = tokens, .position = 62, .pages = pages}));
  CHECK_FALSE(run({.tokens = tokens, .position = 0, .pages = nowhere}));
  CHECK_FALSE(
      run({.tokens = tokens, .position = checkpoint->config().context_tokens, .pages = pages}));
  CHECK(run({.tokens = tokens, .position = 0, .pages = pages}));
}

TEST_CASE("a batch answers every sequence as if it were alone", "[pages]") {
  const auto checkpoint = open_checkpoint("models/tiny");
  const auto runner = gpu_runner(checkpoint);
  const int vocabulary = checkpoint->config().vocab_size;
  constexpr int kSequences = 40;
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::vector<PageId>> pages;
  std::vector<std::vector<float>> alone;
  for (int s = 0; s < kSequences; ++s) {
    tokens.push_back(random_tokens(1 + s * 3 % 70, vocabulary, static_cast<unsigned>(s)));
    pages.push_back({2 * s, 2 * s + 1});
    const TokenRun run{
        .tokens = tokens.back(), .position = 0, .pages = pages.back(), .output = Output::logits};
    const auto rows = runner->forward(std::span(&run, 1));
    REQUIRE(rows);
    alone.emplace_back(rows->front().logits.begin(), rows->front().logits.end());
  }
  std::vector<TokenRun> batch;
  for (std::size_t s = 0; s < kSequences; ++s) {
    batch.push_back(
        {.tokens = tokens[s], .position = 0, .pages = pages[s], .output = Output::logits});
  }
  const auto rows = runner->forward(batch);
  REQUIRE(rows);
  REQUIRE(rows->size() == kSequences);
  for (std::size_t s = 0; s < kSequences; ++s) {
    CHECK(relative_error((*rows)[s].logits, alone[s]) < 0.05);
  }
}

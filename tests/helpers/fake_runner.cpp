#include "tests/helpers/fake_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

namespace caretd::test {

using engine::kPageTokens;
using engine::Output;
using engine::PageId;
using engine::TokenId;
using engine::TokenRun;

namespace {

/// SplitMix64's finaliser.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

std::uint64_t extend(std::uint64_t history, TokenId token) {
  return mix(history * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(token) + 1);
}

}  // namespace

std::vector<FakeRunnerLog::Step> FakeRunnerLog::steps() const {
  const std::lock_guard lock(mutex_);
  return steps_;
}

int FakeRunnerLog::computed_tokens() const {
  const std::lock_guard lock(mutex_);
  int total = 0;
  for (const Step& step : steps_) {
    for (const Run& run : step) total += run.tokens;
  }
  return total;
}

int FakeRunnerLog::page_copies() const {
  const std::lock_guard lock(mutex_);
  return page_copies_;
}

int FakeRunnerLog::pages_read() const {
  const std::lock_guard lock(mutex_);
  return pages_read_;
}

int FakeRunnerLog::pages_written() const {
  const std::lock_guard lock(mutex_);
  return pages_written_;
}

std::vector<std::string> FakeRunnerLog::violations() const {
  const std::lock_guard lock(mutex_);
  return violations_;
}

void FakeRunnerLog::forget_steps() {
  const std::lock_guard lock(mutex_);
  steps_.clear();
}

void FakeRunnerLog::set_fault(Fault fault) {
  const std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

FakeRunner::FakeRunner(FakeRunnerOptions options, std::shared_ptr<FakeRunnerLog> log)
    : options_(options),
      log_(std::move(log)),
      rows_(static_cast<size_t>(options.pages) * kPageTokens) {
  info_.device = "hash";
  info_.weight_format = "none";
  info_.pages = options.pages;
  info_.page_bytes = kPageTokens * static_cast<std::int64_t>(sizeof(Row));
  info_.host_pages = options.host_pages;
  info_.keystroke_step = options.keystroke_step;
  info_.max_batch_runs = options.max_batch_runs;
  info_.max_batch_tokens = options.max_batch_tokens;
}

Result<std::span<const engine::OutputRow>> FakeRunner::forward(std::span<const TokenRun> batch) {
  FakeRunnerLog::Step step;
  int tokens = 0;
  for (const TokenRun& run : batch) {
    const int count = static_cast<int>(run.tokens.size());
    step.push_back({run.position, count, run.output});
    tokens += count;
  }
  FakeRunnerLog::Fault fault;
  {
    const std::lock_guard lock(log_->mutex_);
    fault = log_->fault_;
  }
  if (fault) {
    if (std::optional<Error> error = fault(batch)) return tl::unexpected(*std::move(error));
  }
  {
    const std::lock_guard lock(log_->mutex_);
    log_->steps_.push_back(std::move(step));
  }
  if (static_cast<int>(batch.size()) > info_.max_batch_runs || tokens > info_.max_batch_tokens) {
    complain("a batch is larger than the runner allows");
  }
  check_sharing(batch);
  answers_.clear();
  output_.clear();
  for (const TokenRun& run : batch) compute(run);
  if (options_.clock != nullptr) {
    options_.clock->advance(options_.step_cost + tokens * options_.token_cost);
  }
  return std::span<const engine::OutputRow>(output_);
}

FakeRunner::Row& FakeRunner::row(const TokenRun& run, int position) {
  const PageId page = run.pages[static_cast<size_t>(position / kPageTokens)];
  return rows_[static_cast<size_t>(page) * kPageTokens +
               static_cast<size_t>(position % kPageTokens)];
}

/// No page that one run writes to may belong to another run of the batch.
void FakeRunner::check_sharing(std::span<const TokenRun> batch) {
  std::map<PageId, int> users;
  for (const TokenRun& run : batch) {
    for (const PageId page : run.pages) {
      if (page < 0 || page >= options_.pages) return complain("a page id is out of range");
      ++users[page];
    }
  }
  for (const TokenRun& run : batch) {
    const int end = run.position + static_cast<int>(run.tokens.size());
    if (run.tokens.empty()) return complain("a run has no tokens");
    if (static_cast<int>(run.pages.size()) * kPageTokens < end) {
      return complain("a run's pages do not cover its tokens");
    }
    for (int p = run.position / kPageTokens; p <= (end - 1) / kPageTokens; ++p) {
      if (users[run.pages[static_cast<size_t>(p)]] > 1) complain("a shared page is written to");
    }
  }
}

void FakeRunner::compute(const TokenRun& run) {
  std::uint64_t history = 0;
  for (int position = 0; position < run.position; ++position) {
    const Row& stored = row(run, position);
    history = extend(history, stored.token);
    if (stored.history != history) complain("a row does not belong to the history before it");
  }
  for (size_t i = 0; i < run.tokens.size(); ++i) {
    history = extend(history, run.tokens[i]);
    row(run, run.position + static_cast<int>(i)) = {run.tokens[i], history};
    const bool wanted = run.every_row || i + 1 == run.tokens.size();
    if (wanted && run.output != Output::none) answer(history, run.output);
  }
}

void FakeRunner::answer(std::uint64_t history, Output output) {
  auto answer = std::make_unique<Answer>();
  std::vector<float>& logits = answer->logits;
  logits.resize(static_cast<size_t>(options_.vocab));
  double sum = 0.0;
  for (TokenId id = 0; id < options_.vocab; ++id) {
    logits[static_cast<size_t>(id)] = logit(options_, history, id);
    sum += std::exp(static_cast<double>(logits[static_cast<size_t>(id)]));
  }
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = std::min<size_t>(engine::kCandidates, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(count),
                            [&](TokenId a, TokenId b) {
                              const float la = logits[static_cast<size_t>(a)];
                              const float lb = logits[static_cast<size_t>(b)];
                              return la != lb ? la > lb : a < b;
                            });
  for (size_t i = 0; i < count; ++i) {
    answer->candidates.push_back({order[i], logits[static_cast<size_t>(order[i])]});
  }
  engine::OutputRow row{.log_sum_exp = static_cast<float>(std::log(sum)),
                        .candidates = answer->candidates};
  if (output == Output::logits) row.logits = logits;
  output_.push_back(row);
  answers_.push_back(std::move(answer));
}

void FakeRunner::complain(std::string sentence) {
  const std::lock_guard lock(log_->mutex_);
  log_->violations_.push_back(std::move(sentence));
}

Result<void> FakeRunner::copy_page(PageId from, PageId to, int tokens) {
  const auto source = rows_.begin() + static_cast<std::ptrdiff_t>(from) * kPageTokens;
  const auto target = rows_.begin() + static_cast<std::ptrdiff_t>(to) * kPageTokens;
  std::copy_n(source, tokens, target);
  if (from == to) complain("a page is copied onto itself");
  const std::lock_guard lock(log_->mutex_);
  ++log_->page_copies_;
  return {};
}

Result<void> FakeRunner::read_page(PageId page, std::span<std::byte> out) {
  if (std::cmp_not_equal(out.size(), info_.page_bytes)) complain("a host copy has a wrong size");
  std::memcpy(out.data(), &rows_[static_cast<size_t>(page) * kPageTokens], out.size());
  const std::lock_guard lock(log_->mutex_);
  ++log_->pages_read_;
  return {};
}

Result<void> FakeRunner::write_page(PageId page, std::span<const std::byte> in) {
  if (std::cmp_not_equal(in.size(), info_.page_bytes)) complain("a host copy has a wrong size");
  std::memcpy(&rows_[static_cast<size_t>(page) * kPageTokens], in.data(), in.size());
  const std::lock_guard lock(log_->mutex_);
  ++log_->pages_written_;
  return {};
}

int FakeRunner::tokens_within(Duration duration, int /*position*/) const {
  if (options_.clock == nullptr) return options_.max_batch_tokens;
  return std::max(1, static_cast<int>((duration - options_.step_cost) / options_.token_cost));
}

std::uint64_t FakeRunner::history_hash(std::span<const TokenId> history) {
  return std::accumulate(history.begin(), history.end(), std::uint64_t{0}, extend);
}

float FakeRunner::logit(const FakeRunnerOptions& options, std::uint64_t history, TokenId id) {
  const std::uint64_t bits =
      mix(history ^ (0xd1b54a32d192ed03ULL * (static_cast<std::uint64_t>(id) + 1)));
  const float value = static_cast<float>(bits >> 40U) * (8.0F / static_cast<float>(1U << 24U));
  return id == options.biased ? value + options.bias : value;
}

TokenId FakeRunner::greedy(const FakeRunnerOptions& options, std::span<const TokenId> history) {
  const std::uint64_t hash = history_hash(history);
  TokenId best = 0;
  for (TokenId id = 1; id < options.vocab; ++id) {
    if (logit(options, hash, id) > logit(options, hash, best)) best = id;
  }
  return best;
}

std::vector<TokenId> FakeRunner::greedy_continuation(const FakeRunnerOptions& options,
                                                     std::vector<TokenId> history, int count) {
  std::vector<TokenId> result;
  for (int i = 0; i < count; ++i) {
    result.push_back(greedy(options, history));
    history.push_back(result.back());
  }
  return result;
}

}  // namespace caretd::test

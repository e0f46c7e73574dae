#include "daemon/bench.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <thread>

namespace caretd::daemon {

namespace {

constexpr int kPromptTokens = 512;
constexpr int kDecodedTokens = 64;
constexpr int kShortContext = 128;
constexpr int kLongContext = 1500;
constexpr int kAppended = 3;
constexpr int kDecodedAfterAppend = 8;
constexpr size_t kBandwidthBytes = size_t{512} << 20;
constexpr int kBandwidthPasses = 5;

std::uint64_t sum_of(const std::uint64_t* begin, const std::uint64_t* end) {
  return std::accumulate(begin, end, std::uint64_t{0});
}

/// Ordinary tokens in a fixed random order: routing spreads over the experts as text does.
std::vector<engine::TokenId> random_tokens(int count, int vocabulary) {
  std::mt19937 random(1);
  std::uniform_int_distribution<engine::TokenId> any(0, std::max(0, vocabulary - 32));
  std::vector<engine::TokenId> tokens(static_cast<size_t>(count));
  for (auto& token : tokens) token = any(random);
  return tokens;
}

class RunnerBench {
 public:
  RunnerBench(engine::Runner& runner, int vocabulary, const Clock& clock)
      : runner_(runner), clock_(clock), allocator_(runner.info().pages), vocabulary_(vocabulary) {}

  /// Time to append `tokens` random tokens in steps as large as the runner takes.
  Result<Duration> prefill(engine::SequenceDriver& sequence, int tokens) {
    const auto ids = random_tokens(tokens, vocabulary_);
    const auto step = static_cast<size_t>(runner_.info().max_batch_tokens);
    const TimePoint begin = clock_.now();
    for (size_t done = 0; done < ids.size(); done += step) {
      const auto piece = std::span(ids).subspan(done, std::min(step, ids.size() - done));
      const bool last = done + piece.size() == ids.size();
      auto rows =
          sequence.append(piece, last ? engine::Output::candidates : engine::Output::none, false);
      if (!rows) return pass_on(std::move(rows));
      if (last) next_ = rows->front().candidates.front().id;
    }
    return clock_.now() - begin;
  }

  /// Time to decode `tokens` tokens greedily.
  Result<Duration> decode(engine::SequenceDriver& sequence, int tokens) {
    const TimePoint begin = clock_.now();
    for (int i = 0; i < tokens; ++i) {
      auto rows = sequence.append(std::span(&next_, 1), engine::Output::candidates, false);
      if (!rows) return pass_on(std::move(rows));
      next_ = rows->front().candidates.front().id;
    }
    return clock_.now() - begin;
  }

  engine::SequenceDriver sequence() { return engine::SequenceDriver(runner_, allocator_); }

 private:
  engine::Runner& runner_;
  const Clock& clock_;
  engine::PageAllocator allocator_;
  int vocabulary_;
  engine::TokenId next_ = 0;
};

double per_second(int tokens, Duration time) {
  return tokens * 1000.0 / to_milliseconds(time);
}

Result<void> measure_prompt(RunnerBench& bench, BenchResult& result) {
  auto sequence = bench.sequence();
  const auto time = bench.prefill(sequence, kPromptTokens);
  if (!time) return fail(time.error().kind, time.error().message);
  result.prompt_tokens = kPromptTokens;
  result.prompt_tokens_per_second =
      std::max(result.prompt_tokens_per_second, per_second(kPromptTokens, *time));
  return {};
}

Result<void> measure_decode(RunnerBench& bench, DecodePoint& point) {
  auto sequence = bench.sequence();
  auto time = bench.prefill(sequence, point.context);
  if (time) time = bench.decode(sequence, kDecodedTokens);
  if (!time) return fail(time.error().kind, time.error().message);
  point.tokens_per_second = std::max(point.tokens_per_second, per_second(kDecodedTokens, *time));
  return {};
}

Result<void> measure_append(RunnerBench& bench, BenchResult& result) {
  auto sequence = bench.sequence();
  auto filled = bench.prefill(sequence, kLongContext);
  if (!filled) return fail(filled.error().kind, filled.error().message);
  const auto appended = bench.prefill(sequence, kAppended);
  const auto decoded =
      appended ? bench.decode(sequence, kDecodedAfterAppend) : Result<Duration>(appended);
  if (!decoded) return fail(decoded.error().kind, decoded.error().message);
  const Duration total = *appended + *decoded;
  const bool first = result.append_context == 0;
  result.append_and_decode = first ? total : std::min(result.append_and_decode, total);
  result.append_context = kLongContext;
  return {};
}

}  // namespace

double measure_read_bandwidth(int threads, const Clock& clock) {
  const std::vector<std::uint64_t> memory(kBandwidthBytes / sizeof(std::uint64_t), 1);
  const size_t share = memory.size() / static_cast<size_t>(threads);
  double best = 0;
  for (int pass = 0; pass < kBandwidthPasses; ++pass) {
    std::vector<std::uint64_t> sums(static_cast<size_t>(threads));
    const TimePoint begin = clock.now();
    {
      std::vector<std::jthread> readers;
      for (size_t i = 0; i < sums.size(); ++i) {
        const auto* first = memory.data() + i * share;
        readers.emplace_back(
            [&sum = sums[i], first, share] { sum = sum_of(first, first + share); });
      }
    }
    const double seconds = to_milliseconds(clock.now() - begin) / 1000;
    // The sums keep the compiler from dropping the reads.
    const std::uint64_t words = std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
    best = std::max(best, static_cast<double>(words * sizeof(std::uint64_t)) / seconds);
  }
  return best;
}

Result<BenchResult> bench_runner(engine::Runner& runner, int vocabulary, int context_tokens,
                                 int repeats, const Clock& clock) {
  RunnerBench bench(runner, vocabulary, clock);
  BenchResult result;
  const bool long_window = context_tokens >= kLongContext + kDecodedTokens;
  result.decode.push_back({kShortContext, 0});
  if (long_window) result.decode.push_back({kLongContext, 0});
  for (int repeat = 0; repeat < repeats; ++repeat) {
    auto done = measure_prompt(bench, result);
    for (DecodePoint& point : result.decode) {
      if (done) done = measure_decode(bench, point);
    }
    if (done && long_window) done = measure_append(bench, result);
    if (!done) return pass_on(std::move(done));
  }
  return result;
}

}  // namespace caretd::daemon

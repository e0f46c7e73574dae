#include "engine/bench/bench.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <random>

#include "engine/bench/seconds.h"
#include "engine/verify/sequence_driver.h"

namespace caretd::engine {

namespace {

class Bench {
 public:
  Bench(Runner& runner, const BenchPlan& plan, int vocabulary, const Clock& clock)
      : runner_(runner),
        plan_(plan),
        clock_(clock),
        allocator_(runner.info().pages),
        vocabulary_(vocabulary) {}

  Result<BenchReport> run() {
    BenchReport report;
    auto done = measure_prompt(report);
    if (done) done = measure_decode(report);
    if (done) done = measure_keystroke(report);
    if (done) done = measure_together(report);
    if (!done) return pass_on(std::move(done));
    return report;
  }

 private:
  using Measurement = std::function<Result<Duration>()>;

  Result<void> measure_prompt(BenchReport& report) {
    if (!fits(plan_.prompt_tokens, 1)) return {};
    auto best = fastest([this]() -> Result<Duration> {
      SequenceDriver sequence(runner_, allocator_);
      return timed([&] { return feed(sequence, plan_.prompt_tokens, Output::candidates); });
    });
    if (!best) return pass_on(std::move(best));
    report.prompt_tokens_per_second = plan_.prompt_tokens / seconds(*best);
    return {};
  }

  Result<void> measure_decode(BenchReport& report) {
    for (const int context : plan_.contexts) {
      if (!fits(context + plan_.decode_tokens, 1)) continue;
      auto best = fastest_after(context, [this](SequenceDriver& sequence) {
        return decode(sequence, plan_.decode_tokens);
      });
      if (!best) return pass_on(std::move(best));
      const RunnerInfo& info = runner_.info();
      report.decode.push_back({.context = context,
                               .tokens_per_second = plan_.decode_tokens / seconds(*best),
                               .bytes_per_token = info.weight_bytes_per_token +
                                                  info.page_bytes / kPageTokens * context});
    }
    return {};
  }

  Result<void> measure_keystroke(BenchReport& report) {
    const int cached = plan_.cached_tokens;
    if (!fits(cached + plan_.appended_tokens + plan_.answered_tokens, 1)) return {};
    auto best = fastest_after(cached, [this](SequenceDriver& sequence) -> Result<void> {
      auto fed = feed(sequence, plan_.appended_tokens, Output::candidates);
      if (!fed) return fed;
      return decode(sequence, plan_.answered_tokens - 1);  // the first came with the appended ones
    });
    if (!best) return pass_on(std::move(best));
    report.keystroke = *best;
    return {};
  }

  Result<void> measure_together(BenchReport& report) {
    const int end = plan_.sequence_context + plan_.decode_tokens;
    if (!fits(end, plan_.sequences)) return {};
    std::vector<std::vector<PageId>> pages(static_cast<std::size_t>(plan_.sequences));
    PageId next = 0;
    for (auto& own : pages) {
      own.resize(static_cast<std::size_t>(pages_for(end)));
      for (PageId& page : own) page = next++;
    }
    for (const auto& own : pages) {
      auto filled = fill(own, plan_.sequence_context);
      if (!filled) return filled;
    }
    auto best = fastest([&] { return timed([&] { return decode_together(pages); }); });
    if (!best) return pass_on(std::move(best));
    report.together_tokens_per_second = plan_.sequences * plan_.decode_tokens / seconds(*best);
    return {};
  }

  Result<void> decode_together(const std::vector<std::vector<PageId>>& pages) {
    std::vector<TokenId> ids(pages.size());
    for (int step = 0; step < plan_.decode_tokens; ++step) {
      std::vector<TokenRun> batch;
      for (std::size_t i = 0; i < pages.size(); ++i) {
        ids[i] = random_token();
        batch.push_back(
            {.tokens = {&ids[i], 1}, .position = plan_.sequence_context + step, .pages = pages[i]});
      }
      auto rows = runner_.forward(batch);
      if (!rows) return pass_on(std::move(rows));
    }
    return {};
  }

  Result<void> fill(std::span<const PageId> pages, int tokens) {
    for (int position = 0; position < tokens;) {
      const auto ids = random_tokens(std::min(tokens - position, runner_.info().max_batch_tokens));
      const TokenRun run{
          .tokens = ids, .position = position, .pages = pages, .output = Output::none};
      auto rows = runner_.forward({&run, 1});
      if (!rows) return pass_on(std::move(rows));
      position += static_cast<int>(ids.size());
    }
    return {};
  }

  Result<void> feed(SequenceDriver& sequence, int tokens, Output last_output) {
    while (tokens > 0) {
      const auto ids = random_tokens(std::min(tokens, runner_.info().max_batch_tokens));
      tokens -= static_cast<int>(ids.size());
      auto rows = sequence.append(ids, tokens == 0 ? last_output : Output::none, false);
      if (!rows) return pass_on(std::move(rows));
    }
    return {};
  }

  Result<void> decode(SequenceDriver& sequence, int tokens) {
    for (int i = 0; i < tokens; ++i) {
      auto fed = feed(sequence, 1, Output::candidates);
      if (!fed) return fed;
    }
    return {};
  }

  template <typename Work>
  Result<Duration> timed(Work work) {
    const TimePoint start = clock_.now();
    Result<void> done = work();
    if (!done) return pass_on(std::move(done));
    return clock_.now() - start;
  }

  Result<Duration> fastest(const Measurement& measure) {
    Duration best = Duration::max();
    for (int i = 0; i <= plan_.repeats; ++i) {
      auto took = measure();
      if (!took) return took;
      if (i > 0) best = std::min(best, *took);
    }
    return best;
  }

  /// The fastest of `work` on a sequence that holds `context` tokens each time.
  template <typename Work>
  Result<Duration> fastest_after(int context, Work work) {
    SequenceDriver sequence(runner_, allocator_);
    auto filled = feed(sequence, context, Output::none);
    if (!filled) return pass_on(std::move(filled));
    return fastest([&]() -> Result<Duration> {
      auto took = timed([&] { return work(sequence); });
      sequence.rewind(context);
      return took;
    });
  }

  [[nodiscard]] static int pages_for(int tokens) {
    return (tokens + kPageTokens - 1) / kPageTokens;
  }
  [[nodiscard]] bool fits(int tokens, int sequences) const {
    return pages_for(tokens) * sequences <= runner_.info().pages;
  }
  TokenId random_token() {
    return static_cast<TokenId>(random_() % static_cast<unsigned>(vocabulary_));
  }
  std::vector<TokenId> random_tokens(int count) {
    std::vector<TokenId> ids(static_cast<std::size_t>(count));
    for (TokenId& id : ids) id = random_token();
    return ids;
  }

  Runner& runner_;
  const BenchPlan& plan_;
  const Clock& clock_;
  PageAllocator allocator_;
  int vocabulary_;
  std::mt19937 random_{1};
};

}  // namespace

Result<BenchReport> run_bench(Runner& runner, const BenchPlan& plan, int vocabulary,
                              const Clock& clock) {
  return Bench(runner, plan, vocabulary, clock).run();
}

}  // namespace caretd::engine

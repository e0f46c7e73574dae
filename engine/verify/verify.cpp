#include "engine/verify/verify.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include <spdlog/fmt/fmt.h>

#include "engine/verify/sequence_driver.h"

namespace caretd::engine {

namespace {

/// Rows of logits held at once: at 100,000 tokens of vocabulary this many take 200 MB.
constexpr int kLargestPiece = 512;

/// What one way of feeding a prompt gives.
struct PromptResult {
  std::vector<float> nll;     ///< of tokens [1, n) given those before
  std::vector<float> logits;  ///< after the last token
  float log_sum_exp = 0;      ///< of `logits`
};

class CaseVerifier {
 public:
  CaseVerifier(Runner& runner, const GoldenCase& golden, unsigned seed)
      : runner_(runner),
        golden_(golden),
        allocator_(runner.info().pages),
        random_(seed),
        largest_piece_(std::min(kLargestPiece, runner.info().max_batch_tokens)) {}

  Result<void> run(const VerifyBounds& bounds, CaseReport& report);

 private:
  using Tokens = std::span<const TokenId>;

  [[nodiscard]] Tokens input() const { return golden_.input_ids; }
  [[nodiscard]] int size() const { return static_cast<int>(golden_.input_ids.size()); }

  /// Appends input tokens [length, end) in pieces that `next_piece` sizes, scoring each.
  template <typename NextPiece>
  Result<void> feed(SequenceDriver& sequence, int end, NextPiece next_piece, PromptResult& result);
  void score(std::span<const OutputRow> rows, int position, PromptResult& result) const;

  [[nodiscard]] Result<PromptResult> in_large_pieces(SequenceDriver& sequence);
  [[nodiscard]] Result<PromptResult> token_by_token();
  [[nodiscard]] Result<PromptResult> in_random_pieces();
  [[nodiscard]] Result<PromptResult> after_a_rewind();
  [[nodiscard]] Result<PromptResult> on_a_cached_prefix(const SequenceDriver& other);
  Result<void> compare_paths(const SequenceDriver& sequence, const PromptResult& reference,
                             CaseReport& report);
  Result<void> compare_greedy(SequenceDriver& sequence, std::span<const float> logits,
                              double margin, CaseReport& report);

  Runner& runner_;
  const GoldenCase& golden_;
  PageAllocator allocator_;
  std::mt19937 random_;
  int largest_piece_;
};

template <typename NextPiece>
Result<void> CaseVerifier::feed(SequenceDriver& sequence, int end, NextPiece next_piece,
                                PromptResult& result) {
  while (sequence.length() < end) {
    const int begin = sequence.length();
    const int count = std::clamp(next_piece(), 1, std::min(end - begin, largest_piece_));
    auto rows =
        sequence.append(input().subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
                        Output::logits, true);
    if (!rows) return pass_on(std::move(rows));
    score(*rows, begin, result);
  }
  return {};
}

void CaseVerifier::score(std::span<const OutputRow> rows, int position,
                         PromptResult& result) const {
  result.nll.resize(golden_.nll.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const size_t next = static_cast<size_t>(position) + i + 1;
    if (next < golden_.input_ids.size()) {
      const auto id = static_cast<size_t>(golden_.input_ids[next]);
      result.nll[next - 1] = rows[i].log_sum_exp - rows[i].logits[id];
    } else {
      result.logits.assign(rows[i].logits.begin(), rows[i].logits.end());
      result.log_sum_exp = rows[i].log_sum_exp;
    }
  }
}

Result<PromptResult> CaseVerifier::in_large_pieces(SequenceDriver& sequence) {
  PromptResult result;
  auto fed = feed(
      sequence, size(), [this] { return largest_piece_; }, result);
  if (!fed) return pass_on(std::move(fed));
  return result;
}

Result<PromptResult> CaseVerifier::token_by_token() {
  SequenceDriver sequence(runner_, allocator_);
  PromptResult result;
  auto fed = feed(
      sequence, size(), [] { return 1; }, result);
  if (!fed) return pass_on(std::move(fed));
  return result;
}

Result<PromptResult> CaseVerifier::in_random_pieces() {
  SequenceDriver sequence(runner_, allocator_);
  PromptResult result;
  std::uniform_int_distribution<int> piece(1, 150);
  auto fed = feed(
      sequence, size(), [&] { return piece(random_); }, result);
  if (!fed) return pass_on(std::move(fed));
  return result;
}

Result<PromptResult> CaseVerifier::after_a_rewind() {
  SequenceDriver sequence(runner_, allocator_);
  PromptResult result;
  const int kept = static_cast<int>(random_() % static_cast<unsigned>(size()));
  auto fed = feed(
      sequence, kept, [this] { return largest_piece_; }, result);
  if (!fed) return pass_on(std::move(fed));
  // Other text, long enough to fill pages of its own, that must leave no trace.
  std::vector<TokenId> other(100);
  for (TokenId& id : other) id = golden_.input_ids[random_() % golden_.input_ids.size()];
  auto wrong = sequence.append(other, Output::none, false);
  if (!wrong) return pass_on(std::move(wrong));
  sequence.rewind(kept);
  fed = feed(
      sequence, size(), [this] { return largest_piece_; }, result);
  if (!fed) return pass_on(std::move(fed));
  return result;
}

Result<PromptResult> CaseVerifier::on_a_cached_prefix(const SequenceDriver& other) {
  SequenceDriver sequence(runner_, allocator_);
  PromptResult result;
  const int shared = static_cast<int>(random_() % static_cast<unsigned>(size()));
  auto done = sequence.share(other, shared);
  if (!done) return pass_on(std::move(done));
  auto fed = feed(
      sequence, size(), [this] { return largest_piece_; }, result);
  if (!fed) return pass_on(std::move(fed));
  // What came from the cache was scored when the cache was filled.
  for (int i = 0; i < shared && i < static_cast<int>(result.nll.size()); ++i) {
    result.nll[static_cast<size_t>(i)] = std::nanf("");
  }
  return result;
}

/// The largest difference of two runs' log-likelihoods; NaN marks what a run did not score.
double largest_difference(const PromptResult& a, const PromptResult& b) {
  double worst = 0;
  for (size_t i = 0; i < a.nll.size(); ++i) {
    if (std::isnan(b.nll[i])) continue;
    worst = std::max(worst, std::abs(static_cast<double>(a.nll[i]) - b.nll[i]));
  }
  for (size_t i = 0; i < a.logits.size(); ++i) {
    const double ours = static_cast<double>(a.logits[i]) - a.log_sum_exp;
    const double theirs = static_cast<double>(b.logits[i]) - b.log_sum_exp;
    worst = std::max(worst, std::abs(ours - theirs));
  }
  return worst;
}

Result<void> CaseVerifier::compare_paths(const SequenceDriver& sequence,
                                         const PromptResult& reference, CaseReport& report) {
  const auto compare = [&](Result<PromptResult> other) -> Result<void> {
    if (!other) return pass_on(std::move(other));
    report.path = std::max(report.path, largest_difference(reference, *other));
    return {};
  };
  auto done = compare(token_by_token());
  if (done) done = compare(in_random_pieces());
  if (done) done = compare(after_a_rewind());
  if (done) done = compare(on_a_cached_prefix(sequence));
  return done;
}

TokenId likeliest(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Result<void> CaseVerifier::compare_greedy(SequenceDriver& sequence, std::span<const float> logits,
                                          double margin, CaseReport& report) {
  TokenId next = likeliest(logits);
  for (size_t step = 0; step < golden_.greedy_ids.size(); ++step) {
    if (golden_.greedy_margins[step] < margin) return {};
    ++report.greedy_compared;
    if (next != golden_.greedy_ids[step]) return {};
    ++report.greedy_equal;
    if (step + 1 == golden_.greedy_ids.size()) return {};
    auto rows = sequence.append(std::span(&next, 1), Output::candidates, false);
    if (!rows) return pass_on(std::move(rows));
    next = rows->front().candidates.front().id;
  }
  return {};
}

void compare_nll(const GoldenCase& golden, const PromptResult& result, CaseReport& report) {
  double sum = 0;
  for (size_t i = 0; i < golden.nll.size(); ++i) {
    const double difference = std::abs(static_cast<double>(golden.nll[i]) - result.nll[i]);
    // Written so that NaN is the worst there is.
    if (!(difference <= report.max_nll)) report.max_nll = difference;
    sum += difference;
  }
  report.mean_nll = golden.nll.empty() ? 0 : sum / static_cast<double>(golden.nll.size());
}

/// True when our ranking is golden's, up to places that golden itself holds too close to call.
bool top_in_order(const GoldenCase& golden, std::span<const float> logits, double margin) {
  std::vector<TokenId> ranked(logits.size());
  std::iota(ranked.begin(), ranked.end(), 0);
  const size_t count = golden.top_ids.size();
  if (count > ranked.size()) return false;
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(count),
                    ranked.end(), [&](TokenId a, TokenId b) {
                      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
                    });
  for (size_t i = 0; i < count; ++i) {
    if (ranked[i] == golden.top_ids[i]) continue;
    const auto place = std::find(golden.top_ids.begin(), golden.top_ids.end(), ranked[i]);
    const float theirs =
        place != golden.top_ids.end()
            ? golden.top_logits[static_cast<size_t>(place - golden.top_ids.begin())]
            : logits[static_cast<size_t>(ranked[i])];
    if (!(std::abs(theirs - golden.top_logits[i]) <= margin)) return false;
  }
  return true;
}

void collect_misses(const VerifyBounds& bounds, CaseReport& report) {
  const auto miss = [&](bool holds, std::string phrase) {
    if (!holds) report.misses.push_back(std::move(phrase));
  };
  miss(report.ids_equal, "token ids differ");
  miss(report.max_nll <= bounds.max_nll,
       fmt::format("a log-likelihood is off by {:.2e}", report.max_nll));
  miss(report.mean_nll <= bounds.mean_nll,
       fmt::format("log-likelihoods are off by {:.2e} on average", report.mean_nll));
  miss(report.top_in_order, "the likeliest tokens are in another order");
  miss(report.greedy_equal == report.greedy_compared,
       fmt::format("greedy step {} differs", report.greedy_equal + 1));
  miss(report.path <= bounds.path, fmt::format("paths differ by {:.2e}", report.path));
}

Result<void> CaseVerifier::run(const VerifyBounds& bounds, CaseReport& report) {
  SequenceDriver sequence(runner_, allocator_);
  auto reference = in_large_pieces(sequence);
  if (!reference) return pass_on(std::move(reference));
  compare_nll(golden_, *reference, report);
  report.top_in_order = top_in_order(golden_, reference->logits, bounds.top_margin);
  auto done = compare_paths(sequence, *reference, report);
  if (done) done = compare_greedy(sequence, reference->logits, bounds.greedy_margin, report);
  return done;
}

}  // namespace

VerifyBounds precise_bounds() {
  return {
      .max_nll = 2e-3, .mean_nll = 2e-3, .top_margin = 1e-3, .greedy_margin = 1e-3, .path = 1e-4};
}

VerifyBounds fast_bounds() {
  // Rounding (keys to BF16 or float16) moves single tokens far more than the mean; the mean is
  // bounded.
  return {.max_nll = 1.0, .mean_nll = 5e-3, .top_margin = 0.1, .greedy_margin = 0.1, .path = 1.0};
}

Result<CaseReport> verify_case(Runner& runner, const Tokenizer& tokenizer, const GoldenCase& golden,
                               const VerifyBounds& bounds, unsigned seed) {
  CaseReport report;
  report.name = golden.name;
  report.tokens = static_cast<int>(golden.input_ids.size());
  report.ids_equal =
      tokenizer.encode(golden.prompt, Tokenizer::ControlStrings::as_tokens) == golden.input_ids;
  const bool in_vocabulary =
      std::all_of(golden.input_ids.begin(), golden.input_ids.end(),
                  [&](TokenId id) { return id >= 0 && id < tokenizer.size(); });
  if (!in_vocabulary) {
    return fail(ErrorKind::invalid_input,
                "case " + golden.name + " has token ids that this model does not have");
  }
  CaseVerifier verifier(runner, golden, seed);
  auto done = verifier.run(bounds, report);
  if (!done) return pass_on(std::move(done), "case " + golden.name);
  collect_misses(bounds, report);
  return report;
}

}  // namespace caretd::engine

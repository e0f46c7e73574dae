#include "engine/cpu/output_head.h"

#include <algorithm>

#include "engine/cpu/output_rows.h"

namespace caretd::engine {

namespace cpu = kernels::cpu;

namespace {

/// Tokens whose rounded logit is within this of the best one get their exact logit. Rounding moves
/// a logit by a few hundredths, and tokens further away have less than a twentieth of the best
/// one's probability.
constexpr float kExactWithin = 3.0F;
/// Bounds the work where everything is equally likely.
constexpr std::size_t kMostExact = 16;

}  // namespace

OutputHead::OutputHead(const ModelConfig& config, const PackedModel& model, Workers& workers,
                       int real_vocab)
    : config_(config),
      model_(model),
      workers_(workers),
      kernels_(workers.kernels()),
      real_vocab_(real_vocab) {}

Result<std::span<const OutputRow>> OutputHead::run(std::span<const TokenRun> batch,
                                                   const Floats& x) {
  list_rows(batch);
  multiply(x);
  const int rows = static_cast<int>(rows_.size());
  output_rows_.assign(rows_.size(), {});
  candidates_.resize(at(rows, kCandidates));
  indices_.resize(std::max(indices_.size(), at(workers_.threads(), real_vocab_)));
  workers_.for_each(rows, [&](int row, int thread) { finish(row, thread); });
  if (auto finite = check_finite(output_rows_); !finite) return pass_on(std::move(finite));
  return std::span<const OutputRow>(output_rows_);
}

void OutputHead::list_rows(std::span<const TokenRun> batch) {
  rows_.clear();
  int token = 0;
  for (const TokenRun& run : batch) {
    const int count = static_cast<int>(run.tokens.size());
    const int skipped = run.output == Output::none ? count : run.every_row ? 0 : count - 1;
    const bool rounded = run.output == Output::candidates && model_.rounded_head.outputs > 0;
    for (int i = skipped; i < count; ++i) rows_.push_back({token + i, run.output, rounded});
    token += count;
  }
  slots_.resize(rows_.size());
  int slot = 0;
  for (const bool rounded : {false, true}) {
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      if (rows_[row].rounded == rounded) slots_[row] = slot++;
    }
  }
}

void OutputHead::multiply(const Floats& x) {
  const int rows = static_cast<int>(rows_.size());
  normed_.resize(std::max(normed_.size(), at(rows, config_.hidden)));
  logits_.resize(std::max(logits_.size(), at(rows, real_vocab_)));
  normed_rows_.resize(rows_.size());
  workers_.for_each_row(rows, [&](int row) {
    const int slot = slots_[static_cast<std::size_t>(row)];
    float* normed = normed_.data() + at(slot, config_.hidden);
    kernels_.rms_norm(x.data() + at(rows_[static_cast<std::size_t>(row)].token, config_.hidden),
                      model_.final_norm.data(), config_.hidden,
                      static_cast<float>(config_.rms_norm_eps), normed);
    normed_rows_[static_cast<std::size_t>(slot)] = normed;
  });
  const auto exact =
      static_cast<int>(std::ranges::count_if(rows_, [](const Row& row) { return !row.rounded; }));
  const auto multiply_with = [&](const cpu::PackedWeights& head, int first, int count) {
    if (count == 0) return;
    cpu::LinearJob job{.weights = head,
                       .inputs = normed_rows_.data() + first,
                       .rows = count,
                       .output = logits_.data() + at(first, real_vocab_),
                       .output_stride = real_vocab_};
    job.weights.outputs = real_vocab_;
    workers_.multiply({&job, 1});
  };
  multiply_with(model_.head, 0, exact);
  multiply_with(model_.rounded_head, exact, rows - exact);
}

void OutputHead::finish(int row, int thread) {
  const Row& wanted = rows_[static_cast<std::size_t>(row)];
  OutputRow& out = output_rows_[static_cast<std::size_t>(row)];
  const std::span<float> logits = logits_of(row);
  auto best = std::span(candidates_).subspan(at(row, kCandidates), kCandidates);
  const auto indices = std::span(indices_).subspan(at(thread, real_vocab_), logits.size());
  best = best.first(static_cast<std::size_t>(find_candidates(kernels_, logits, indices, best)));
  if (wanted.rounded) make_exact(row, logits, best);
  out.log_sum_exp = kernels_.log_sum_exp(logits.data(), real_vocab_);
  out.candidates = best;
  if (wanted.kind == Output::logits) out.logits = logits;
}

/// Replaces rounded logits by exact ones, whole tiles of the head at a time.
void OutputHead::make_exact(int row, std::span<float> logits, std::span<Candidate> best) {
  cpu::LinearJob job{.weights = model_.head,
                     .inputs = normed_rows_.data() + slots_[static_cast<std::size_t>(row)],
                     .rows = 1,
                     .output = logits.data(),
                     .output_stride = real_vocab_};
  job.weights.outputs = real_vocab_;
  const auto near = best.first(std::min(best.size(), kMostExact));
  for (std::size_t i = 0; i < near.size(); ++i) {
    if (!(near[i].logit >= near[0].logit - kExactWithin)) break;
    const auto tile_of = [](const Candidate& candidate) { return candidate.id / cpu::kTile; };
    const int tile = tile_of(near[i]);
    const auto same = [&](const Candidate& earlier) { return tile_of(earlier) == tile; };
    if (std::ranges::any_of(near.first(i), same)) continue;
    kernels_.linear(job, tile, tile + 1, nullptr);
  }
  for (Candidate& candidate : best) {
    candidate.logit = logits[static_cast<std::size_t>(candidate.id)];
  }
  std::ranges::sort(best, [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
}

}  // namespace caretd::engine

// The seam between the engine and the hardware: one interface at the level of the whole model, so
// that every backend is free to fuse, to capture graphs and to keep the whole step on its device.
//
// Threads: a Runner is used by one thread at a time (the scheduler's). Nothing here is thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/weights.h"
#include "engine/types.h"
#include "support/clock.h"
#include "support/result.h"

namespace caretd::engine {

/// Tokens in one KV page. A page holds, for every layer, kPageTokens rows of
/// [latent kv_lora_rank | rotated key qk_rope_head_dim] (DeepSeek-V2 paper, section 2.1.2).
inline constexpr int kPageTokens = 64;

/// Index of a page in the runner's pool: 0 <= id < Runner::info().pages.
using PageId = std::int32_t;

/// What forward() gives back for a row.
enum class Output : std::uint8_t {
  none,        ///< KV only (all but the last chunk of a prefill)
  candidates,  ///< the kCandidates likeliest tokens and the log-sum-exp over all real tokens
  logits       ///< the logits of all real tokens (healing, verification)
};
inline constexpr int kCandidates = 64;

/// Consecutive tokens of one sequence.
struct TokenRun {
  std::span<const TokenId> tokens;  ///< at least one; token i sits at position + i
  int position = 0;                 ///< how many tokens of the sequence are in its pages already
  /// pages[p] holds positions [p*kPageTokens, (p+1)*kPageTokens); covers position + tokens.size().
  /// Rows from `position` on are written; pages shared with other runs must hold no such row.
  std::span<const PageId> pages;
  Output output = Output::candidates;
  bool every_row = false;  ///< output for every token instead of the last one only
};

struct Candidate {
  TokenId id = 0;
  float logit = 0.0F;
};

/// The output of one row. Spans point into the runner and are valid until its next forward().
struct OutputRow {
  float log_sum_exp = 0.0F;               ///< over all real tokens: logprob = logit - log_sum_exp
  std::span<const Candidate> candidates;  ///< descending logit, equal logits by ascending id
  std::span<const float> logits;          ///< [ModelConfig::real_vocab]; empty unless asked for
};

/// Loading progress in 0..1. Returns nothing; called from the loading thread.
using Progress = std::function<void(double)>;

struct RunnerOptions {
  /// Budget for KV pages, all layers together; the CPU runner takes no more than is free.
  std::int64_t kv_bytes = 256LL << 20;
  int threads = 0;       ///< CPU runner: 0 takes every core the process may use
  bool precise = false;  ///< float32 arithmetic even where a rounding path is faster
  /// CPU runner: "avx512", "avx2" or "portable" forces that instruction set (tests, comparisons);
  /// empty takes the widest one of this machine.
  std::string cpu_isa;
  /// Host memory for copies of evicted device pages, no more than is free; 0 keeps none. Ignored by
  /// the CPU runner.
  std::int64_t host_kv_bytes = 0;
  std::vector<int> devices;  ///< CUDA ordinals; empty takes device 0
  TokenId real_vocab = 0;    ///< Tokenizer::size(); rows above are masked; 0: vocab_size
};

struct RunnerInfo {
  std::string device;         ///< for people
  std::string weight_format;  ///< for people
  int pages = 0;              ///< size of the pool
  std::int64_t page_bytes = 0;
  int host_pages = 0;  ///< copies of evicted pages that RunnerOptions::host_kv_bytes allows
  std::int64_t weight_bytes = 0;  ///< resident, all devices
  /// Read for one token at batch 1: every layer's share of it and the head (bench: GB/s).
  std::int64_t weight_bytes_per_token = 0;
  /// The shortest prefill step, about, in which reading the weights does not outweigh the tokens:
  /// what a step takes that serves a keystroke, as the next keystroke waits for its end.
  Duration keystroke_step = std::chrono::milliseconds(40);
  int max_batch_runs = 64;      ///< runs in one forward()
  int max_batch_tokens = 8192;  ///< tokens in one forward(), all runs together
};

class Runner {
 public:
  virtual ~Runner() = default;

  [[nodiscard]] virtual const RunnerInfo& info() const = 0;

  /// One step for a batch of runs. Rows come back in order: run by run, token by token where
  /// every_row is set; a run with Output::none gives no row. Blocks until the outputs are there.
  /// ErrorKind::out_of_memory concerns this call alone; after ErrorKind::device_fault the runner
  /// must be destroyed. A row's result does not depend on what else is in the batch beyond the
  /// rounding the backend states.
  [[nodiscard]] virtual Result<std::span<const OutputRow>> forward(
      std::span<const TokenRun> batch) = 0;

  /// Copies the first `tokens` rows of every layer (copy-on-write of a partly shared page).
  [[nodiscard]] virtual Result<void> copy_page(PageId from, PageId to, int tokens) = 0;

  /// Moves a page's content out of and into the pool; spans are info().page_bytes long.
  [[nodiscard]] virtual Result<void> read_page(PageId page, std::span<std::byte> out) = 0;
  [[nodiscard]] virtual Result<void> write_page(PageId page, std::span<const std::byte> in) = 0;

  /// How many prompt tokens a step may append at `position` to stay within `duration`, from what
  /// this runner measured so far; at least 1. The scheduler sizes prefill chunks with it.
  [[nodiscard]] virtual int tokens_within(Duration duration, int position) const = 0;
};

}  // namespace caretd::engine

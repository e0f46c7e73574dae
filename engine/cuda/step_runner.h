// Runs steps of up to 16 tokens through the persistent kernel: owns its scratch memory, writes its
// inputs and collects its outputs.
#pragma once

#include <span>
#include <vector>

#include "engine/cuda/device_model.h"
#include "engine/runner.h"

namespace caretd::engine::cuda {

/// A piece of a TokenRun that one step computes: tokens [begin, end) of it.
struct RunPiece {
  const TokenRun* run = nullptr;
  int begin = 0;
  int end = 0;
  [[nodiscard]] int tokens() const { return end - begin; }
};

class StepRunner {
 public:
  /// `kv_pages` is the page pool; everything given must outlive the object.
  [[nodiscard]] static Result<StepRunner> create(const DeviceModel& model, std::byte* kv_pages,
                                                 const gpu::DeviceLimits& limits,
                                                 cudaStream_t stream);

  [[nodiscard]] int max_tokens() const { return max_tokens_; }

  /// Forgets the rows of the previous forward().
  void begin_forward(std::size_t rows);
  /// Queues one step. Output rows are numbered in the order of queueing.
  [[nodiscard]] Result<void> queue(std::span<const RunPiece> pieces);
  /// Queues the head alone for rows of the residual stream at `x` [rows, hidden] in device memory;
  /// at most max_tokens() rows.
  [[nodiscard]] Result<void> queue_head(const float* x, int rows, Output output);
  /// Waits for everything queued; afterwards rows() are valid until the next begin_forward().
  [[nodiscard]] Result<void> finish();
  [[nodiscard]] std::span<const OutputRow> rows() const { return rows_; }

  [[nodiscard]] std::int64_t distinct_experts() const { return distinct_; }
  [[nodiscard]] int launches() const { return launches_; }
  [[nodiscard]] bool combined_separately() const { return params_.batch.combine_separately != 0; }
  void force_routing(std::uint32_t seed) { params_.forced_routing = seed; }
  void enable_profile(bool enabled);
  /// Clock of block 0 at the start and after each grid barrier of the latest step.
  [[nodiscard]] Result<std::vector<long long>> profile_marks() const;

 private:
  StepRunner() = default;

  struct Metadata;
  [[nodiscard]] Result<void> allocate(const DeviceModel& model);
  [[nodiscard]] Result<void> clear_words();
  [[nodiscard]] Result<void> launch(Metadata& metadata, Output output);
  [[nodiscard]] Result<void> upload(const Metadata& metadata);
  [[nodiscard]] Result<void> reserve_outputs(std::size_t rows, bool logits);

  gpu::StepParams params_;
  gpu::DeviceLimits limits_;
  gpu::Format format_ = gpu::Format::bf16;
  cudaStream_t stream_ = nullptr;
  int max_tokens_ = 0;
  std::vector<gpu::DeviceBuffer> buffers_;
  std::size_t first_words_ = 0;  ///< from here on the buffers are those of params_.words
  gpu::DeviceBuffer counters_;
  gpu::DeviceBuffer profile_;
  gpu::DeviceBuffer device_input_;
  gpu::PinnedBuffer host_input_;
  std::size_t input_used_ = 0;
  gpu::PinnedBuffer candidates_;
  gpu::PinnedBuffer logits_;
  gpu::PinnedBuffer distinct_counts_;
  unsigned steps_ = 0;
  int launches_ = 0;
  std::int64_t distinct_ = 0;
  std::size_t queued_rows_ = 0;
  std::vector<Output> row_outputs_;
  std::vector<Candidate> row_candidates_;
  std::vector<OutputRow> rows_;
};

}  // namespace caretd::engine::cuda

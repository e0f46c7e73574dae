// Runs long pieces of a prompt through matrix products: expanded attention, experts as groups of
// rows. The counterpart of StepRunner for more tokens than a step takes.
#pragma once

#include <array>
#include <vector>

#include "engine/cuda/device_model.h"
#include "engine/runner.h"
#include "kernels/cuda/flash.h"

namespace caretd::engine::cuda {

class PrefillRunner {
 public:
  static constexpr int kMaxTokens = 8192;  ///< of a run

  /// Device memory of the activations of the longest run in a context of `positions` tokens, where
  /// FP8 weights need not be widened.
  [[nodiscard]] static std::int64_t scratch_bytes(const gpu::StepDims& dims, int positions);

  /// The model and the page pool must outlive the object. Memory is taken when a run needs it.
  [[nodiscard]] static Result<PrefillRunner> create(const DeviceModel& model, std::byte* kv_pages,
                                                    cudaStream_t stream);

  /// Whether there are kernels for this model's heads.
  [[nodiscard]] bool supported() const { return supported_; }

  /// Queues all layers for the run's tokens. ErrorKind::out_of_memory concerns this call alone.
  [[nodiscard]] Result<void> queue(const TokenRun& run);
  /// Residual stream after the last layer, [tokens of the latest run, hidden], in device memory.
  [[nodiscard]] const float* rows() const { return x_.as<float>(); }

  void force_routing(std::uint32_t seed) { params_.forced_routing = seed; }

 private:
  PrefillRunner() = default;

  /// Bytes of each buffer, in the order in which reserve() names them.
  using Sizes = std::array<std::size_t, 15>;
  [[nodiscard]] static Sizes buffer_sizes(const gpu::StepDims& dims, std::size_t wide, int tokens,
                                          int positions);
  [[nodiscard]] std::size_t wide_bytes() const;
  [[nodiscard]] Result<void> reserve(int tokens, int positions);
  [[nodiscard]] Result<void> upload(const TokenRun& run);
  [[nodiscard]] cudaError_t norm_for_attention(int layer, int tokens);
  [[nodiscard]] cudaError_t attention(int layer, int tokens, int position);
  [[nodiscard]] cudaError_t project_queries_and_latents(int layer, int tokens);
  [[nodiscard]] cudaError_t expand_keys_and_values(int layer, int positions);
  [[nodiscard]] cudaError_t attend(int tokens, int position);
  [[nodiscard]] cudaError_t project_output(int layer, int tokens);
  [[nodiscard]] cudaError_t feed_forward(int layer, int tokens);
  [[nodiscard]] cudaError_t always_on(const std::byte* up_weights, const std::byte* down_weights,
                                      int width, std::int64_t index, int tokens);
  [[nodiscard]] cudaError_t routed_experts(int layer, int tokens);
  [[nodiscard]] cudaError_t multiply_streamed(gpu::GemmParams gemm, const std::byte* weights);
  /// FP8 weights are multiplied as they are where the device can, else by way of scratch memory.
  [[nodiscard]] bool must_widen() const { return format_ == gpu::Format::fp8 && !gemm_.warpgroups; }

  /// The tokens' rows in the order of the experts.
  struct Routing {
    int* place_of = nullptr;  ///< [tokens, topk]
    int* begin = nullptr;     ///< [experts + 1]
  };
  [[nodiscard]] Routing routing_of(int tokens) const;

  gpu::StepParams params_;
  gpu::Format format_ = gpu::Format::bf16;
  cudaStream_t stream_ = nullptr;
  bool supported_ = false;
  gpu::GemmDevice gemm_;
  gpu::DeviceBuffer input_, x_, normed_, q_, kv_, latent_, keys_, values_, attention_, ffn_, low_;
  gpu::DeviceBuffer expert_ffn_, expert_rows_, routing_, wide_;
};

}  // namespace caretd::engine::cuda

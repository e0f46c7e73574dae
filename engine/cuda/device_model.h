// A model's weights in device memory: allocation, and the mapping from a configuration to what the
// kernels take. One DeviceModel is one rank's share: with R ranks each holds 1/R of the heads and
// of the inside of every expert and dense MLP, and everything else whole (Megatron-LM, section 3).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/cuda_runner.h"
#include "kernels/cuda/buffer.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/step.h"

namespace caretd::engine::cuda {

namespace gpu = kernels::cuda;

struct Shard {
  int rank = 0;
  int ranks = 1;
};

/// Sizes of a rank's share. ErrorKind::unsupported for what the kernels cannot work with.
[[nodiscard]] Result<gpu::StepDims> step_dims(const ModelConfig& config, int real_vocab,
                                              const Shard& shard);

struct DeviceModel {
  ModelConfig config;
  gpu::StepDims dims;
  gpu::Format format = gpu::Format::bf16;
  gpu::StepWeights weights;
  std::vector<gpu::DeviceBuffer> buffers;  ///< own what `weights` points to
  std::int64_t bytes = 0;
};

/// Device bytes of the weights of a model of these sizes.
[[nodiscard]] std::int64_t weight_bytes(const gpu::StepDims& dims, gpu::Format format,
                                        int positions);

/// Allocates the weights, contents undefined except for the rotary table.
[[nodiscard]] Result<DeviceModel> allocate_model(const ModelConfig& config,
                                                 const gpu::StepDims& dims, gpu::Format format,
                                                 cudaStream_t stream);

/// FP8 where every projection is FP8 in blocks that the packed layout can hold, else BF16.
[[nodiscard]] gpu::Format stream_format(const ModelWeights& weights);

/// Copies the checkpoint's weights into `model` with several threads, through pinned memory.
[[nodiscard]] Result<void> load_weights(const Checkpoint& checkpoint, const Shard& shard,
                                        DeviceModel& model, int device, const Progress& progress,
                                        const std::stop_token& stop);

/// Fills `model` with random weights.
[[nodiscard]] Result<void> randomize_weights(DeviceModel& model, std::uint64_t seed,
                                             cudaStream_t stream);

/// Computes the weights that follow from loaded or random ones.
[[nodiscard]] Result<void> derive_weights(DeviceModel& model, cudaStream_t stream);

}  // namespace caretd::engine::cuda

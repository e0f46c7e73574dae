// The weights of a model as the CPU kernels read them.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/weights.h"
#include "engine/cpu/memory.h"
#include "engine/cpu/thread_team.h"
#include "engine/runner.h"
#include "kernels/cpu/kernels.h"

namespace caretd::engine {

/// down(silu(gate(x)) * up(x)).
struct PackedMlp {
  kernels::cpu::PackedWeights gate;  ///< [intermediate, hidden]
  kernels::cpu::PackedWeights up;    ///< [intermediate, hidden]
  kernels::cpu::PackedWeights down;  ///< [hidden, intermediate]
};

/// Shapes as in weights.h, [outputs, inputs], except where said.
struct PackedLayer {
  std::vector<float> input_norm;
  kernels::cpu::PackedWeights q;  ///< plain, when q_lora_rank is 0; else these three
  kernels::cpu::PackedWeights q_a;
  std::vector<float> q_a_norm;
  kernels::cpu::PackedWeights q_b;
  kernels::cpu::PackedWeights kv_a;
  std::vector<float> kv_a_norm;
  /// kv_b, split by head: the key half transposed, [kv_lora_rank, qk_nope_head_dim], and the value
  /// half, [v_head_dim, kv_lora_rank] (the absorbed form of latent attention).
  std::vector<kernels::cpu::PackedWeights> key_up;
  std::vector<kernels::cpu::PackedWeights> value_up;
  kernels::cpu::PackedWeights o;
  std::vector<float> ffn_norm;
  PackedMlp always;  ///< what every token passes: the dense FFN or the shared experts; may be empty
  kernels::cpu::PackedWeights router;  ///< MoE layers only
  std::vector<PackedMlp> experts;      ///< MoE layers only
};

struct PackedModel {
  MappedMemory memory;  ///< what the matrices point into
  kernels::cpu::PackedWeights embedding;
  std::vector<PackedLayer> layers;
  std::vector<float> final_norm;
  kernels::cpu::PackedWeights head;  ///< the embedding, when tied
  /// The head rounded to int8; empty where `precise` was asked for or the head is FP8 anyway.
  kernels::cpu::PackedWeights rounded_head;

  [[nodiscard]] std::int64_t bytes() const {
    return static_cast<std::int64_t>(memory.bytes().size());
  }
  /// Weights that one token at batch 1 reads.
  [[nodiscard]] std::int64_t bytes_per_token(const ModelConfig& config) const;
};

/// Copies the weights, formats kept, into kernel layout; the head once more, rounded, unless
/// `precise` is set. Fails when memory does not suffice, when
/// a weight is not a finite number, or with ErrorKind::cancelled. Keeps no view into `weights`.
[[nodiscard]] Result<PackedModel> pack_model(const ModelConfig& config, const ModelWeights& weights,
                                             bool precise, ThreadTeam& team,
                                             const Progress& progress, std::stop_token stop);

/// "FP8 block-wise", "BF16", ...: the format of the bulk of the weights, for people.
[[nodiscard]] std::string describe_format(const ModelConfig& config, const ModelWeights& weights);

}  // namespace caretd::engine

// The weights of a DeepSeek-V2 model, named and typed: views into the mapped checkpoint, in the
// layout of the file (row-major [out, in]), not yet converted for any backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/model_config.h"

namespace caretd::engine {

enum class DType : std::uint8_t { f32, f16, bf16, f8_e4m3 };
[[nodiscard]] constexpr int size_of(DType dtype) {
  return dtype == DType::f32 ? 4 : dtype == DType::f8_e4m3 ? 1 : 2;
}
[[nodiscard]] std::string_view to_string(DType dtype);

/// A matrix [rows, cols], row-major and without padding, owned by the checkpoint.
/// With scales, element (r, c) is data * scales[r / block_rows * scale_cols + c / block_cols];
/// the last block of either side may be ragged. A per-tensor scale is one block of the whole size.
struct MatrixView {
  std::string name;  ///< tensor name, for messages
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const std::byte* data = nullptr;
  const float* scales = nullptr;  ///< null: no scaling
  std::int64_t block_rows = 0;
  std::int64_t block_cols = 0;

  [[nodiscard]] bool empty() const { return data == nullptr; }
  [[nodiscard]] std::int64_t scale_cols() const { return (cols + block_cols - 1) / block_cols; }
  [[nodiscard]] std::int64_t bytes() const { return rows * cols * size_of(dtype); }
};

/// A vector (norm weights), same rules.
struct VectorView {
  std::string name;
  DType dtype = DType::f32;
  std::int64_t size = 0;
  const std::byte* data = nullptr;

  [[nodiscard]] bool empty() const { return data == nullptr; }
};

/// gate, up: [intermediate, hidden]; down: [hidden, intermediate].
struct MlpWeights {
  MatrixView gate;
  MatrixView up;
  MatrixView down;
};

struct AttentionWeights {
  VectorView input_norm;  ///< [hidden]
  MatrixView q;           ///< [heads * q_head_dim, hidden]; empty when q_lora_rank > 0
  MatrixView q_a;         ///< [q_lora_rank, hidden]; with q_a_norm [q_lora_rank] and
  VectorView q_a_norm;    ///<   q_b [heads * q_head_dim, q_lora_rank] where q_lora_rank > 0
  MatrixView q_b;
  MatrixView kv_a;       ///< [kv_lora_rank + qk_rope_head_dim, hidden]
  VectorView kv_a_norm;  ///< [kv_lora_rank]
  MatrixView kv_b;       ///< [heads * (qk_nope + v), kv_lora_rank], per head [k_nope | v]
  MatrixView o;          ///< [hidden, heads * v_head_dim]
};

struct LayerWeights {
  AttentionWeights attention;
  VectorView ffn_norm;              ///< [hidden] (post_attention_layernorm)
  MlpWeights dense;                 ///< dense layers only
  MatrixView router;                ///< [routed_experts, hidden]; MoE layers only
  MlpWeights shared;                ///< MoE layers with shared experts
  std::vector<MlpWeights> experts;  ///< [routed_experts]
};

struct ModelWeights {
  MatrixView embedding;  ///< [vocab, hidden]
  std::vector<LayerWeights> layers;
  VectorView final_norm;  ///< [hidden]
  MatrixView head;        ///< [vocab, hidden]; equal to `embedding` when tied
};

/// Converts one row of a matrix to float32, scales applied. `out` has `cols` elements.
void dequantize_row(const MatrixView& matrix, std::int64_t row, std::span<float> out);
/// Converts a vector to float32.
[[nodiscard]] std::vector<float> to_float(const VectorView& vector);

}  // namespace caretd::engine

// DeepSeek-V2 (arXiv 2405.04434, section 2) written down as plainly as possible: float64, keys and
// values expanded for every head, one sequence, no cache, no batching. A cross-check of the
// runners; golden.json is the independent one.
#pragma once

#include <span>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/types.h"

namespace caretd::test {

class ReferenceModel {
 public:
  explicit ReferenceModel(const engine::Checkpoint& checkpoint);

  /// The logits after every token, [tokens][vocab_size].
  [[nodiscard]] std::vector<std::vector<double>> logits(
      std::span<const engine::TokenId> tokens) const;

 private:
  using Vector = std::vector<double>;
  struct Matrix {
    std::vector<Vector> rows;
    [[nodiscard]] Vector times(const Vector& x) const;
  };
  struct Mlp {
    Matrix gate, up, down;
    [[nodiscard]] Vector apply(const Vector& x) const;
  };
  struct Layer {
    Vector input_norm, q_a_norm, kv_a_norm, ffn_norm;
    Matrix q, q_a, q_b, kv_a, kv_b, o, router;
    Mlp dense, shared;
    std::vector<Mlp> experts;
  };

  static Matrix to_matrix(const engine::MatrixView& view);
  static Mlp to_mlp(const engine::MlpWeights& weights);
  static Vector to_vector(const engine::VectorView& view);

  [[nodiscard]] Vector normalized(const Vector& x, const Vector& weight) const;
  void rotate(double* pairs, int position) const;
  [[nodiscard]] std::vector<Vector> attention(const Layer& layer,
                                              const std::vector<Vector>& inputs) const;
  [[nodiscard]] Vector feed_forward(const Layer& layer, bool is_moe, const Vector& x) const;
  [[nodiscard]] std::vector<double> expert_weights(Vector logits) const;

  engine::ModelConfig config_;
  Vector inverse_frequencies_;
  Matrix embedding_, head_;
  Vector final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace caretd::test

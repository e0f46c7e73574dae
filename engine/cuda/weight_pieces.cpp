#include "engine/cuda/weight_pieces.h"

#include <algorithm>

namespace caretd::engine::cuda {
namespace {

using gpu::Format;
using gpu::PackedShape;
using gpu::RowOrder;
using gpu::SourceRows;

constexpr std::int64_t kPieceBytes = std::int64_t{8} << 20;  // with its share of the scales

/// Bytes that a row of a matrix takes in a slot, about: rows of a block share their scales.
std::int64_t staged_row_bytes(const MatrixView& matrix, std::int64_t cols) {
  const std::int64_t data = cols * size_of(matrix.dtype);
  if (matrix.scales == nullptr) return data;
  const auto scales = static_cast<std::int64_t>(sizeof(float)) * matrix.scale_cols();
  return data + scales / matrix.block_rows;
}

/// Cuts the checkpoint into pieces in the order of the forward pass.
class PieceList {
 public:
  PieceList(const ModelWeights& weights, const Shard& shard, DeviceModel& model)
      : weights_(weights), shard_(shard), model_(model), dims_(model.dims) {
    const gpu::StepWeights& to = model.weights;
    whole(weights.embedding, [&to, hidden = dims_.hidden](const SourceRows& rows, std::int64_t row,
                                                          cudaStream_t stream) {
      return gpu::convert_rows(rows, const_cast<__nv_bfloat16*>(to.embedding) + row * hidden,
                               stream);
    });
    for (int layer = 0; layer < dims_.layers; ++layer) add_layer(layer);
    add_floats(weights.final_norm, to.final_norm);
    add_packed(weights.head, all_rows(weights.head), all_cols(weights.head), to.head,
               PackedShape{Format::bf16, dims_.vocab, dims_.hidden}, RowOrder::plain, 0);
  }

  [[nodiscard]] std::vector<WeightPiece> take() { return std::move(pieces_); }

 private:
  using Pack = std::function<cudaError_t(const SourceRows&, std::int64_t, cudaStream_t)>;

  static gpu::Slice all_rows(const MatrixView& m) { return {0, static_cast<int>(m.rows)}; }
  static gpu::Slice all_cols(const MatrixView& m) { return {0, static_cast<int>(m.cols)}; }
  [[nodiscard]] gpu::Slice heads(int width) const {
    const gpu::Slice slice = gpu::slice_of(model_.config.heads, 1, shard_.rank, shard_.ranks);
    return {slice.begin * width, slice.end * width};
  }
  [[nodiscard]] gpu::Slice inside(std::int64_t width) const {
    return gpu::slice_of(static_cast<int>(width), 32, shard_.rank, shard_.ranks);
  }

  /// Pieces of a multiple of `unit` rows; pack() gets the row within the slice.
  void add(const MatrixView& matrix, gpu::Slice rows, gpu::Slice cols, int unit, const Pack& pack) {
    const std::int64_t row_bytes = staged_row_bytes(matrix, cols.size());
    const std::int64_t fitting = kPieceBytes / std::max<std::int64_t>(row_bytes, 1);
    const std::int64_t step = std::max<std::int64_t>(fitting / unit, 1) * unit;
    for (std::int64_t row = rows.begin; row < rows.end; row += step) {
      pieces_.push_back({matrix, row, std::min<std::int64_t>(step, rows.end - row), cols.begin,
                         cols.size(),
                         [pack, at = row - rows.begin](const SourceRows& source, std::int64_t,
                                                       cudaStream_t stream) {
                           return pack(source, at, stream);
                         }});
    }
  }
  void whole(const MatrixView& matrix, const Pack& pack) {
    add(matrix, all_rows(matrix), all_cols(matrix), 16, pack);
  }
  void add_packed(const MatrixView& matrix, gpu::Slice rows, gpu::Slice cols, const std::byte* to,
                  const PackedShape& shape, RowOrder order, int to_row) {
    if (matrix.empty()) return;
    add(matrix, rows, cols, 16,
        [=](const SourceRows& source, std::int64_t row, cudaStream_t stream) {
          return gpu::pack_rows(source, const_cast<std::byte*>(to), shape, order,
                                to_row + static_cast<int>(row), stream);
        });
  }
  void add_floats(const MatrixView& matrix, const float* to) {
    whole(matrix, [to, cols = matrix.cols](const SourceRows& source, std::int64_t row,
                                           cudaStream_t stream) {
      return gpu::convert_rows(source, const_cast<float*>(to) + row * cols, stream);
    });
  }
  void add_floats(const VectorView& vector, const float* to) {
    MatrixView matrix;
    matrix.name = vector.name;
    matrix.dtype = vector.dtype;
    matrix.rows = 1;
    matrix.cols = vector.size;
    matrix.data = vector.data;
    add_floats(matrix, to);
  }

  void add_layer(int layer) {
    const LayerWeights& from = weights_.layers[static_cast<std::size_t>(layer)];
    add_attention(layer, from.attention);
    add_floats(from.ffn_norm, model_.weights.ffn_norm + std::int64_t{layer} * dims_.hidden);
    if (!dims_.is_moe(layer)) {
      add_mlp(from.dense, model_.weights.dense_up, model_.weights.dense_down, dims_.dense_width,
              dims_.dense_index(layer));
      return;
    }
    const std::int64_t index = dims_.moe_index(layer);
    add_floats(from.router, model_.weights.router + index * dims_.experts * dims_.hidden);
    if (!from.shared.gate.empty()) {
      add_mlp(from.shared, model_.weights.shared_up, model_.weights.shared_down, dims_.shared_width,
              index);
    }
    for (int e = 0; e < dims_.experts; ++e) {
      add_mlp(from.experts[static_cast<std::size_t>(e)], model_.weights.expert_up,
              model_.weights.expert_down, dims_.expert_width, index * dims_.experts + e);
    }
  }

  void add_attention(int layer, const AttentionWeights& from) {
    const gpu::StepWeights& to = model_.weights;
    const int q_rows = dims_.q_rank > 0 ? dims_.q_rank : dims_.q_width();
    const PackedShape first{model_.format, q_rows + dims_.kv_width(), dims_.hidden};
    const std::byte* first_to = to.first + layer * first.bytes();
    add_floats(from.input_norm, to.attention_norm + std::int64_t{layer} * dims_.hidden);
    if (dims_.q_rank > 0) {
      const PackedShape second{model_.format, dims_.q_width(), dims_.q_rank};
      add_packed(from.q_a, all_rows(from.q_a), all_cols(from.q_a), first_to, first, RowOrder::plain,
                 0);
      add_floats(from.q_a_norm, to.q_norm + std::int64_t{layer} * dims_.q_rank);
      add_packed(from.q_b, heads(dims_.head_dim()), all_cols(from.q_b),
                 to.q_b + layer * second.bytes(), second, RowOrder::plain, 0);
    } else {
      add_packed(from.q, heads(dims_.head_dim()), all_cols(from.q), first_to, first,
                 RowOrder::plain, 0);
    }
    add_packed(from.kv_a, all_rows(from.kv_a), all_cols(from.kv_a), first_to, first,
               RowOrder::plain, q_rows);
    add_floats(from.kv_a_norm, to.kv_norm + std::int64_t{layer} * dims_.kv_rank);
    add_kv_b(layer, from.kv_b);
    const PackedShape out{model_.format, dims_.hidden, dims_.heads * dims_.v};
    add_packed(from.o, all_rows(from.o), heads(dims_.v), to.out + layer * out.bytes(), out,
               RowOrder::plain, 0);
  }

  void add_kv_b(int layer, const MatrixView& from) {
    const PackedShape key{Format::bf16, dims_.kv_rank, dims_.nope};
    const PackedShape value{Format::bf16, dims_.v, dims_.kv_rank};
    std::byte* absorb =
        const_cast<std::byte*>(model_.weights.absorb) + layer * dims_.heads * key.bytes();
    const PackedShape plain{Format::bf16, dims_.nope, dims_.kv_rank};
    std::byte* keys =
        const_cast<std::byte*>(model_.weights.key) + layer * dims_.heads * plain.bytes();
    std::byte* expand =
        const_cast<std::byte*>(model_.weights.value) + layer * dims_.heads * value.bytes();
    const int head_rows = dims_.nope + dims_.v;
    add(from, heads(head_rows), all_cols(from), head_rows,
        [=, nope = dims_.nope, v = dims_.v](const SourceRows& source, std::int64_t row,
                                            cudaStream_t stream) {
          return gpu::pack_kv_b(source, static_cast<int>(row) / head_rows, nope, v, keys, absorb,
                                expand, stream);
        });
  }

  void add_mlp(const MlpWeights& from, const std::byte* up, const std::byte* down, int width,
               std::int64_t index) {
    const PackedShape up_shape{model_.format, 2 * width, dims_.hidden};
    const PackedShape down_shape{model_.format, dims_.hidden, width};
    const std::byte* up_to = up + index * up_shape.bytes();
    const gpu::Slice part = inside(from.gate.rows);
    add_packed(from.gate, part, all_cols(from.gate), up_to, up_shape, RowOrder::gate, 0);
    add_packed(from.up, part, all_cols(from.up), up_to, up_shape, RowOrder::up, 0);
    add_packed(from.down, all_rows(from.down), part, down + index * down_shape.bytes(), down_shape,
               RowOrder::plain, 0);
  }

  const ModelWeights& weights_;
  Shard shard_;
  DeviceModel& model_;
  const gpu::StepDims& dims_;
  std::vector<WeightPiece> pieces_;
};

}  // namespace

std::vector<WeightPiece> weight_pieces(const ModelWeights& weights, const Shard& shard,
                                       DeviceModel& model) {
  return PieceList(weights, shard, model).take();
}

}  // namespace caretd::engine::cuda

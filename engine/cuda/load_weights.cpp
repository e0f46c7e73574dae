// From the mapped checkpoint into the packed layout: threads copy pieces of tensors from the page
// cache into pinned memory, from where each has its own stream to the device and a kernel packs
// them.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "engine/cuda/device_model.h"
#include "kernels/cuda/pack.h"

namespace caretd::engine::cuda {
namespace {

using gpu::Format;
using gpu::PackedShape;
using gpu::RowOrder;
using gpu::SourceRows;

constexpr std::size_t kPieceBytes = std::size_t{8} << 20;
constexpr std::size_t kSlotBytes = std::size_t{16} << 20;  // a piece, and scales behind it
constexpr int kMaxThreads = 8;

/// Rows of a matrix and what becomes of them on the device.
struct Piece {
  MatrixView matrix;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_col = 0;
  std::int64_t cols = 0;
  std::function<cudaError_t(const SourceRows&, std::int64_t row, cudaStream_t)> pack;

  [[nodiscard]] std::int64_t bytes() const { return rows * cols * size_of(matrix.dtype); }
};

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

  [[nodiscard]] std::vector<Piece> take() { return std::move(pieces_); }

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
    const std::int64_t row_bytes = std::int64_t{cols.size()} * size_of(matrix.dtype);
    const std::int64_t fitting =
        static_cast<std::int64_t>(kPieceBytes) / std::max<std::int64_t>(row_bytes, 1);
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
  std::vector<Piece> pieces_;
};

gpu::SourceType source_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return gpu::SourceType::f32;
    case DType::f16:
      return gpu::SourceType::f16;
    case DType::bf16:
      return gpu::SourceType::bf16;
    case DType::f8_e4m3:
      break;
  }
  return gpu::SourceType::f8_e4m3;
}

/// One thread's way to the device: two slots, so that copying one overlaps sending the other.
class Lane {
 public:
  static Result<std::unique_ptr<Lane>> create() {
    auto lane = std::make_unique<Lane>();
    auto stream = gpu::Stream::create();
    if (!stream) return pass_on(std::move(stream));
    lane->stream_ = *std::move(stream);
    for (Slot& slot : lane->slots_) {
      auto pinned = gpu::PinnedBuffer::allocate(kSlotBytes, "allocating pinned memory");
      if (!pinned) return pass_on(std::move(pinned));
      auto device = gpu::DeviceBuffer::allocate(kSlotBytes, "allocating a load buffer");
      if (!device) return pass_on(std::move(device));
      auto sent = gpu::Event::create();
      if (!sent) return pass_on(std::move(sent));
      slot = {*std::move(pinned), *std::move(device), *std::move(sent)};
    }
    return lane;
  }

  Result<void> send(const Piece& piece) {
    Slot& slot = slots_[next_++ % 2];
    if (auto ok = gpu::check(cudaEventSynchronize(slot.sent.get()), "loading weights"); !ok)
      return ok;
    const std::size_t data = copy_rows(piece, slot.pinned.bytes());
    const std::size_t total = copy_scales(piece, slot.pinned.bytes(), data);
    auto done = gpu::check(cudaMemcpyAsync(slot.device.bytes(), slot.pinned.bytes(), total,
                                           cudaMemcpyHostToDevice, stream_.get()),
                           "copying weights");
    if (done) {
      done = gpu::check(piece.pack(source_rows(piece, slot.device.bytes(), data), 0, stream_.get()),
                        "packing weights");
    }
    if (done) done = gpu::check(cudaEventRecord(slot.sent.get(), stream_.get()), "loading weights");
    return done;
  }

  Result<void> finish() { return stream_.synchronize("loading weights"); }

 private:
  struct Slot {
    gpu::PinnedBuffer pinned;
    gpu::DeviceBuffer device;
    gpu::Event sent;
  };

  /// Bytes written, rounded up so that scales may follow.
  static std::size_t copy_rows(const Piece& piece, std::byte* to) {
    const std::int64_t element = size_of(piece.matrix.dtype);
    const std::int64_t pitch = piece.matrix.cols * element;
    const std::byte* from = piece.matrix.data + piece.first_row * pitch + piece.first_col * element;
    const std::int64_t width = piece.cols * element;
    if (width == pitch) {
      std::memcpy(to, from, static_cast<std::size_t>(piece.rows * pitch));
    } else {
      for (std::int64_t row = 0; row < piece.rows; ++row) {
        std::memcpy(to + row * width, from + row * pitch, static_cast<std::size_t>(width));
      }
    }
    return (static_cast<std::size_t>(piece.bytes()) + 15) / 16 * 16;
  }
  static std::size_t copy_scales(const Piece& piece, std::byte* to, std::size_t at) {
    const MatrixView& m = piece.matrix;
    if (m.scales == nullptr) return at;
    const auto rows = static_cast<std::size_t>((m.rows + m.block_rows - 1) / m.block_rows);
    const std::size_t bytes = rows * static_cast<std::size_t>(m.scale_cols()) * sizeof(float);
    std::memcpy(to + at, m.scales, bytes);
    return at + bytes;
  }
  static SourceRows source_rows(const Piece& piece, const std::byte* device,
                                std::size_t scales_at) {
    const MatrixView& m = piece.matrix;
    SourceRows rows;
    rows.type = source_type(m.dtype);
    rows.data = device;
    rows.rows = static_cast<int>(piece.rows);
    rows.cols = static_cast<int>(piece.cols);
    rows.pitch = rows.cols;
    rows.first_row = static_cast<int>(piece.first_row);
    rows.first_col = static_cast<int>(piece.first_col);
    if (m.scales != nullptr) {
      rows.scales = reinterpret_cast<const float*>(device + scales_at);
      rows.block_rows = static_cast<int>(m.block_rows);
      rows.block_cols = static_cast<int>(m.block_cols);
      rows.scale_cols = static_cast<int>(m.scale_cols());
    }
    return rows;
  }

  gpu::Stream stream_;
  Slot slots_[2];
  unsigned next_ = 0;
};

/// What the loading threads share.
struct LoadState {
  std::atomic<std::size_t> next{0};
  std::atomic<std::int64_t> bytes{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable changed;
  int running = 0;      // guarded by mutex
  Result<void> result;  // guarded by mutex; the first failure
};

Result<void> send_pieces(const std::vector<Piece>& pieces, int device, LoadState& state) {
  if (auto ok = gpu::check(cudaSetDevice(device), "selecting the GPU"); !ok) return ok;
  auto lane = Lane::create();
  if (!lane) return pass_on(std::move(lane));
  while (!state.stop) {
    const std::size_t i = state.next++;
    if (i >= pieces.size()) break;
    if (auto ok = (*lane)->send(pieces[i]); !ok) return ok;
    state.bytes += pieces[i].bytes();
  }
  return (*lane)->finish();
}

void run_loader(const std::vector<Piece>& pieces, int device, LoadState& state) {
  auto result = send_pieces(pieces, device, state);
  const std::lock_guard lock(state.mutex);
  if (!result) {
    state.stop = true;
    if (state.result) state.result = std::move(result);
  }
  --state.running;
  state.changed.notify_all();
}

bool fits_packed_fp8(const MatrixView& m) {
  if (m.empty()) return true;
  const bool rows = m.block_rows >= m.rows || m.block_rows % 16 == 0;
  const bool cols = m.block_cols >= m.cols || m.block_cols % gpu::kScaleColumns == 0;
  return m.dtype == DType::f8_e4m3 && rows && cols && m.rows % 8 == 0;
}

}  // namespace

Format stream_format(const ModelWeights& weights) {
  const auto mlp = [](const MlpWeights& w) {
    return fits_packed_fp8(w.gate) && fits_packed_fp8(w.up) && fits_packed_fp8(w.down);
  };
  for (const LayerWeights& layer : weights.layers) {
    const AttentionWeights& a = layer.attention;
    bool fp8 = fits_packed_fp8(a.q) && fits_packed_fp8(a.q_a) && fits_packed_fp8(a.q_b) &&
               fits_packed_fp8(a.kv_a) && fits_packed_fp8(a.o) && mlp(layer.dense) &&
               mlp(layer.shared);
    for (const MlpWeights& expert : layer.experts) fp8 = fp8 && mlp(expert);
    if (!fp8) return Format::bf16;
  }
  return Format::fp8;
}

Result<void> load_weights(const Checkpoint& checkpoint, const Shard& shard, DeviceModel& model,
                          int device, const Progress& progress, const std::stop_token& stop) {
  const std::vector<Piece> pieces = PieceList(checkpoint.weights(), shard, model).take();
  std::int64_t total = 0;
  for (const Piece& piece : pieces) total += piece.bytes();
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  LoadState state;
  state.running = std::min({kMaxThreads, cores, static_cast<int>(pieces.size())});
  std::vector<std::jthread> threads;
  for (int i = 0; i < state.running; ++i) {
    threads.emplace_back([&] { run_loader(pieces, device, state); });
  }
  std::unique_lock lock(state.mutex);
  while (state.running > 0) {
    state.changed.wait_for(lock, std::chrono::milliseconds(50));
    if (stop.stop_requested()) state.stop = true;
    if (progress)
      progress(static_cast<double>(state.bytes) /
               static_cast<double>(std::max<std::int64_t>(total, 1)));
  }
  lock.unlock();
  threads.clear();
  if (stop.stop_requested()) return fail(ErrorKind::cancelled, "loading the model was cancelled");
  return std::move(state.result);
}

}  // namespace caretd::engine::cuda

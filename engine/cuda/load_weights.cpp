// From the mapped checkpoint into the packed layout: threads copy pieces of tensors from the page
// cache into pinned memory, from where each has its own stream to the device and a kernel packs
// them.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "engine/cuda/weight_pieces.h"

namespace caretd::engine::cuda {
namespace {

using gpu::Format;
using gpu::SourceRows;

constexpr std::size_t kSlotBytes = std::size_t{16} << 20;
constexpr int kMaxThreads = 8;

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

  Result<void> send(const WeightPiece& piece) {
    const std::size_t scales_at = piece.scales_at();
    const std::size_t total = scales_at + piece.scale_bytes();
    if (total > kSlotBytes) {
      return fail(ErrorKind::unsupported,
                  "the rows of \"" + piece.matrix.name +
                      "\" are too long to be brought to the GPU; set model.device to \"cpu\"");
    }
    Slot& slot = slots_[next_++ % 2];
    if (auto ok = gpu::check(cudaEventSynchronize(slot.sent.get()), "loading weights"); !ok)
      return ok;
    copy_rows(piece, slot.pinned.bytes());
    copy_scales(piece, slot.pinned.bytes() + scales_at);
    auto done = gpu::check(cudaMemcpyAsync(slot.device.bytes(), slot.pinned.bytes(), total,
                                           cudaMemcpyHostToDevice, stream_.get()),
                           "copying weights");
    if (done) {
      done = gpu::check(
          piece.pack(source_rows(piece, slot.device.bytes(), scales_at), 0, stream_.get()),
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

  static void copy_rows(const WeightPiece& piece, std::byte* to) {
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
  }
  static void copy_scales(const WeightPiece& piece, std::byte* to) {
    const MatrixView& m = piece.matrix;
    if (m.scales == nullptr) return;
    std::memcpy(to, m.scales + piece.first_scale_row() * m.scale_cols(), piece.scale_bytes());
  }
  static SourceRows source_rows(const WeightPiece& piece, const std::byte* device,
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
      rows.first_row = static_cast<int>(piece.first_row % m.block_rows);  // within those sent
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

Result<void> send_pieces(const std::vector<WeightPiece>& pieces, int device, LoadState& state) {
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

void run_loader(const std::vector<WeightPiece>& pieces, int device, LoadState& state) {
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
  const std::vector<WeightPiece> pieces = weight_pieces(checkpoint.weights(), shard, model);
  std::int64_t total = 0;
  for (const WeightPiece& piece : pieces) total += piece.bytes();
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

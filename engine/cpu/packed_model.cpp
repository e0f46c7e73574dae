#include "engine/cpu/packed_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>

#include "kernels/cpu/pack.h"

namespace caretd::engine {

namespace cpu = kernels::cpu;

namespace {

constexpr int kMatricesBetweenReports = 64;
/// Outputs that one thread rounds to int8 at a time; a multiple of a panel.
constexpr std::int64_t kRoundedOutputs = 1024;

cpu::Format format_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return cpu::Format::f32;
    case DType::f16:
      return cpu::Format::f16;
    case DType::bf16:
      return cpu::Format::bf16;
    case DType::f8_e4m3:
      return cpu::Format::f8_e4m3;
  }
  return cpu::Format::f32;
}

/// Collects what is to be packed, then packs it into one allocation.
class Packer {
 public:
  void add(const MatrixView& from, cpu::PackedWeights& to) {
    add_rows(from, 0, from.rows, cpu::Orientation::as_is, to);
  }

  void add_rows(const MatrixView& from, std::int64_t first_row, std::int64_t rows,
                cpu::Orientation orientation, cpu::PackedWeights& to) {
    if (from.empty()) return;
    const cpu::RowMajorWeights source = source_of(from, first_row, rows);
    const std::size_t bytes =
        cpu::packed_bytes(cpu::plan_packing(source, orientation), cpu::needs_scales(source));
    tasks_.push_back({source, orientation, 0, &from.name, &to, total_bytes_, bytes});
    total_bytes_ += bytes;
  }

  void add_rounded_to_int8(const MatrixView& from, cpu::PackedWeights& to) {
    const int outputs = static_cast<int>(from.rows);
    const std::size_t bytes =
        cpu::packed_bytes(cpu::plan_int8(outputs, static_cast<int>(from.cols)), true);
    for (std::int64_t row = 0; row < from.rows; row += kRoundedOutputs) {
      tasks_.push_back({source_of(from, row, std::min(kRoundedOutputs, from.rows - row)),
                        cpu::Orientation::as_is, outputs, &from.name, &to, total_bytes_, bytes});
    }
    total_bytes_ += bytes;
  }

  /// Norm weights are few: converted to float32 at once.
  void add(const VectorView& from, std::vector<float>& to) {
    to = to_float(from);
    const bool finite = std::ranges::all_of(to, [](float value) { return std::isfinite(value); });
    if (!finite && damaged_vector_ == nullptr) damaged_vector_ = &from.name;
  }

  Result<MappedMemory> run(ThreadTeam& team, const Progress& progress,
                           const std::stop_token& stop) {
    if (damaged_vector_ != nullptr) return damage_in(*damaged_vector_);
    if (static_cast<std::int64_t>(total_bytes_) > available_memory()) {
      return fail(ErrorKind::out_of_memory,
                  "The weights need " + std::to_string(total_bytes_ >> 20) + " MB and only " +
                      std::to_string(available_memory() >> 20) +
                      " MB of memory are free; choose a smaller model or close other programs.");
    }
    auto memory = MappedMemory::allocate(std::max<std::size_t>(total_bytes_, 1), true);
    if (!memory) return memory;
    const int count = static_cast<int>(tasks_.size());
    for (int first = 0; first < count; first += kMatricesBetweenReports) {
      if (stop.stop_requested()) return fail(ErrorKind::cancelled, "Loading was cancelled.");
      const int batch = std::min(kMatricesBetweenReports, count - first);
      std::atomic<int> damaged{-1};
      team.for_each(batch, [&](int item, int) {
        if (!pack_one(tasks_[static_cast<std::size_t>(first + item)], memory->bytes())) {
          damaged = first + item;
        }
      });
      if (damaged >= 0) {
        return damage_in(*tasks_[static_cast<std::size_t>(damaged.load())].name);
      }
      if (progress) progress(static_cast<double>(first + batch) / count);
    }
    return memory;
  }

 private:
  struct Task {
    cpu::RowMajorWeights from;
    cpu::Orientation orientation;
    int int8_outputs;  ///< of the whole matrix, when `from` is rounded; else 0
    const std::string* name;
    cpu::PackedWeights* to;
    std::size_t offset;
    std::size_t bytes;
  };

  static cpu::RowMajorWeights source_of(const MatrixView& from, std::int64_t first_row,
                                        std::int64_t rows) {
    return {.format = format_of(from.dtype),
            .data = from.data,
            .first_row = static_cast<int>(first_row),
            .rows = static_cast<int>(rows),
            .cols = static_cast<int>(from.cols),
            .scales = from.scales,
            .block_rows = static_cast<int>(from.block_rows),
            .block_cols = static_cast<int>(from.block_cols)};
  }

  static bool pack_one(const Task& task, std::span<std::byte> memory) {
    if (!cpu::all_finite(task.from)) return false;
    const auto part = memory.subspan(task.offset, task.bytes);
    if (task.int8_outputs == 0) {
      *task.to = cpu::pack(task.from, task.orientation, part);
      return true;
    }
    const cpu::PackedWeights packed =
        cpu::pack_int8(task.from, cpu::plan_int8(task.int8_outputs, task.from.cols), part);
    // Every task of the matrix computes the same; one of them is enough to say it.
    if (task.from.first_row == 0) *task.to = packed;
    return true;
  }

  static tl::unexpected<Error> damage_in(const std::string& tensor) {
    return fail(ErrorKind::invalid_input,
                "Tensor " + tensor +
                    " holds values that are not finite numbers; download the model again.");
  }

  std::vector<Task> tasks_;
  std::size_t total_bytes_ = 0;
  const std::string* damaged_vector_ = nullptr;
};

void add_mlp(Packer& packer, const MlpWeights& from, PackedMlp& to) {
  packer.add(from.gate, to.gate);
  packer.add(from.up, to.up);
  packer.add(from.down, to.down);
}

void add_attention(Packer& packer, const ModelConfig& config, const AttentionWeights& from,
                   PackedLayer& to) {
  packer.add(from.input_norm, to.input_norm);
  packer.add(from.q, to.q);
  if (config.q_lora_rank > 0) {
    packer.add(from.q_a, to.q_a);
    packer.add(from.q_a_norm, to.q_a_norm);
    packer.add(from.q_b, to.q_b);
  }
  packer.add(from.kv_a, to.kv_a);
  packer.add(from.kv_a_norm, to.kv_a_norm);
  to.key_up.resize(static_cast<std::size_t>(config.heads));
  to.value_up.resize(static_cast<std::size_t>(config.heads));
  std::int64_t row = 0;
  for (std::size_t head = 0; head < to.key_up.size(); ++head) {
    packer.add_rows(from.kv_b, row, config.qk_nope_head_dim, cpu::Orientation::transposed,
                    to.key_up[head]);
    row += config.qk_nope_head_dim;
    packer.add_rows(from.kv_b, row, config.v_head_dim, cpu::Orientation::as_is, to.value_up[head]);
    row += config.v_head_dim;
  }
  packer.add(from.o, to.o);
}

void add_feed_forward(Packer& packer, const LayerWeights& from, bool is_moe, PackedLayer& to) {
  packer.add(from.ffn_norm, to.ffn_norm);
  add_mlp(packer, is_moe ? from.shared : from.dense, to.always);
  if (!is_moe) return;
  packer.add(from.router, to.router);
  to.experts.resize(from.experts.size());
  for (std::size_t e = 0; e < from.experts.size(); ++e) {
    add_mlp(packer, from.experts[e], to.experts[e]);
  }
}

std::int64_t bytes_of(const PackedMlp& mlp) {
  return mlp.gate.bytes() + mlp.up.bytes() + mlp.down.bytes();
}

std::int64_t bytes_of(const std::vector<cpu::PackedWeights>& matrices) {
  std::int64_t total = 0;
  for (const cpu::PackedWeights& matrix : matrices) total += matrix.bytes();
  return total;
}

}  // namespace

std::int64_t PackedModel::bytes_per_token(const ModelConfig& config) const {
  std::int64_t total = rounded_head.outputs > 0 ? rounded_head.bytes() : head.bytes();
  for (const PackedLayer& layer : layers) {
    total += layer.q.bytes() + layer.q_a.bytes() + layer.q_b.bytes() + layer.kv_a.bytes() +
             layer.o.bytes() + layer.router.bytes() + bytes_of(layer.key_up) +
             bytes_of(layer.value_up) + bytes_of(layer.always);
    if (!layer.experts.empty()) total += bytes_of(layer.experts[0]) * config.experts_per_token;
  }
  return total;
}

Result<PackedModel> pack_model(const ModelConfig& config, const ModelWeights& weights, bool precise,
                               ThreadTeam& team, const Progress& progress, std::stop_token stop) {
  PackedModel model;
  Packer packer;
  packer.add(weights.embedding, model.embedding);
  const bool tied = weights.head.data == weights.embedding.data;
  if (!tied) packer.add(weights.head, model.head);
  if (!precise && weights.head.dtype != DType::f8_e4m3) {
    packer.add_rounded_to_int8(weights.head, model.rounded_head);
  }
  model.layers.resize(weights.layers.size());
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    add_attention(packer, config, weights.layers[i].attention, model.layers[i]);
    add_feed_forward(packer, weights.layers[i], config.is_moe_layer(static_cast<int>(i)),
                     model.layers[i]);
  }
  packer.add(weights.final_norm, model.final_norm);
  auto memory = packer.run(team, progress, stop);
  if (!memory) return pass_on(std::move(memory));
  model.memory = std::move(*memory);
  if (tied) model.head = model.embedding;
  return model;
}

std::string describe_format(const ModelConfig& config, const ModelWeights& weights) {
  if (weights.layers.empty()) return "empty";
  const DType dtype = weights.layers[0].attention.o.dtype;
  if (dtype == DType::f8_e4m3) return config.fp8_block[0] > 0 ? "FP8 block-wise" : "FP8";
  return std::string(to_string(dtype));
}

}  // namespace caretd::engine

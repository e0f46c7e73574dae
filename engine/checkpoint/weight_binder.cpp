#include "engine/checkpoint/weight_binder.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/weight_layout.h"

namespace caretd::engine {
namespace {

constexpr std::string_view kHeadName = "lm_head.weight";
constexpr const char* kBlockScaleSuffix = "_scale_inv";  // after "X.weight"
constexpr const char* kTensorScaleSuffix = "_scale";

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

tl::unexpected<Error> bad_tensor(const Tensor& tensor, const std::string& reason) {
  return fail(ErrorKind::invalid_input,
              tensor.file + ": tensor " + quote_name(tensor.name) + " " + reason + ".");
}

/// Tensors that published checkpoints carry and inference does not read: activation scales
/// (activations are scaled at run time), scales for FP8 KV caches, cached rotary tables, and the
/// head of a model whose config ties it to the embedding.
bool may_be_ignored(std::string_view name, bool tied) {
  static constexpr std::array<std::string_view, 4> kSuffixes{".input_scale", ".k_scale", ".v_scale",
                                                             ".rotary_emb.inv_freq"};
  return std::ranges::any_of(kSuffixes, [&](auto suffix) { return name.ends_with(suffix); }) ||
         (tied && name.starts_with("lm_head."));
}

class Binder {
 public:
  Binder(const ModelConfig& config, const TensorTable& table) : config_(config), table_(table) {
    config_.tied_embeddings = config.tied_embeddings || table.find(kHeadName) == nullptr;
    bound_.tied_embeddings = config_.tied_embeddings;
  }

  /// Binds every weight; stops looking after `limit` faults.
  void run(size_t limit) {
    for (const WeightSlot& slot : weight_slots(config_, bound_.weights)) {
      auto done =
          slot.matrix != nullptr ? bind(slot.spec, *slot.matrix) : bind(slot.spec, *slot.vector);
      if (!note(std::move(done), limit)) return;
    }
    for (const Tensor& tensor : table_.tensors()) {
      if (!note(check_leftover(tensor), limit)) return;
    }
    if (bound_.tied_embeddings) bound_.weights.head = bound_.weights.embedding;
  }

  [[nodiscard]] std::vector<Error>& faults() { return faults_; }
  [[nodiscard]] BoundWeights& bound() { return bound_; }

 private:
  /// False when enough faults were found.
  bool note(Result<void> done, size_t limit) {
    if (!done) faults_.push_back(std::move(done).error());
    return faults_.size() < limit;
  }

  Result<const Tensor*> take(const TensorSpec& spec) {
    const Tensor* tensor = table_.find(spec.name);
    if (tensor == nullptr) {
      return fail(ErrorKind::not_found,
                  "tensor " + quote_name(spec.name) + " is missing; config.json asks for it.");
    }
    use(*tensor);
    if (!tensor->dtype) {
      return bad_tensor(*tensor, "has the dtype " + tensor->dtype_name +
                                     ", which is none of BF16, F16, F32 and F8_E4M3");
    }
    if (tensor->shape != spec.shape()) {
      return bad_tensor(*tensor, "has the shape " + shape_text(tensor->shape) +
                                     " where config.json needs " + shape_text(spec.shape()));
    }
    return tensor;
  }

  /// Notes that a tensor and its scales have a place in the model.
  void use(const Tensor& tensor) {
    used_.insert(tensor.name);
    for (const char* suffix : {kBlockScaleSuffix, kTensorScaleSuffix}) {
      if (const Tensor* scale = table_.find(tensor.name + suffix)) used_.insert(scale->name);
    }
  }

  Result<void> bind(const TensorSpec& spec, VectorView& view) {
    auto tensor = take(spec);
    if (!tensor) return pass_on(std::move(tensor));
    if ((*tensor)->dtype == DType::f8_e4m3) {
      return bad_tensor(**tensor, "is a norm in F8_E4M3, which has too little precision for it");
    }
    view = {spec.name, *(*tensor)->dtype, spec.rows, aligned(**tensor)};
    return {};
  }

  Result<void> bind(const TensorSpec& spec, MatrixView& view) {
    auto tensor = take(spec);
    if (!tensor) return pass_on(std::move(tensor));
    view.name = spec.name;
    view.dtype = *(*tensor)->dtype;
    view.rows = spec.rows;
    view.cols = spec.cols;
    view.data = aligned(**tensor);
    return bind_scales(**tensor, view);
  }

  Result<void> bind_scales(const Tensor& tensor, MatrixView& view) {
    const Tensor* block_wise = table_.find(tensor.name + kBlockScaleSuffix);
    const Tensor* per_tensor = table_.find(tensor.name + kTensorScaleSuffix);
    const Tensor* scale = block_wise != nullptr ? block_wise : per_tensor;
    if (view.dtype != DType::f8_e4m3) {
      if (scale == nullptr) return {};
      return bad_tensor(*scale,
                        "scales a weight that is " + tensor.dtype_name + " instead of F8_E4M3");
    }
    if (scale == nullptr) {
      return bad_tensor(tensor, "is F8_E4M3 but has neither a weight_scale_inv nor a weight_scale");
    }
    if (block_wise != nullptr && per_tensor != nullptr) {
      return bad_tensor(tensor, "has both a weight_scale_inv and a weight_scale");
    }
    if (auto shaped = check_scale_shape(*scale, view); !shaped) return shaped;
    return bind_scale_values(*scale, view);
  }

  /// A single number scales the whole matrix, whatever its name; anything else must have one
  /// entry for each block that config.json announces.
  Result<void> check_scale_shape(const Tensor& scale, MatrixView& view) const {
    if (scale.shape.empty() || scale.shape == std::vector<std::int64_t>{1}) {
      view.block_rows = view.rows;
      view.block_cols = view.cols;
      return {};
    }
    const auto [block_rows, block_cols] = config_.fp8_block;
    if (block_rows == 0 || scale.name.ends_with("weight_scale")) {
      return bad_tensor(scale, "has the shape " + shape_text(scale.shape) +
                                   " but is no block-wise scale: config.json announces no "
                                   "weight_block_size or the name is not weight_scale_inv");
    }
    view.block_rows = block_rows;
    view.block_cols = block_cols;
    const std::vector<std::int64_t> expected{(view.rows + block_rows - 1) / block_rows,
                                             view.scale_cols()};
    if (scale.shape == expected) return {};
    return bad_tensor(scale, "has the shape " + shape_text(scale.shape) + " where blocks of " +
                                 std::to_string(block_rows) + " x " + std::to_string(block_cols) +
                                 " need " + shape_text(expected));
  }

  Result<void> bind_scale_values(const Tensor& scale, MatrixView& view) {
    if (!scale.dtype || *scale.dtype == DType::f8_e4m3) {
      return bad_tensor(scale, "has the dtype " + scale.dtype_name + " where F32 is expected");
    }
    if (*scale.dtype == DType::f32) {
      view.scales = reinterpret_cast<const float*>(aligned(scale));
      return {};
    }
    const std::vector<float> values =
        to_float({scale.name, *scale.dtype, scale.elements(), scale.data.data()});
    view.scales =
        reinterpret_cast<const float*>(copy(std::as_bytes(std::span<const float>(values))));
    return {};
  }

  /// The tensor's bytes at an address that its element type may be read from.
  const std::byte* aligned(const Tensor& tensor) {
    const auto address = reinterpret_cast<std::uintptr_t>(tensor.data.data());
    if (address % static_cast<std::uintptr_t>(size_of(*tensor.dtype)) == 0) {
      return tensor.data.data();
    }
    return copy(tensor.data);
  }

  const std::byte* copy(std::span<const std::byte> bytes) {
    auto memory = std::make_unique_for_overwrite<std::byte[]>(bytes.size());
    std::memcpy(memory.get(), bytes.data(), bytes.size());
    bound_.copies.push_back(std::move(memory));
    return bound_.copies.back().get();
  }

  [[nodiscard]] Result<void> check_leftover(const Tensor& tensor) const {
    if (used_.contains(tensor.name)) return {};
    if (may_be_ignored(tensor.name, bound_.tied_embeddings)) return {};
    return bad_tensor(tensor, "is not part of the architecture that config.json describes");
  }

  ModelConfig config_;
  const TensorTable& table_;
  std::unordered_set<std::string_view> used_;  ///< names inside table_
  BoundWeights bound_;
  std::vector<Error> faults_;
};

}  // namespace

Result<BoundWeights> bind_weights(const ModelConfig& config, const TensorTable& table) {
  Binder binder(config, table);
  binder.run(1);
  if (!binder.faults().empty()) return tl::unexpected(std::move(binder.faults().front()));
  return std::move(binder.bound());
}

std::vector<Error> find_weight_faults(const ModelConfig& config, const TensorTable& table,
                                      size_t limit) {
  Binder binder(config, table);
  binder.run(limit);
  return std::move(binder.faults());
}

}  // namespace caretd::engine

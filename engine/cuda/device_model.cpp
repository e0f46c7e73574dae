#include "engine/cuda/device_model.h"

#include <cmath>

#include "kernels/cuda/pack.h"

namespace caretd::engine::cuda {
namespace {

using gpu::Format;
using gpu::PackedShape;

/// Calls visit(pointer member, bytes) for every array of weights.
template <class Visit>
void for_each_array(gpu::StepWeights& weights, const gpu::StepDims& dims, Format format,
                    int positions, Visit&& visit) {
  const std::int64_t layers = dims.layers;
  const std::int64_t moe = dims.moe_index(dims.layers);
  const std::int64_t dense = layers - moe;
  const auto packed = [](Format f, int rows, int cols) {
    return cols > 0 ? PackedShape{f, rows, cols}.bytes() : 0;
  };
  const int q_rows = dims.q_rank > 0 ? dims.q_rank : dims.q_width();
  visit(weights.embedding, std::int64_t{2} * dims.vocab * dims.hidden);
  visit(weights.attention_norm, layers * dims.hidden * 4);
  visit(weights.q_norm, layers * dims.q_rank * 4);
  visit(weights.kv_norm, layers * dims.kv_rank * 4);
  visit(weights.ffn_norm, layers * dims.hidden * 4);
  visit(weights.final_norm, std::int64_t{4} * dims.hidden);
  visit(weights.first, layers * packed(format, q_rows + dims.kv_width(), dims.hidden));
  visit(weights.q_b, layers * packed(format, dims.q_width(), dims.q_rank));
  visit(weights.absorb, layers * dims.heads * packed(Format::bf16, dims.kv_rank, dims.nope));
  visit(weights.key, layers * dims.heads * packed(Format::bf16, dims.nope, dims.kv_rank));
  visit(weights.value, layers * dims.heads * packed(Format::bf16, dims.v, dims.kv_rank));
  visit(weights.out, layers * packed(format, dims.hidden, dims.heads * dims.v));
  visit(weights.dense_up, dense * packed(format, 2 * dims.dense_width, dims.hidden));
  visit(weights.dense_down, dense * packed(format, dims.hidden, dims.dense_width));
  visit(weights.shared_up, moe * packed(format, 2 * dims.shared_width, dims.hidden));
  visit(weights.shared_down, moe * packed(format, dims.hidden, dims.shared_width));
  visit(weights.expert_up, moe * dims.experts * packed(format, 2 * dims.expert_width, dims.hidden));
  visit(weights.expert_down, moe * dims.experts * packed(format, dims.hidden, dims.expert_width));
  visit(weights.router, moe * dims.experts * dims.hidden * 4);
  if (gpu::has_lite_sizes(dims)) {
    visit(weights.value_router, moe * dims.experts * dims.heads * dims.v * 4);
  }
  visit(weights.head, packed(Format::bf16, dims.vocab, dims.hidden));
  visit(weights.rotary, static_cast<std::int64_t>(positions) * dims.rope / 2 * 8);
}

Result<void> fill_rotary_table(DeviceModel& model, cudaStream_t stream) {
  const std::vector<double> frequencies = rope_inverse_frequencies(model.config);
  auto device = gpu::DeviceBuffer::allocate(frequencies.size() * sizeof(double), "making tables");
  if (!device) return pass_on(std::move(device));
  auto done = gpu::check(cudaMemcpyAsync(device->bytes(), frequencies.data(), device->size(),
                                         cudaMemcpyHostToDevice, stream),
                         "copying the rotary frequencies");
  if (done) {
    done =
        gpu::check(gpu::fill_rotary(const_cast<float2*>(model.weights.rotary),
                                    model.config.context_tokens, model.dims.rope / 2,
                                    device->as<double>(), model.config.rope_multiplier(), stream),
                   "making the rotary table");
  }
  if (done) done = gpu::check(cudaStreamSynchronize(stream), "making the rotary table");
  return done;
}

}  // namespace

Result<gpu::StepDims> step_dims(const ModelConfig& config, int real_vocab, const Shard& shard) {
  const auto share = [&](int size, int unit) {
    return gpu::slice_of(size, unit, shard.rank, shard.ranks).size();
  };
  gpu::StepDims dims;
  dims.layers = config.layers;
  dims.dense_layers = config.routed_experts > 0 ? config.dense_layers : config.layers;
  dims.moe_layer_freq = config.moe_layer_freq;
  dims.hidden = config.hidden;
  dims.heads = share(config.heads, 1);
  dims.q_rank = config.q_lora_rank;
  dims.kv_rank = config.kv_lora_rank;
  dims.nope = config.qk_nope_head_dim;
  dims.rope = config.qk_rope_head_dim;
  dims.v = config.v_head_dim;
  dims.experts = config.routed_experts;
  dims.topk = config.routed_experts > 0 ? config.experts_per_token : 0;
  dims.groups = config.expert_groups;
  dims.topk_groups = config.groups_per_token;
  dims.group_limited = config.routing == RoutingMethod::group_limited_greedy ? 1 : 0;
  dims.normalize_topk = config.normalize_topk ? 1 : 0;
  dims.routed_scaling = config.routed_scaling;
  dims.dense_width = share(config.dense_intermediate, 32);
  dims.shared_width = config.routed_experts > 0 ? share(config.shared_intermediate(), 32) : 0;
  dims.expert_width = config.routed_experts > 0 ? share(config.moe_intermediate, 32) : 0;
  dims.vocab = config.vocab_size;
  dims.real_vocab = real_vocab > 0 ? real_vocab : config.vocab_size;
  dims.norm_epsilon = static_cast<float>(config.rms_norm_eps);
  dims.softmax_scale_log2 = static_cast<float>(config.softmax_scale() / std::log(2.0));
  if (auto ok = gpu::check_dims(dims); !ok) return pass_on(std::move(ok));
  return dims;
}

std::int64_t weight_bytes(const gpu::StepDims& dims, Format format, int positions) {
  gpu::StepWeights none;
  std::int64_t total = 0;
  for_each_array(none, dims, format, positions, [&](auto&, std::int64_t bytes) { total += bytes; });
  return total;
}

Result<DeviceModel> allocate_model(const ModelConfig& config, const gpu::StepDims& dims,
                                   Format format, cudaStream_t stream) {
  DeviceModel model;
  model.config = config;
  model.dims = dims;
  model.format = format;
  Result<void> done;
  for_each_array(
      model.weights, dims, format, config.context_tokens, [&](auto& pointer, std::int64_t bytes) {
        if (!done || bytes == 0) return;
        auto buffer =
            gpu::DeviceBuffer::allocate(static_cast<std::size_t>(bytes), "allocating the weights");
        if (!buffer) {
          done = pass_on(std::move(buffer));
          return;
        }
        pointer =
            buffer
                ->template as<std::remove_pointer_t<std::remove_reference_t<decltype(pointer)>>>();
        model.bytes += bytes;
        model.buffers.push_back(*std::move(buffer));
      });
  // Rows that pad the last tile of a matrix are read and must be finite.
  for (const gpu::DeviceBuffer& buffer : model.buffers) {
    if (done) {
      done = gpu::check(cudaMemsetAsync(buffer.bytes(), 0, buffer.size(), stream),
                        "clearing the weights");
    }
  }
  if (done) done = fill_rotary_table(model, stream);
  if (!done) return pass_on(std::move(done));
  return model;
}

Result<void> randomize_weights(DeviceModel& model, std::uint64_t seed, cudaStream_t stream) {
  const gpu::StepDims& dims = model.dims;
  gpu::StepWeights& w = model.weights;
  const std::int64_t moe = dims.moe_index(dims.layers);
  Result<void> done;
  const auto fill = [&](const std::byte* to, Format format, std::int64_t rows, int cols) {
    if (!done || to == nullptr || rows == 0 || cols == 0) return;
    // In slices, since a stack of experts has more rows than an int of elements can count.
    const std::int64_t slice = std::int64_t{1} << 16;
    for (std::int64_t row = 0; row < rows && done; row += slice) {
      const PackedShape shape{format, static_cast<int>(std::min(slice, rows - row)), cols};
      done = gpu::check(gpu::fill_random_packed(
                            const_cast<std::byte*>(to) + row / gpu::kTileRows * shape.tile_bytes(),
                            shape, 1.0F / std::sqrt(static_cast<float>(cols)), ++seed, stream),
                        "making random weights");
    }
  };
  const auto ones = [&](const float* to, std::int64_t count) {
    if (done)
      done = gpu::check(gpu::fill_ones(const_cast<float*>(to), count, stream), "making norms");
  };
  const std::int64_t layers = dims.layers;
  const std::int64_t dense = layers - moe;
  const int q_rows = dims.q_rank > 0 ? dims.q_rank : dims.q_width();
  fill(w.first, model.format, layers * (q_rows + dims.kv_width()), dims.hidden);
  fill(w.q_b, model.format, layers * dims.q_width(), dims.q_rank);
  fill(w.absorb, Format::bf16, layers * dims.heads * dims.kv_rank, dims.nope);
  fill(w.key, Format::bf16, layers * dims.heads * dims.nope, dims.kv_rank);
  fill(w.value, Format::bf16, layers * dims.heads * dims.v, dims.kv_rank);
  fill(w.out, model.format, layers * dims.hidden, dims.heads * dims.v);
  fill(w.dense_up, model.format, dense * 2 * dims.dense_width, dims.hidden);
  fill(w.dense_down, model.format, dense * dims.hidden, dims.dense_width);
  fill(w.shared_up, model.format, moe * 2 * dims.shared_width, dims.hidden);
  fill(w.shared_down, model.format, moe * dims.hidden, dims.shared_width);
  fill(w.expert_up, model.format, moe * dims.experts * 2 * dims.expert_width, dims.hidden);
  fill(w.expert_down, model.format, moe * dims.experts * dims.hidden, dims.expert_width);
  fill(w.head, Format::bf16, dims.vocab, dims.hidden);
  ones(w.attention_norm, layers * dims.hidden);
  ones(w.kv_norm, layers * dims.kv_rank);
  ones(w.ffn_norm, layers * dims.hidden);
  ones(w.final_norm, dims.hidden);
  if (dims.q_rank > 0) ones(w.q_norm, layers * dims.q_rank);
  if (done) {
    done = gpu::check(
        gpu::fill_random(const_cast<__nv_bfloat16*>(w.embedding),
                         static_cast<std::int64_t>(dims.vocab) * dims.hidden, 1.0F, ++seed, stream),
        "making random weights");
  }
  if (done && moe > 0) {
    done = gpu::check(
        gpu::fill_random(const_cast<float*>(w.router), moe * dims.experts * dims.hidden,
                         1.0F / std::sqrt(static_cast<float>(dims.hidden)), ++seed, stream),
        "making random weights");
  }
  if (done) done = gpu::check(cudaStreamSynchronize(stream), "making random weights");
  return done;
}

Result<void> derive_weights(DeviceModel& model, cudaStream_t stream) {
  const gpu::StepDims& dims = model.dims;
  const gpu::StepWeights& w = model.weights;
  const PackedShape out{model.format, dims.hidden, dims.heads * dims.v};
  Result<void> done;
  for (int layer = 0; layer < dims.layers && done && w.value_router != nullptr; ++layer) {
    if (!dims.is_moe(layer)) continue;
    const std::int64_t experts = std::int64_t{dims.moe_index(layer)} * dims.experts;
    done = gpu::check(
        gpu::fold_router(w.router + experts * dims.hidden,
                         w.ffn_norm + std::int64_t{layer} * dims.hidden, dims.experts,
                         w.out + layer * out.bytes(), out,
                         const_cast<float*>(w.value_router) + experts * out.cols, stream),
        "folding the router");
  }
  if (done) done = gpu::check(cudaStreamSynchronize(stream), "folding the router");
  return done;
}

}  // namespace caretd::engine::cuda

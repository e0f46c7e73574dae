#include "engine/cuda/prefill_runner.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/cuda/pack.h"
#include "kernels/cuda/prefill.h"

namespace caretd::engine::cuda {
namespace {

using gpu::Format;
using gpu::GemmParams;
using gpu::GemmResult;
using gpu::PackedShape;

std::size_t aligned(std::size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

/// The first error of a sequence of launches.
class Launches {
 public:
  void operator()(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }
  [[nodiscard]] cudaError_t error() const { return error_; }

 private:
  cudaError_t error_ = cudaSuccess;
};

}  // namespace

Result<PrefillRunner> PrefillRunner::create(const DeviceModel& model, std::byte* kv_pages,
                                            cudaStream_t stream) {
  PrefillRunner runner;
  runner.params_.dims = model.dims;
  runner.params_.weights = model.weights;
  runner.params_.kv_pages = kv_pages;
  runner.format_ = model.format;
  runner.stream_ = stream;
  runner.supported_ = gpu::flash_supports(model.dims.nope, model.dims.rope, model.dims.v);
  auto done = gpu::check(gpu::prepare_gemm(runner.gemm_), "preparing prefill");
  if (done && runner.supported_) {
    done = gpu::check(gpu::prepare_flash(runner.gemm_), "preparing prefill");
  }
  if (!done) return pass_on(std::move(done));
  return runner;
}

std::int64_t PrefillRunner::scratch_bytes(const gpu::StepDims& dims, int positions) {
  const auto sizes = buffer_sizes(dims, 0, std::min(positions, kMaxTokens), positions);
  return static_cast<std::int64_t>(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}));
}

PrefillRunner::Sizes PrefillRunner::buffer_sizes(const gpu::StepDims& d, std::size_t wide,
                                                 int tokens, int positions) {
  const auto t = static_cast<std::size_t>(tokens);
  const auto p = static_cast<std::size_t>(positions);
  const auto size = [](int value) { return static_cast<std::size_t>(value); };
  const std::size_t choices = t * size(d.topk);
  return {
      aligned(t * sizeof(gpu::StepToken)) + (p / kPageTokens + 2) * sizeof(int),  // input
      t * size(d.hidden) * 4,                                                     // x
      t * size(std::max(d.hidden, d.q_rank)) * 2,                                 // normed
      t * size(d.q_width()) * 2,                                                  // q
      t * size(d.q_rank) * 2,                                                     // low
      t * size(d.kv_width()) * 4,                                                 // kv
      p * size(d.kv_width()) * 2,                                                 // latent
      p * size(d.heads * d.nope) * 2,                                             // keys
      p * size(d.heads * d.v) * 2,                                                // values
      t * size(d.heads * d.v) * 2,                                                // attention
      t * size(std::max(d.dense_width, d.shared_width)) * 2,                      // ffn
      choices * size(d.expert_width) * 2,                                         // expert_ffn
      choices * size(d.hidden) * 2,                                               // expert_rows
      t * (gpu::kRouterParts * size(d.experts) * 8 + gpu::kMaxTopK * 8) + choices * 4 +
          size(d.experts + 1) * 4,  // routing
      wide,
  };
}

/// The largest matrix that is widened, in bytes.
std::size_t PrefillRunner::wide_bytes() const {
  if (!must_widen()) return 0;
  const gpu::StepDims& d = params_.dims;
  const auto area = [](std::int64_t rows, std::int64_t cols) { return rows * cols; };
  const std::int64_t always = std::max(d.dense_width, d.shared_width);
  const int q_rows = d.q_rank > 0 ? d.q_rank : d.q_width();
  return 2 * static_cast<std::size_t>(
                 std::max({area(q_rows + d.kv_width(), d.hidden), area(d.q_width(), d.q_rank),
                           area(d.hidden, d.heads * d.v), area(2 * always, d.hidden),
                           area(std::int64_t{d.experts} * 2 * d.expert_width, d.hidden)}));
}

Result<void> PrefillRunner::reserve(int tokens, int positions) {
  const Sizes sizes = buffer_sizes(params_.dims, wide_bytes(), tokens, positions);
  gpu::DeviceBuffer* const buffers[] = {
      &input_,  &x_,         &normed_, &q_,          &low_,         &kv_,      &latent_, &keys_,
      &values_, &attention_, &ffn_,    &expert_ffn_, &expert_rows_, &routing_, &wide_};
  static_assert(std::size(buffers) == std::tuple_size_v<Sizes>);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (auto ok = buffers[i]->reserve(sizes[i], "computing a long prompt"); !ok) return ok;
  }
  return {};
}

Result<void> PrefillRunner::upload(const TokenRun& run) {
  const std::size_t count = run.tokens.size();
  const std::size_t pages_at = aligned(count * sizeof(gpu::StepToken));
  std::vector<std::byte> input(pages_at + run.pages.size() * sizeof(int));
  auto* tokens = reinterpret_cast<gpu::StepToken*>(input.data());
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] = {run.tokens[i], run.position + static_cast<int>(i), 0, -1};
  }
  const std::size_t pages =
      std::min(run.pages.size(),
               (static_cast<std::size_t>(run.position) + count + kPageTokens - 1) / kPageTokens);
  std::memcpy(input.data() + pages_at, run.pages.data(), pages * sizeof(int));
  params_.batch.tokens = static_cast<int>(count);
  params_.batch.token = input_.as<gpu::StepToken>();
  params_.batch.pages = reinterpret_cast<const int*>(input_.bytes() + pages_at);
  return gpu::check(cudaMemcpyAsync(input_.bytes(), input.data(), pages_at + pages * sizeof(int),
                                    cudaMemcpyHostToDevice, stream_),
                    "sending a prompt");
}

/// Queues the product with weights of the stream format, whose other parameters are set.
cudaError_t PrefillRunner::multiply_streamed(GemmParams gemm, const std::byte* weights) {
  gemm.weights = weights;
  gemm.format = format_;
  if (must_widen()) {
    const int matrices = std::max(gemm.groups, 1);
    const cudaError_t error =
        gpu::widen_packed(weights, wide_.bytes(), matrices * gemm.n, gemm.k, stream_);
    if (error != cudaSuccess) return error;
    gemm.weights = wide_.bytes();
    gemm.format = Format::bf16;
  }
  return gpu::launch_gemm(gemm_, gemm, stream_);
}

Result<void> PrefillRunner::queue(const TokenRun& run) {
  const int tokens = static_cast<int>(run.tokens.size());
  if (auto ok = reserve(tokens, run.position + tokens); !ok) return ok;
  if (auto ok = upload(run); !ok) return ok;
  const gpu::StepDims& d = params_.dims;
  std::byte* at = routing_.bytes();
  params_.buffers.router_parts = reinterpret_cast<float2*>(at);
  at += static_cast<std::size_t>(tokens) * gpu::kRouterParts * static_cast<std::size_t>(d.experts) *
        8;
  params_.buffers.topk_expert = reinterpret_cast<int*>(at);
  at += static_cast<std::size_t>(tokens) * gpu::kMaxTopK * 4;
  params_.buffers.topk_weight = reinterpret_cast<float*>(at);
  Launches launch;
  launch(gpu::embed_tokens(params_.batch.token, params_.weights.embedding, tokens, d.hidden,
                           x_.as<float>(), stream_));
  launch(norm_for_attention(0, tokens));
  for (int layer = 0; layer < d.layers && launch.error() == cudaSuccess; ++layer) {
    launch(attention(layer, tokens, run.position));
    launch(feed_forward(layer, tokens));
  }
  return gpu::check(launch.error(), "computing a long prompt");
}

/// normed = the input of the layer's attention.
cudaError_t PrefillRunner::norm_for_attention(int layer, int tokens) {
  const gpu::StepDims& d = params_.dims;
  return gpu::norm_rows(x_.as<float>(),
                        params_.weights.attention_norm + std::int64_t{layer} * d.hidden, tokens,
                        d.hidden, d.norm_epsilon, normed_.as<__nv_bfloat16>(), {}, stream_);
}

/// x += attention of the layer's input; reduction point one of two with several devices.
cudaError_t PrefillRunner::attention(int layer, int tokens, int position) {
  const int positions = position + tokens;
  Launches launch;
  launch(project_queries_and_latents(layer, tokens));
  launch(gpu::rotate_and_write_pages(params_, layer, q_.as<__nv_bfloat16>(), kv_.as<float>(),
                                     stream_));
  launch(gpu::gather_latents(params_, layer, positions, latent_.as<__nv_bfloat16>(), stream_));
  launch(expand_keys_and_values(layer, positions));
  launch(attend(tokens, position));
  launch(project_output(layer, tokens));
  return launch.error();
}

/// q = W_q normed, by way of its low-rank form where the model has one; kv = W_kv_a normed.
cudaError_t PrefillRunner::project_queries_and_latents(int layer, int tokens) {
  const gpu::StepDims& d = params_.dims;
  const gpu::StepWeights& w = params_.weights;
  const std::int64_t l = layer;
  const int q_rows = d.q_rank > 0 ? d.q_rank : d.q_width();
  const int first_rows = q_rows + d.kv_width();
  auto* normed = normed_.as<__nv_bfloat16>();
  Launches launch;
  GemmParams first;
  first.x = normed;
  first.x_pitch = d.hidden;
  first.rows = tokens;
  first.n = first_rows;
  first.k = d.hidden;
  first.result = GemmResult::split;
  first.split = q_rows;
  first.out_bf16 = d.q_rank > 0 ? low_.as<__nv_bfloat16>() : q_.as<__nv_bfloat16>();
  first.out_f32 = kv_.as<float>();
  launch(
      multiply_streamed(first, w.first + l * PackedShape{format_, first_rows, d.hidden}.bytes()));
  if (d.q_rank > 0) {
    launch(gpu::norm_rows(low_.as<__nv_bfloat16>(), w.q_norm + l * d.q_rank, tokens, d.q_rank,
                          d.norm_epsilon, normed, stream_));
    GemmParams second;
    second.x = normed;
    second.x_pitch = d.q_rank;
    second.rows = tokens;
    second.n = d.q_width();
    second.k = d.q_rank;
    second.out_bf16 = q_.as<__nv_bfloat16>();
    launch(
        multiply_streamed(second, w.q_b + l * PackedShape{format_, d.q_width(), d.q_rank}.bytes()));
  }
  return launch.error();
}

/// Keys and values of all positions so far, from their latents.
cudaError_t PrefillRunner::expand_keys_and_values(int layer, int positions) {
  const gpu::StepDims& d = params_.dims;
  const gpu::StepWeights& w = params_.weights;
  const std::int64_t l = layer;
  Launches launch;
  GemmParams expand;
  expand.x = latent_.as<__nv_bfloat16>();
  expand.x_pitch = d.kv_width();
  expand.rows = positions;
  expand.k = d.kv_rank;
  expand.n = d.heads * d.nope;
  expand.out_bf16 = keys_.as<__nv_bfloat16>();
  expand.weights = w.key + l * d.heads * PackedShape{Format::bf16, d.nope, d.kv_rank}.bytes();
  launch(gpu::launch_gemm(gemm_, expand, stream_));
  expand.n = d.heads * d.v;
  expand.out_bf16 = values_.as<__nv_bfloat16>();
  expand.weights = w.value + l * d.heads * PackedShape{Format::bf16, d.v, d.kv_rank}.bytes();
  launch(gpu::launch_gemm(gemm_, expand, stream_));
  return launch.error();
}

cudaError_t PrefillRunner::attend(int tokens, int position) {
  const gpu::StepDims& d = params_.dims;
  gpu::FlashParams flash;
  flash.q = q_.as<__nv_bfloat16>();
  flash.k_nope = keys_.as<__nv_bfloat16>();
  flash.latent = latent_.as<__nv_bfloat16>();
  flash.v = values_.as<__nv_bfloat16>();
  flash.out = attention_.as<__nv_bfloat16>();
  flash.tokens = tokens;
  flash.position = position;
  flash.heads = d.heads;
  flash.kv_rank = d.kv_rank;
  flash.kv_width = d.kv_width();
  flash.scale_log2 = d.softmax_scale_log2;
  return gpu::launch_flash(gemm_, flash, d.nope, stream_);
}

/// x += W_o * the attention's output.
cudaError_t PrefillRunner::project_output(int layer, int tokens) {
  const gpu::StepDims& d = params_.dims;
  GemmParams out;
  out.x = attention_.as<__nv_bfloat16>();
  out.x_pitch = d.heads * d.v;
  out.rows = tokens;
  out.n = d.hidden;
  out.k = d.heads * d.v;
  out.result = GemmResult::residual;
  out.out_f32 = x_.as<float>();
  const std::int64_t l = layer;
  return multiply_streamed(out,
                           params_.weights.out + l * PackedShape{format_, d.hidden, out.k}.bytes());
}

/// x += feed-forward of the layer; reduction point two of two with several devices. Then normed =
/// the input of the next layer.
cudaError_t PrefillRunner::feed_forward(int layer, int tokens) {
  const gpu::StepDims& d = params_.dims;
  const gpu::StepWeights& w = params_.weights;
  const bool moe = d.is_moe(layer);
  auto* normed = normed_.as<__nv_bfloat16>();
  Launches launch;
  gpu::ExpertRows experts;
  const Routing routing = routing_of(tokens);
  if (moe) {
    launch(gpu::route_rows(params_, layer, x_.as<float>(), stream_));
    launch(gpu::group_by_expert(params_, routing.begin, routing.place_of, stream_));
    experts = {expert_rows_.as<__nv_bfloat16>(), routing.place_of, d.topk};
  }
  launch(gpu::norm_rows(x_.as<float>(), w.ffn_norm + std::int64_t{layer} * d.hidden, tokens,
                        d.hidden, d.norm_epsilon, normed, experts, stream_));
  if (moe) {
    const std::int64_t index = d.moe_index(layer);
    launch(always_on(w.shared_up, w.shared_down, d.shared_width, index, tokens));
    launch(routed_experts(layer, tokens));
  } else {
    launch(always_on(w.dense_up, w.dense_down, d.dense_width, d.dense_index(layer), tokens));
    if (layer + 1 < d.layers) launch(norm_for_attention(layer + 1, tokens));
  }
  return launch.error();
}

/// The dense or the shared experts' MLP: matrices `index` of `up` and `down`.
cudaError_t PrefillRunner::always_on(const std::byte* up_weights, const std::byte* down_weights,
                                     int width, std::int64_t index, int tokens) {
  if (width == 0) return cudaSuccess;
  const gpu::StepDims& d = params_.dims;
  Launches launch;
  GemmParams up;
  up.x = normed_.as<__nv_bfloat16>();
  up.x_pitch = d.hidden;
  up.rows = tokens;
  up.n = 2 * width;
  up.k = d.hidden;
  up.result = GemmResult::gated;
  up.out_bf16 = ffn_.as<__nv_bfloat16>();
  launch(multiply_streamed(up, up_weights + index * PackedShape{format_, up.n, up.k}.bytes()));
  GemmParams down;
  down.x = ffn_.as<__nv_bfloat16>();
  down.x_pitch = width;
  down.rows = tokens;
  down.n = d.hidden;
  down.k = width;
  down.result = GemmResult::residual;
  down.out_f32 = x_.as<float>();
  launch(
      multiply_streamed(down, down_weights + index * PackedShape{format_, down.n, down.k}.bytes()));
  return launch.error();
}

/// Behind the choices and weights of the tokens' experts in the routing buffer.
PrefillRunner::Routing PrefillRunner::routing_of(int tokens) const {
  int* place_of =
      reinterpret_cast<int*>(params_.buffers.topk_weight + std::int64_t{tokens} * gpu::kMaxTopK);
  return {place_of, place_of + std::int64_t{tokens} * params_.dims.topk};
}

/// From the normed rows in the experts' order.
cudaError_t PrefillRunner::routed_experts(int layer, int tokens) {
  const gpu::StepDims& d = params_.dims;
  const gpu::StepWeights& w = params_.weights;
  const std::int64_t first_expert = std::int64_t{d.moe_index(layer)} * d.experts;
  const Routing routing = routing_of(tokens);
  Launches launch;
  GemmParams up;
  up.x = expert_rows_.as<__nv_bfloat16>();
  up.x_pitch = d.hidden;
  up.rows = tokens * d.topk;
  up.n = 2 * d.expert_width;
  up.k = d.hidden;
  up.result = GemmResult::gated;
  up.out_bf16 = expert_ffn_.as<__nv_bfloat16>();
  up.groups = d.experts;
  up.group_begin = routing.begin;
  launch(
      multiply_streamed(up, w.expert_up + first_expert * PackedShape{format_, up.n, up.k}.bytes()));
  GemmParams down = up;
  down.x = expert_ffn_.as<__nv_bfloat16>();
  down.x_pitch = d.expert_width;
  down.n = d.hidden;
  down.k = d.expert_width;
  down.result = GemmResult::bf16;
  down.out_bf16 = expert_rows_.as<__nv_bfloat16>();  // the experts' input is no longer needed
  launch(multiply_streamed(
      down, w.expert_down + first_expert * PackedShape{format_, down.n, down.k}.bytes()));
  gpu::NextNorm next;
  if (layer + 1 < d.layers) {
    next = {w.attention_norm + std::int64_t{layer + 1} * d.hidden, normed_.as<__nv_bfloat16>()};
  }
  launch(gpu::combine_experts(params_, expert_rows_.as<__nv_bfloat16>(), routing.place_of,
                              x_.as<float>(), next, stream_));
  return launch.error();
}

}  // namespace caretd::engine::cuda

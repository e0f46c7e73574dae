// Choosing experts: the router warp of every block computes some of the logits, whoever finishes a
// token chooses its experts, and every block's producer warp turns the choices into a table of the
// distinct experts of the step (DeepSeek-V2 paper, section 2.2; group-limited routing 2.2.2).
// All of it runs beside the shared experts' multiplications.
#pragma once

#include "kernels/cuda/step/block.cuh"

namespace caretd::kernels::cuda::step {

/// The routing of the step's tokens in one layer, in shared memory. Experts ascend, each appears
/// once; slot(d, token) is the position among the token's own choices, or kNotRouted.
struct RoutingTable {
  static constexpr std::uint8_t kNotRouted = 0xFF;

  int* distinct;
  float* weight_of;       ///< [max_tokens][kMaxTopK]
  std::int16_t* expert;   ///< [max_distinct]
  std::uint8_t* slot_of;  ///< [max_distinct][max_tokens]
  int max_tokens;

  __device__ RoutingTable(const Block& block, int tokens_limit) : max_tokens(tokens_limit) {
    const int limit = (min(block.p.dims.experts, tokens_limit * block.p.dims.topk) + 1) / 2 * 2;
    std::byte* at = block.memory + block.p.shared.routing;
    distinct = reinterpret_cast<int*>(at);
    weight_of = reinterpret_cast<float*>(at + 16);
    expert = reinterpret_cast<std::int16_t*>(weight_of + max_tokens * kMaxTopK);
    slot_of = reinterpret_cast<std::uint8_t*>(expert + limit);
  }
  [[nodiscard]] __device__ std::uint8_t slot(int d, int token) const {
    return slot_of[d * max_tokens + token];
  }
  /// Weight of distinct expert d for a token, 0 where the token did not choose it.
  [[nodiscard]] __device__ float weight(int d, int token) const {
    const std::uint8_t s = slot(d, token);
    return s == kNotRouted ? 0.0F : weight_of[token * kMaxTopK + s];
  }
};

/// Uniform in [0, 1), a function of its arguments only (bench: forced routing).
__device__ __forceinline__ float forced_key(unsigned seed, int layer, int position, int expert) {
  unsigned h = seed ^ (static_cast<unsigned>(layer) * 0x9E3779B1U) ^
               (static_cast<unsigned>(position) * 0x85EBCA77U) ^
               (static_cast<unsigned>(expert) * 0xC2B2AE3DU);
  h = (h ^ (h >> 16)) * 0x7FEB352DU;
  h = (h ^ (h >> 15)) * 0x846CA68BU;
  h ^= h >> 16;
  return static_cast<float>(h >> 8) * 0x1.0p-24F;
}

inline constexpr int kExpertsPerLane = kMaxExperts / 32;

/// Sets key to -1 outside the `topk_groups` groups with the largest maximum.
__device__ __forceinline__ void keep_best_groups(const StepDims& dims, int lane,
                                                 float (&key)[kExpertsPerLane]) {
  const int size = dims.experts / dims.groups;
  float score = -2.0F;  // of group `lane`
  for (int group = 0; group < dims.groups; ++group) {
    float best = -2.0F;
#pragma unroll
    for (int i = 0; i < kExpertsPerLane; ++i) {
      const int e = lane + 32 * i;
      if (e < dims.experts && e / size == group) best = fmaxf(best, key[i]);
    }
    best = warp_max(best);
    if (lane == group) score = best;
  }
  unsigned kept = 0;
  for (int n = 0; n < dims.topk_groups; ++n) {
    const float best = warp_max(score);
    const int group = __ffs(static_cast<int>(__ballot_sync(~0U, score == best))) - 1;
    kept |= 1U << group;
    if (lane == group) score = -3.0F;
  }
#pragma unroll
  for (int i = 0; i < kExpertsPerLane; ++i) {
    const int e = lane + 32 * i;
    if (e < dims.experts && (kept >> (e / size) & 1U) == 0) key[i] = -1.0F;
  }
}

/// Softmax over all experts, then the top-k of one token; called by one warp.
inline __device__ __noinline__ void choose_experts(const StepParams& p, int layer, int token,
                                                   int lane) {
  const StepDims& dims = p.dims;
  const float* logits = p.buffers.router_logits + token * dims.experts;
  float probability[kExpertsPerLane];
  float maximum = -INFINITY;
#pragma unroll
  for (int i = 0; i < kExpertsPerLane; ++i) {
    const int e = lane + 32 * i;
    probability[i] = e < dims.experts ? __ldcg(logits + e) : -INFINITY;
    maximum = fmaxf(maximum, probability[i]);
  }
  maximum = warp_max(maximum);
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kExpertsPerLane; ++i) {
    probability[i] = expf(probability[i] - maximum);
    sum += probability[i];
  }
  sum = warp_sum(sum);
  float key[kExpertsPerLane];
#pragma unroll
  for (int i = 0; i < kExpertsPerLane; ++i) {
    const int e = lane + 32 * i;
    probability[i] /= sum;
    // A logit that is no number must not become an expert that does not exist.
    key[i] = e >= dims.experts ? -4.0F : probability[i] >= 0.0F ? probability[i] : -1.0F;
    if (p.forced_routing != 0 && e < dims.experts) {
      key[i] = forced_key(p.forced_routing + token, layer, p.batch.token[token].position, e);
    }
  }
  if (dims.group_limited != 0) keep_best_groups(dims, lane, key);

  float chosen_weight = 0.0F;  // of choice `lane`
  int chosen = 0;
  float total = 0.0F;
  for (int k = 0; k < dims.topk; ++k) {
    float best = -5.0F;
    int expert = kMaxExperts;
    float weight = 0.0F;
#pragma unroll
    for (int i = 0; i < kExpertsPerLane; ++i) {
      if (key[i] > best) {
        best = key[i];
        expert = lane + 32 * i;
        weight = probability[i];
      }
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const float other = __shfl_xor_sync(~0U, best, offset);
      const int other_expert = __shfl_xor_sync(~0U, expert, offset);
      const float other_weight = __shfl_xor_sync(~0U, weight, offset);
      if (other > best || (other == best && other_expert < expert)) {
        best = other;
        expert = other_expert;
        weight = other_weight;
      }
    }
#pragma unroll
    for (int i = 0; i < kExpertsPerLane; ++i) {
      if (lane + 32 * i == expert) key[i] = -3.0F;
    }
    total += weight;
    if (lane == k) {
      chosen = expert;
      chosen_weight = weight;
    }
  }
  if (lane < dims.topk) {
    const float norm = dims.normalize_topk != 0 ? total + 1e-20F : 1.0F;
    p.buffers.topk_expert[token * kMaxTopK + lane] = chosen;
    p.buffers.topk_weight[token * kMaxTopK + lane] = chosen_weight / norm * dims.routed_scaling;
  }
  __syncwarp();
  if (lane == 0) add_release(&p.counters->routed, 1);
}

/// Logit of one expert for one token, in float32; called by one warp. x [hidden] is not normed yet.
__device__ __forceinline__ float router_logit(const StepDims& dims, const float* x,
                                              const float* norm, const float* weight, int lane) {
  float dot = 0.0F;
  float squares = 0.0F;
#pragma unroll 8
  for (int c = lane * 4; c < dims.hidden; c += 128) {
    const float4 v = *reinterpret_cast<const float4*>(x + c);
    const float4 n = *reinterpret_cast<const float4*>(norm + c);
    const float4 w = *reinterpret_cast<const float4*>(weight + c);
    dot += v.x * n.x * w.x + v.y * n.y * w.y + v.z * n.z * w.z + v.w * n.w * w.w;
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  return warp_sum(dot) * rsqrtf(warp_sum(squares) / dims.hidden + dims.norm_epsilon);
}

/// The router warp's part of one MoE layer.
__device__ __forceinline__ void route_tokens(Block& block, int layer) {
  const StepParams& p = block.p;
  const StepDims& dims = p.dims;
  const float* norm = p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden;
  const float* router = p.weights.router + static_cast<std::int64_t>(dims.moe_index(layer)) *
                                               dims.experts * dims.hidden;
  const int groups = max(1, block.blocks / dims.experts);  // blocks that share an expert
  if (block.index < dims.experts * groups) {
    prefetch_l2(reinterpret_cast<const std::byte*>(
                    router + static_cast<std::int64_t>(block.index % dims.experts) * dims.hidden),
                dims.hidden * 4, block.lane);
  }
  named_barrier_sync(kRouterBarrier, kStepConsumers + 32);
  ++block.moe_layers;
  for (int i = block.index; i < dims.experts * groups; i += block.blocks) {
    const int expert = i % dims.experts;
    for (int token = i / dims.experts; token < block.tokens(); token += groups) {
      const float logit =
          router_logit(dims, p.buffers.x + static_cast<std::int64_t>(token) * dims.hidden, norm,
                       router + static_cast<std::int64_t>(expert) * dims.hidden, block.lane);
      unsigned done = 0;
      if (block.lane == 0) {
        p.buffers.router_logits[token * dims.experts + expert] = logit;
        done = fetch_add_acq_rel(&p.counters->router[token], 1) + 1;
      }
      done = __shfl_sync(~0U, done, 0);
      if (done == block.moe_layers * dims.experts) choose_experts(p, layer, token, block.lane);
    }
  }
}

/// Builds the table from the chosen experts of all tokens and returns the number of distinct ones;
/// called by the producer warp.
inline __device__ __noinline__ int build_routing_table(const StepParams& p, RoutingTable table,
                                                       int lane) {
  const int topk = p.dims.topk;
  const int choices = p.batch.tokens * topk;
  unsigned present[kExpertsPerLane] = {};  // bit e % 32 of word e / 32
  for (int i = lane; i < choices; i += 32) {
    const int e = __ldcg(p.buffers.topk_expert + i / topk * kMaxTopK + i % topk);
#pragma unroll
    for (int w = 0; w < kExpertsPerLane; ++w) {
      if (e / 32 == w) present[w] |= 1U << (e % 32);
    }
  }
  int before[kExpertsPerLane];
  int distinct = 0;
#pragma unroll
  for (int w = 0; w < kExpertsPerLane; ++w) {
    present[w] = __reduce_or_sync(~0U, present[w]);
    before[w] = distinct;
    distinct += __popc(present[w]);
    if ((present[w] >> lane & 1U) != 0) {
      table.expert[before[w] + __popc(present[w] & ((1U << lane) - 1))] =
          static_cast<std::int16_t>(w * 32 + lane);
    }
  }
  for (int i = lane; i < distinct * table.max_tokens / 4; i += 32) {
    reinterpret_cast<unsigned*>(table.slot_of)[i] = ~0U;
  }
  __syncwarp();
  for (int i = lane; i < choices; i += 32) {
    const int token = i / topk;
    const int slot = i % topk;
    const int e = __ldcg(p.buffers.topk_expert + token * kMaxTopK + slot);
    int d = 0;
#pragma unroll
    for (int w = 0; w < kExpertsPerLane; ++w) {
      if (e / 32 == w) d = before[w] + __popc(present[w] & ((1U << (e % 32)) - 1));
    }
    table.slot_of[d * table.max_tokens + token] = static_cast<std::uint8_t>(slot);
    table.weight_of[token * kMaxTopK + slot] =
        __ldcg(p.buffers.topk_weight + token * kMaxTopK + slot);
  }
  if (lane == 0) *table.distinct = distinct;
  __syncwarp();
  return distinct;
}

/// Waits for the layer's choices and hands the table to the block's consumers; the producer warp.
__device__ __forceinline__ int await_routing(Block& block, const RoutingTable& table) {
  StepCounters* counters = block.p.counters;
  ++block.moe_layers;
  if (block.lane == 0) wait_for(&counters->routed, block.moe_layers * block.tokens());
  __syncwarp();
  const int distinct = build_routing_table(block.p, table, block.lane);
  if (block.lane == 0) {
    if (block.index == 0) counters->distinct += distinct;
    mbarrier_arrive(shared_address(&block.header->routing_ready));
  }
  return distinct;
}

}  // namespace caretd::kernels::cuda::step

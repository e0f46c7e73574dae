// Choosing experts: the router warp of every block computes some of the logits, whoever finishes a
// token chooses its experts, and every block's producer warp turns the choices into a table of the
// distinct experts of the step (DeepSeek-V2 paper, section 2.2; group-limited routing 2.2.2).
// All of it runs beside the shared experts' multiplications.
#pragma once

#include "kernels/cuda/step/block.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

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
    const int limit = (min(sizes(block.p).experts, tokens_limit * sizes(block.p).topk) + 1) / 2 * 2;
    std::byte* at = block.memory + block.p.shared.routing;
    distinct = reinterpret_cast<int*>(at);
    weight_of = reinterpret_cast<float*>(at + 16);
    expert = reinterpret_cast<std::int16_t*>(weight_of + max_tokens * kMaxTopK);
    slot_of = reinterpret_cast<std::uint8_t*>(expert + limit);
  }
  [[nodiscard]] __device__ std::uint8_t slot(int d, int token) const {
    return slot_of[d * max_tokens + token];
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
template <int N>
__device__ __forceinline__ void keep_best_groups(const StepDims& dims, int lane, float (&key)[N]) {
  const int size = dims.experts / dims.groups;
  float score = -2.0F;  // of group `lane`
  for (int group = 0; group < dims.groups; ++group) {
    float best = -2.0F;
#pragma unroll
    for (int i = 0; i < N; ++i) {
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
  for (int i = 0; i < N; ++i) {
    const int e = lane + 32 * i;
    if (e < dims.experts && (kept >> (e / size) & 1U) == 0) key[i] = -1.0F;
  }
}

/// One of a token's experts, in lane k of the warp that chose it.
struct Choice {
  int expert;
  float weight;
};

/// Unsigned integers in the order of the floats.
__device__ __forceinline__ unsigned ordered_bits(float value) {
  const unsigned bits = __float_as_uint(value);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Takes the largest key, of equal ones that of the first expert, and gives the expert; one warp,
/// whose lane l has the keys of experts l, l + 32, ...
template <int N>
__device__ __forceinline__ int take_next(int lane, float (&key)[N]) {
  float best = key[0];
  int expert = lane;
#pragma unroll
  for (int i = 1; i < N; ++i) {
    if (key[i] > best) {
      best = key[i];
      expert = lane + 32 * i;
    }
  }
  const unsigned bits = ordered_bits(best);
  const unsigned largest = __reduce_max_sync(~0U, bits);
  const int winner = static_cast<int>(
      __reduce_min_sync(~0U, bits == largest ? static_cast<unsigned>(expert) : ~0U));
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (lane + 32 * i == winner) key[i] = -INFINITY;
  }
  return winner;
}

/// The `topk` largest keys, equal ones by ascending expert; the k-th is returned in lane k.
template <int N>
__device__ __forceinline__ Choice take_largest(const StepDims& dims, int lane, float (&key)[N],
                                               const float (&probability)[N]) {
  Choice mine{0, 0.0F};
  float total = 0.0F;
#pragma unroll 1
  for (int k = 0; k < dims.topk; ++k) {
    const int winner = take_next(lane, key);
    float weight = 0.0F;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      // Equality with winner / 32 would become an index, and the array would lie in memory.
      if (lane + 32 * i == winner) weight = probability[i];
    }
    weight = __shfl_sync(~0U, weight, winner % 32);
    total += weight;
    if (lane == k) mine = {winner, weight};
  }
  const float norm = dims.normalize_topk != 0 ? total + 1e-20F : 1.0F;
  mine.weight = mine.weight / norm * dims.routed_scaling;
  return mine;
}

/// Logit of an expert from the parts that the router warps computed.
__device__ __forceinline__ float logit_of(const StepParams& p, int token, int expert, int parts) {
  const float2* at = p.buffers.router_parts +
                     static_cast<std::int64_t>(token) * kRouterParts * sizes(p).experts + expert;
  float2 part[kRouterParts];
  float dot = 0.0F;
  float squares = 0.0F;
#pragma unroll
  for (int i = 0; i < kRouterParts; ++i)
    part[i] = __ldcg(at + min(i, parts - 1) * sizes(p).experts);
#pragma unroll
  for (int i = 0; i < kRouterParts; ++i) {
    if (i >= parts) break;
    dot += part[i].x;
    squares += part[i].y;
  }
  return dot * rsqrtf(squares / sizes(p).hidden + p.dims.norm_epsilon);
}

/// Over all experts; lane l has the logits of experts l, l + 32, ...
template <int N>
__device__ __forceinline__ void softmax(const StepDims& dims, int lane, const float (&logit)[N],
                                        float (&probability)[N]) {
  float maximum = -INFINITY;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    probability[i] = lane + 32 * i < dims.experts ? logit[i] : -INFINITY;
    maximum = fmaxf(maximum, probability[i]);
  }
  maximum = warp_max(maximum);
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    probability[i] = expf(probability[i] - maximum);
    if (lane + 32 * i < dims.experts) sum += probability[i];
  }
  sum = warp_sum(sum);
#pragma unroll
  for (int i = 0; i < N; ++i) probability[i] /= sum;
}

/// Softmax over all experts, then the top-k of one token; called by one warp. Lane l has the logits
/// of experts l, l + 32, ...
template <int N>
__device__ __forceinline__ Choice choose_by_logits(const StepParams& p, int layer,
                                                   const StepToken& token, const float (&logit)[N],
                                                   int lane) {
  const StepDims& dims = sizes(p);
  float probability[N];
  softmax(dims, lane, logit, probability);
  float key[N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int e = lane + 32 * i;
    // A logit that is no number must not become an expert that does not exist.
    key[i] = e >= dims.experts ? -4.0F : probability[i] >= 0.0F ? probability[i] : -1.0F;
    if (p.forced_routing != 0 && e < dims.experts) {
      key[i] = forced_key(p.forced_routing + token.run, layer, token.position, e);
    }
  }
  if (dims.group_limited != 0) keep_best_groups(dims, lane, key);
  return take_largest(dims, lane, key, probability);
}

template <int N>
__device__ __forceinline__ Choice choose_among(const StepParams& p, int layer, int index,
                                               const StepToken& token, int parts, int lane) {
  float logit[N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int e = lane + 32 * i;
    logit[i] = e < sizes(p).experts ? logit_of(p, index, e, parts) : -INFINITY;
  }
  return choose_by_logits(p, layer, token, logit, lane);
}

/// `index` is the token's place in the step.
inline __device__ __noinline__ Choice choose_experts(const StepParams& p, int layer, int index,
                                                     const StepToken& token, int parts, int lane) {
  return sizes(p).experts <= 64
             ? choose_among<2>(p, layer, index, token, parts, lane)
             : choose_among<kExpertsPerLane>(p, layer, index, token, parts, lane);
}

/// How the router's work is divided: every expert's columns into `parts` slices, one a block, as
/// far as there are blocks.
struct RouterShare {
  int parts;
  int items;    ///< (expert, slice)
  int columns;  ///< of a slice

  __device__ RouterShare(const StepDims& dims, int blocks) {
    parts = blocks >= kRouterParts * dims.experts ? kRouterParts
            : blocks >= 2 * dims.experts          ? 2
                                                  : 1;
    items = dims.experts * parts;
    columns = dims.hidden / parts;
  }
};

/// A slice of one expert's router row times the norm's weights, held in registers as far as it
/// fits: it is loaded before the activations are there.
struct RouterSlice {
  static constexpr int kHeld = 8;
  const float* norm;
  const float* weight;
  int columns;
  float4 held[kHeld];

  [[nodiscard]] __device__ __forceinline__ float4 product(int c) const {
    const float4 n = *reinterpret_cast<const float4*>(norm + c);
    const float4 w = *reinterpret_cast<const float4*>(weight + c);
    return make_float4(n.x * w.x, n.y * w.y, n.z * w.z, n.w * w.w);
  }
  __device__ __forceinline__ void load(int lane) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) held[i] = product(min(lane * 4 + i * 128, columns - 4));
  }
  /// Dot product with x [columns], which is not normed yet, and its sum of squares; one warp.
  [[nodiscard]] __device__ __forceinline__ float2 dot(const float* x, int lane) const {
    float2 sums = make_float2(0.0F, 0.0F);
    const auto add = [&](float4 v, float4 w) {
      sums.x += v.x * w.x + v.y * w.y + v.z * w.z + v.w * w.w;
      sums.y += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    };
    float4 v[kHeld];
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      v[i] = *reinterpret_cast<const float4*>(x + min(lane * 4 + i * 128, columns - 4));
    }
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (lane * 4 + i * 128 < columns) add(v[i], held[i]);
    }
#pragma unroll 1
    for (int c = lane * 4 + kHeld * 128; c < columns; c += 128) {
      add(*reinterpret_cast<const float4*>(x + c), product(c));
    }
    return make_float2(warp_sum(sums.x), warp_sum(sums.y));
  }
};

/// Counts a finished logit; the warp that completes a token chooses its experts. A single token's
/// experts are chosen by every block for itself, which saves a way through memory.
__device__ __forceinline__ void finish_logit(const Block& block, const RouterShare& share,
                                             int layer, int token) {
  const StepParams& p = block.p;
  if (block.tokens() == 1) {
    if (block.lane == 0) add_release(&p.counters->router[0], 1);
    return;
  }
  unsigned done = 0;
  if (block.lane == 0) done = fetch_add_acq_rel(&p.counters->router[token], 1) + 1;
  done = __shfl_sync(~0U, done, 0);
  if (done != block.moe_layers * share.items) return;
  const Choice choice =
      choose_experts(p, layer, token, block.header->token[token], share.parts, block.lane);
  if (block.lane < sizes(p).topk) {
    p.buffers.topk_expert[token * kMaxTopK + block.lane] = choice.expert;
    p.buffers.topk_weight[token * kMaxTopK + block.lane] = choice.weight;
  }
  __syncwarp();
  if (block.lane == 0) add_release(&p.counters->routed, 1);
}

/// Norm weights are small and come from memory: bring those of the coming operations into L2.
__device__ __forceinline__ void prefetch_norms(const Block& block, int layer) {
  const StepParams& p = block.p;
  const auto fetch = [&](const float* norms, int width) {
    prefetch_l2(
        reinterpret_cast<const std::byte*>(norms + static_cast<std::int64_t>(layer) * width),
        width * 4, block.lane);
  };
  if (layer >= p.last_layer || block.index % 8 != 0) return;
  fetch(p.weights.attention_norm, sizes(p).hidden);
  fetch(p.weights.kv_norm, sizes(p).kv_rank);
  fetch(p.weights.ffn_norm, sizes(p).hidden);
  if (sizes(p).q_rank > 0) fetch(p.weights.q_norm, sizes(p).q_rank);
}

/// The router warp's part of one MoE layer.
__device__ __forceinline__ void route_tokens(Block& block, int layer) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const RouterShare share(dims, block.blocks);
  const float* norm = p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden;
  const float* router = p.weights.router + static_cast<std::int64_t>(dims.moe_index(layer)) *
                                               dims.experts * dims.hidden;
  const auto slice_of = [&](int item) {
    RouterSlice slice;
    const int column = item / dims.experts * share.columns;
    slice.norm = norm + column;
    slice.weight = router + static_cast<std::int64_t>(item % dims.experts) * dims.hidden + column;
    slice.columns = share.columns;
    slice.load(block.lane);
    return slice;
  };
  RouterSlice slice = slice_of(min(block.index, share.items - 1));
  named_barrier_sync(kRouterBarrier, kStepConsumers + 32);
  ++block.moe_layers;
#pragma unroll 1
  for (int item = block.index; item < share.items; item += block.blocks) {
    if (item != block.index) slice = slice_of(item);
    const int expert = item % dims.experts;
    const int part = item / dims.experts;
#pragma unroll 1
    for (int token = 0; token < block.tokens(); ++token) {
      const float2 sums = slice.dot(
          p.buffers.x + static_cast<std::int64_t>(token) * dims.hidden + part * share.columns,
          block.lane);
      if (block.lane == 0) {
        p.buffers
            .router_parts[(static_cast<std::int64_t>(token) * kRouterParts + part) * dims.experts +
                          expert] = sums;
      }
      finish_logit(block, share, layer, token);
    }
  }
}

/// The table of a single token, from the choices in the lanes. Slots are in the order of the
/// experts, so that slot(d, 0) is d.
__device__ __forceinline__ int build_single_table(const StepParams& p, const RoutingTable& table,
                                                  Choice choice, int lane) {
  const int topk = sizes(p).topk;
  int d = 0;
#pragma unroll
  for (int k = 0; k < kMaxTopK; ++k) {
    if (k >= topk) break;
    d += __shfl_sync(~0U, choice.expert, k) < choice.expert ? 1 : 0;
  }
  if (lane < topk) {
    table.expert[d] = static_cast<std::int16_t>(choice.expert);
    table.weight_of[d] = choice.weight;
    table.slot_of[d * table.max_tokens] = static_cast<std::uint8_t>(d);
  }
  if (lane == 0) *table.distinct = topk;
  __syncwarp();
  return topk;
}

/// Fills the table, but for the weights, and returns the number of distinct experts; one warp.
/// Lane l has the choices l, l + 32, ... of the tokens one after the other, and the last one where
/// there are no more.
template <int kPerLane>
__device__ __forceinline__ int fill_routing_table(const RoutingTable& table,
                                                  const int (&chosen)[kPerLane], int choices,
                                                  int topk, int lane) {
  unsigned present[kExpertsPerLane] = {};  // bit e % 32 of word e / 32
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
#pragma unroll
    for (int w = 0; w < kExpertsPerLane; ++w) {
      if (chosen[i] / 32 == w) present[w] |= 1U << (chosen[i] % 32);
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
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int at = lane + 32 * i;
    if (at >= choices) break;
    int d = 0;
#pragma unroll
    for (int w = 0; w < kExpertsPerLane; ++w) {
      if (chosen[i] / 32 == w) d = before[w] + __popc(present[w] & ((1U << (chosen[i] % 32)) - 1));
    }
    table.slot_of[d * table.max_tokens + at / topk] = static_cast<std::uint8_t>(at % topk);
  }
  if (lane == 0) *table.distinct = distinct;
  __syncwarp();
  return distinct;
}

/// Builds the table from the chosen experts of all tokens and returns the number of distinct ones;
/// called by the producer warp.
inline __device__ __noinline__ int build_routing_table(const StepParams& p, RoutingTable table,
                                                       int lane) {
  constexpr int kPerLane = kStepMaxTokens * kMaxTopK / 32;
  const int topk = sizes(p).topk;
  const int choices = tokens_of(p) * topk;
  int chosen[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int at = min(lane + 32 * i, choices - 1);
    const int place = at / topk * kMaxTopK + at % topk;
    chosen[i] = __ldcg(p.buffers.topk_expert + place);
    if (lane + 32 * i < choices) table.weight_of[place] = __ldcg(p.buffers.topk_weight + place);
  }
  return fill_routing_table(table, chosen, choices, topk, lane);
}

/// Waits for the layer's choices and hands the table to the block's consumers; the producer warp.
__device__ __forceinline__ int await_routing(Block& block, const RoutingTable& table, int layer) {
  const StepParams& p = block.p;
  const bool single = block.tokens() == 1;
  const StepToken& token = block.header->token[0];
  const RouterShare share(sizes(p), block.blocks);
  ++block.moe_layers;
  if (block.lane == 0) {
    wait_for(single ? &p.counters->router[0] : &p.counters->routed,
             block.moe_layers * (single ? share.items : block.tokens()));
  }
  __syncwarp();
  int distinct = 0;
  if (!single) {
    distinct = build_routing_table(p, table, block.lane);
  } else if (sizes(p).experts <= 64) {
    // In line: a function would read the parameters from memory, one wait after the other.
    distinct = build_single_table(
        p, table, choose_among<2>(p, layer, 0, token, share.parts, block.lane), block.lane);
  } else {
    distinct = build_single_table(
        p, table, choose_experts(p, layer, 0, token, share.parts, block.lane), block.lane);
  }
  if (block.lane == 0) {
    if (block.index == 0) p.counters->distinct += distinct;
    mbarrier_arrive(shared_address(&block.header->routing_ready));
  }
  return distinct;
}

/// The experts of the routing table, for the producer, which builds it.
struct TableRoutes {
  RoutingTable table;
  int distinct = 0;

  __device__ __forceinline__ void await(Block& block, int layer) {
    distinct = await_routing(block, table, layer);
  }
  [[nodiscard]] __device__ __forceinline__ int count() const { return distinct; }
  [[nodiscard]] __device__ __forceinline__ int expert(int d) const { return table.expert[d]; }
};

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE

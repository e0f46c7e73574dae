// Routing in a step of few tokens. The logits are router * norm(x + out * values), and what they
// wait for is only the heads' values: up to the factor 1 / rms, which does not change the choice,
// they are
//
//   (router * diag(ffn_norm)) * x  +  (router * diag(ffn_norm) * out) * values
//
// with x from before the layer and the second matrix, `value_router`, computed when the weights are
// loaded. So the experts are chosen while the output projection is under way, two exchanges between
// blocks earlier than from its result, and their weights are in the ring when that is normed.
//
// A logit comes in kLogitParts parts, each of the router warps having a part of the columns; the
// block of an expert's first part adds the product with x, which its consumers hold when they norm
// x for the queries.
#pragma once

#include <cfloat>

#include "kernels/cuda/step/routing.cuh"
#include "kernels/cuda/step/single_input.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

static_assert(kLogitParts % kRouterWarps == 0);

/// An expert's row of the router, times the norm's weights: a consumer's columns of it.
[[nodiscard]] __device__ __forceinline__ Columns normed_router_row(const StepParams& p, int layer,
                                                                   int expert) {
  const StepDims& dims = sizes(p);
  Columns norm;
  norm.load(p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden);
  Columns row;
  row.load(p.weights.router +
           (static_cast<std::int64_t>(dims.moe_index(layer)) * dims.experts + expert) *
               dims.hidden);
  row.multiply(norm);
  return row;
}

/// The block's parts of the logits, as soon as the heads' values are there; each router warp.
template <Format F>
__device__ __forceinline__ void hand_on_logits(const Block& block, int router_warp, int layer,
                                               unsigned mark) {
  const StepParams& p = block.p;
  constexpr int kWidth = kSingle.heads * kSingle.v;
  constexpr int kPairs = kWidth / kLogitParts / (32 * 4);  // pairs of words of a lane
  static_assert(kWidth % (kLogitParts * 32 * 4) == 0);
#pragma unroll 1
  for (int i = block.index; i < kSingle.experts * kLogitParts / kRouterWarps; i += block.blocks) {
    const int expert = i % kSingle.experts;
    const int part = i / kSingle.experts * kRouterWarps + router_warp;
    const float* row =
        p.weights.value_router +
        (static_cast<std::int64_t>(sizes(p).moe_index(layer)) * kSingle.experts + expert) * kWidth;
    const auto pair_of = [&](int k) { return (part * kPairs + k) * 32 + block.lane; };
    float weight[kPairs][4];
#pragma unroll
    for (int k = 0; k < kPairs; ++k) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        weight[k][c] = __ldg(row + SingleRow<F>::column(pair_of(k) * 4 + c));
      }
    }
    // Whoever asked earlier would keep the L2 busy for nothing.
    mbarrier_wait(shared_address(&block.header->values_due), block.moe_layers & 1U);
    uint2 words[kTokenLimit * kPairs];
    await_words<kTokenLimit * kPairs>(mark, words, [&](int i) -> const StepWord* {
      if (i / kPairs >= block.tokens()) return nullptr;
      return p.words.attention + i / kPairs * (kWidth / 2) + pair_of(i % kPairs) * 2;
    });
#pragma unroll
    for (int token = 0; token < kTokenLimit; ++token) {
      if (token >= block.tokens()) break;
      float sum = 0.0F;
#pragma unroll
      for (int k = 0; k < kPairs; ++k) {
        const float2 low = unpack_bf16(words[token * kPairs + k].x);
        const float2 high = unpack_bf16(words[token * kPairs + k].y);
        sum += low.x * weight[k][0] + low.y * weight[k][1] + high.x * weight[k][2] +
               high.y * weight[k][3];
      }
      sum = warp_sum(sum) * (1.0F / SingleRow<F>::kPublishedScale);
      // Only a block's own expert can have part 0: there are as many blocks as experts or more.
      if (part == 0) sum += sum_of_warps(block.header->router_dots[token]);
      if (block.lane == 0) {
        publish(p.words.router + (token * kSingle.experts + expert) * kLogitParts + part, sum,
                mark);
      }
    }
  }
}

inline constexpr int kExpertsOfLane = (kSingle.experts + 31) / 32;
static_assert(kSingle.experts % 32 == 0 && kSingle.group_limited == 0);

/// What the experts are chosen by: their logits times rms(x), which are in the order of the
/// probabilities.
__device__ __forceinline__ void single_keys(const StepParams& p, int layer, const StepToken& token,
                                            int lane, const float (&logit)[kExpertsOfLane],
                                            float (&key)[kExpertsOfLane]) {
#pragma unroll
  for (int i = 0; i < kExpertsOfLane; ++i) {
    // A logit that is no number must not be chosen twice: -inf marks what is taken.
    key[i] = logit[i] >= -FLT_MAX ? logit[i] : -FLT_MAX;
    if (p.forced_routing != 0) {
      key[i] = forced_key(p.forced_routing + token.run, layer, token.position, lane + 32 * i);
    }
  }
}

/// The token's experts for the producer warp, which finds them one by one: the first is on its way
/// while the others are still open. Their weights are the router warp's business.
struct SingleRoutes {
  const Marks& marks;
  int lane;
  float key[kExpertsOfLane] = {};
  int known = 0;
  int mine = 0;  ///< lane k: the k-th expert

  /// Waits for the logits, whose parts come from many blocks, and hands them to the router warp.
  __device__ __forceinline__ void await(Block& block, int layer) {
    const StepParams& p = block.p;
    constexpr int kPairs = kLogitParts / 2;
    const auto address = [&](int i) {
      return p.words.router + (lane + i / kPairs * 32) * kLogitParts + i % kPairs * 2;
    };
    AskedWords<kExpertsOfLane * kPairs> asked;
    asked.ask(address);
    uint2 words[kExpertsOfLane * kPairs];
    asked.await(marks.within(layer), words, address);
    float logit[kExpertsOfLane] = {};
#pragma unroll
    for (int i = 0; i < kExpertsOfLane * kPairs; ++i) {
      const float2 parts = as_floats(words[i]);
      logit[i / kPairs] += parts.x + parts.y;
    }
#pragma unroll
    for (int i = 0; i < kExpertsOfLane; ++i) block.header->logits[lane + i * 32] = logit[i];
    __syncwarp();
    if (lane == 0) mbarrier_arrive(shared_address(&block.header->logits_ready));
    single_keys(p, layer, block.header->token[0], lane, logit, key);
    known = 0;
  }
  [[nodiscard]] __device__ __forceinline__ int count() const {
    return kSingle.topk;
  }
  [[nodiscard]] __device__ __forceinline__ int expert(int d) {
#pragma unroll 1
    for (; known <= d; ++known) {
      const int next = take_next(lane, key);
      if (lane == known) mine = next;
    }
    return __shfl_sync(~0U, mine, d);
  }
};

/// The weights of the token's experts, by falling logit as the producer loads them; the first
/// router warp of every block, each for itself.
__device__ __forceinline__ void weigh_experts(const Block& block, int layer) {
  const StepParams& p = block.p;
  SharedHeader& header = *block.header;
  mbarrier_wait(shared_address(&header.logits_ready), block.moe_layers & 1U);
  float logit[kExpertsOfLane];
  float probability[kExpertsOfLane];
  float key[kExpertsOfLane];
#pragma unroll
  for (int i = 0; i < kExpertsOfLane; ++i) logit[i] = header.logits[block.lane + i * 32];
  single_keys(p, layer, header.token[0], block.lane, logit, key);
  mbarrier_wait(shared_address(&header.scale_ready), layer & 1U);
#pragma unroll
  for (int i = 0; i < kExpertsOfLane; ++i) logit[i] *= normed_scale(block, 0);
  softmax(sizes(p), block.lane, logit, probability);
  const Choice choice = take_largest(sizes(p), block.lane, key, probability);
  if (block.lane < kSingle.topk) RoutingTable(block, 8).weight_of[block.lane] = choice.weight;
  __syncwarp();
  if (block.lane != 0) return;
  if (block.index == 0) p.counters->distinct += kSingle.topk;
  mbarrier_arrive(shared_address(&header.routing_ready));
}

// Several tokens choose experts in common: a table tells which, and who chose them.

static_assert(kFewTokens * kSingle.experts <= kMaxExperts, "the header has room for all logits");
static_assert(kFewTokens * kSingle.topk <= 32, "a lane has a choice");

/// The distinct experts of a step of few tokens, for the producer warp, which finds them.
struct FewRoutes {
  const Marks& marks;
  RoutingTable table;
  int distinct = 0;

  /// Waits for the tokens' logits, builds the table without the weights, and hands both to the
  /// router warp.
  __device__ __forceinline__ void await(Block& block, int layer) {
    const StepParams& p = block.p;
    const int lane = block.lane;
    constexpr int kPairs = kLogitParts / 2;
    constexpr int kWords = kExpertsOfLane * kPairs;
    uint2 words[kTokenLimit * kWords];
    await_words<kTokenLimit * kWords>(marks.within(layer), words, [&](int i) -> const StepWord* {
      if (i / kWords >= block.tokens()) return nullptr;
      const int expert = i / kWords * kSingle.experts + lane + i % kWords / kPairs * 32;
      return p.words.router + expert * kLogitParts + i % kPairs * 2;
    });
    int mine = 0;  // lane topk * t + k: the k-th expert of token t
#pragma unroll
    for (int token = 0; token < kTokenLimit; ++token) {
      if (token >= block.tokens()) break;
      float logit[kExpertsOfLane] = {};
      float key[kExpertsOfLane];
#pragma unroll
      for (int i = 0; i < kWords; ++i) {
        const float2 parts = as_floats(words[token * kWords + i]);
        logit[i / kPairs] += parts.x + parts.y;
      }
#pragma unroll
      for (int i = 0; i < kExpertsOfLane; ++i) {
        block.header->logits[token * kSingle.experts + lane + i * 32] = logit[i];
      }
      single_keys(p, layer, block.header->token[token], lane, logit, key);
#pragma unroll 1
      for (int k = 0; k < kSingle.topk; ++k) {
        const int next = take_next(lane, key);
        if (lane == token * kSingle.topk + k) mine = next;
      }
    }
    const int choices = block.tokens() * kSingle.topk;
    const int chosen[1] = {__shfl_sync(~0U, mine, min(lane, choices - 1))};
    distinct = fill_routing_table(table, chosen, choices, kSingle.topk, lane);
    if (lane != 0) return;
    if (block.index == 0) p.counters->distinct += distinct;
    mbarrier_arrive(shared_address(&block.header->logits_ready));
  }
  [[nodiscard]] __device__ __forceinline__ int count() const {
    return distinct;
  }
  [[nodiscard]] __device__ __forceinline__ int expert(int d) const {
    return table.expert[d];
  }
};

/// The weights of the tokens' experts in the table; the first router warp of every block, each for
/// itself.
__device__ __forceinline__ void weigh_few_experts(const Block& block, int layer) {
  const StepParams& p = block.p;
  SharedHeader& header = *block.header;
  const RoutingTable table(block, 8);
  mbarrier_wait(shared_address(&header.logits_ready), block.moe_layers & 1U);
  mbarrier_wait(shared_address(&header.scale_ready), layer & 1U);
#pragma unroll 1
  for (int token = 0; token < block.tokens(); ++token) {
    float logit[kExpertsOfLane];
    float probability[kExpertsOfLane];
    float key[kExpertsOfLane];
#pragma unroll
    for (int i = 0; i < kExpertsOfLane; ++i) {
      logit[i] = header.logits[token * kSingle.experts + block.lane + i * 32];
    }
    single_keys(p, layer, header.token[token], block.lane, logit, key);
#pragma unroll
    for (int i = 0; i < kExpertsOfLane; ++i) logit[i] *= normed_scale(block, token);
    softmax(sizes(p), block.lane, logit, probability);
    const Choice choice = take_largest(sizes(p), block.lane, key, probability);
    if (block.lane < kSingle.topk) table.weight_of[token * kMaxTopK + block.lane] = choice.weight;
  }
  __syncwarp();
  if (block.lane == 0) mbarrier_arrive(shared_address(&header.routing_ready));
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE

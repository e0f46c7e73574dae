// The step kernel for one token, which is what decoding consists of, and for a few: the same
// blocks, the same stream of weights through the same ring, but operations hand on words
// (words.cuh) instead of meeting at grid barriers.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/step/head.cuh"
#include "kernels/cuda/step/kernel.cuh"
#include "kernels/cuda/step/single_ffn.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// x = embedding rows of the tokens.
__device__ __forceinline__ void embed_single(const Block& block, unsigned mark) {
  constexpr int kPairs = kSingle.hidden / 2;
  const int pair = block.index * kStepConsumers + static_cast<int>(threadIdx.x);
  // As many blocks as experts or more.
  static_assert(kTokenLimit * kPairs <= kSingle.experts * kStepConsumers);
  if (pair >= block.tokens() * kPairs) return;
  const std::int64_t id = block.header->token[pair / kPairs].id;
  const auto* row =
      reinterpret_cast<const __nv_bfloat162*>(block.p.weights.embedding + id * kSingle.hidden);
  const float2 value = __bfloat1622float2(row[pair % kPairs]);
  StepWord* to = block.p.words.x + x_word(2 * pair);
  publish(to, value.x, mark);
  publish(to + 1, value.y, mark);
}

template <Format F>
__device__ __forceinline__ void consume_single(Block& block, const Marks& marks) {
  const StepParams& p = block.p;
  note_time(block);
  embed_single(block, marks.x_before(0));
#pragma unroll 1
  for (int layer = 0; layer < p.last_layer; ++layer) {
    project_single<F>(block, layer, marks);
    absorb_single(block, layer, marks);
    attend_single(block, layer, marks);
    expand_single<F>(block, layer, marks);
    project_out_single<F>(block, layer, marks);
    gate_and_up_single<F>(block, layer, marks);
    down_single<F>(block, layer, marks);
  }
  if (p.batch.outputs > 0) {
    await_norm<Format::bf16>(block, p.weights.final_norm, marks.x_before(p.last_layer));
    compute_logits<1>(block);
    choose_candidates(block);
  }
  leave(block);
}

/// Norms and the block's row of the router come from memory: into L2 with them, a layer ahead.
__device__ __forceinline__ void prefetch_single(const Block& block, int layer) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  prefetch_norms(block, layer);
  if (layer >= p.last_layer || !dims.is_moe(layer) || block.index >= dims.experts) return;
  prefetch_l2(reinterpret_cast<const std::byte*>(
                  p.weights.router +
                  (static_cast<std::int64_t>(dims.moe_index(layer)) * dims.experts + block.index) *
                      dims.hidden),
              dims.hidden * 4, block.lane);
}

/// What a router warp does in a step: parts of logits and, of one token, down's activations, and
/// the first of them the experts' weights and the loads of everything that comes from memory in
/// small pieces, a layer ahead.
template <Format F>
__device__ __forceinline__ void route_single(Block& block, int router_warp, const Marks& marks) {
  if (router_warp == 0) prefetch_single(block, 0);
#pragma unroll 1
  for (int layer = 0; layer < block.p.last_layer; ++layer) {
    if (router_warp == 0) prefetch_single(block, layer + 1);
    const bool moe = sizes(block.p).is_moe(layer);
    if (moe) {
      hand_on_logits<F>(block, router_warp, layer, marks.within(layer));
      if (router_warp == 0) {
        if constexpr (kTokenLimit == 1) {
          weigh_experts(block, layer);
        } else {
          weigh_few_experts(block, layer);
        }
      }
    }
    if constexpr (kStagesApart<F>) {
      stage_activations<F>(block, router_warp, layer, marks.within(layer));
    }
    if (moe) ++block.moe_layers;
  }
}

template <Format F>
__global__ void __launch_bounds__(kStepThreads, 1)
    run_single(const __grid_constant__ StepParams p) {
  CARETD_DYNAMIC_SHARED(memory);
  enter(p, memory);
  const Marks marks{p.first_mark};
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp < kStepConsumerWarps) {
    grow_registers<kConsumerRegisters>();
    Block block = place_of_role(p, memory);
    consume_single<F>(block, marks);
    return;
  }
  shrink_registers<kProducerRegisters>();
  if (warp == kStepConsumerWarps) {
    Block block = place_of_role(p, memory);
    if constexpr (kTokenLimit == 1) {
      produce<F>(block, SingleRoutes{marks, block.lane});
    } else {
      produce<F>(block, FewRoutes{marks, RoutingTable(block, 8)});
    }
  }
  if (warp > kStepConsumerWarps && warp <= kStepConsumerWarps + kRouterWarps) {
    Block block = place_of_role(p, memory);
    route_single<F>(block, warp - kStepConsumerWarps - 1, marks);
  }
  if constexpr (kSplitsRow<F>) {
    if (warp == kStepConsumerWarps + kRouterWarps + 1) {
      Block block = place_of_role(p, memory);
      finish_gate_and_up<F>(block, marks);
    }
  }
}

/// For steps of one token, or few, that start from ids and go through all layers.
template <Format F>
cudaError_t prepare(int shared_bytes) {
  return allow_shared(run_single<F>, shared_bytes);
}

template <Format F>
cudaError_t launch(const StepParams& params, int blocks, cudaStream_t stream) {
  return launch_cooperative(run_single<F>, blocks, kStepThreads, params.shared.total, stream,
                            params);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE

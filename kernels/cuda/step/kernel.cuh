// The step kernel: the three roles of a block's warps and the order of the operations.
#pragma once

#include "kernels/cuda/step/combine.cuh"
#include "kernels/cuda/step/ffn.cuh"
#include "kernels/cuda/step/head.cuh"
#include "kernels/cuda/step/producer.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// x = embedding rows of the tokens.
__device__ __forceinline__ void embed(const Block& block) {
  const StepDims& dims = sizes(block.p);
  const int pairs = dims.hidden / 2;
#pragma unroll 1
  for (int i = block.index * kStepConsumers + threadIdx.x; i < block.tokens() * pairs;
       i += block.blocks * kStepConsumers) {
    const std::int64_t id = block.header->token[i / pairs].id;
    const auto* row =
        reinterpret_cast<const __nv_bfloat162*>(block.p.weights.embedding + id * dims.hidden);
    reinterpret_cast<float2*>(block.p.buffers.x)[i] = __bfloat1622float2(row[i % pairs]);
  }
}

/// Queries and the token's latent: norm, then [q | kv_a] or [q_a | kv_a] and q_b.
template <Format F, int NT>
__device__ __forceinline__ void project_queries(Block& block, int layer) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const bool low_rank = dims.q_rank > 0;
  const int q_rows = low_rank ? dims.q_rank : dims.q_width();
  const auto store_query = [&](int row, int token, float value) {
    store_activation<Format::bf16>(p.buffers.q + static_cast<std::int64_t>(token) * dims.q_width(),
                                   row, value);
  };
  stage_norm<F>(block, p.buffers.x, dims.hidden,
                p.weights.attention_norm + static_cast<std::int64_t>(layer) * dims.hidden);
  multiply_normed<F, NT>(block, PackedShape{F, q_rows + dims.kv_width(), dims.hidden},
                         [&](int row, int token, float value) {
                           if (row >= q_rows) {
                             p.buffers.kv[token * dims.kv_width() + row - q_rows] = value;
                           } else if (low_rank) {
                             p.buffers.low[token * dims.q_rank + row] = value;
                           } else {
                             store_query(row, token, value);
                           }
                         });
  grid_barrier(block);
  if (!low_rank) return;
  stage_norm<F>(block, p.buffers.low, dims.q_rank,
                p.weights.q_norm + static_cast<std::int64_t>(layer) * dims.q_rank);
  multiply_normed<F, NT>(block, PackedShape{F, dims.q_width(), dims.q_rank}, store_query);
  grid_barrier(block);
}

/// x += attention of the layer. With several devices, each holding some heads, the sum over the
/// devices belongs at the end of this operation: reduction point one of two.
template <Format F, int NT>
__device__ __forceinline__ void attention(Block& block, int layer) {
  const StepParams& p = block.p;
  project_queries<F, NT>(block, layer);
  rotate_and_write(block, layer);
  absorb_queries<NT>(block);
  grid_barrier(block);
  attend(block, layer);
  grid_barrier(block);
  if (p.batch.combine_separately != 0) {
    combine_all(block);
    grid_barrier(block);
  }
  expand_values<F, NT>(block);
  grid_barrier(block);
  const int width = sizes(p).heads * sizes(p).v;
  const PackedShape out{F, sizes(p).hidden, width};
  const Share share(block, out.tiles());
  const Operand<NT> operand = operand_rows<NT>(block, p.buffers.attention, width);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const Residual residual(block, share.tile(i));
    float acc[NT][4];
    clear<NT>(acc);
    multiply_stages<F, NT>(
        block, out.chunks(),
        [&](int chunk) {
          return StageColumns<NT>{operand, chunk * chunk_columns(F), out.chunk_width(chunk)};
        },
        acc);
    residual.add<NT>(block, acc);
  }
  grid_barrier(block);
}

/// x += feed-forward of the layer. With several devices, each holding a part of every expert, the
/// sum over the devices belongs at the end of this operation: reduction point two of two.
template <Format F, int NT>
__device__ __forceinline__ void feed_forward(Block& block, int layer) {
  const StepParams& p = block.p;
  if (sizes(p).is_moe(layer)) named_barrier_arrive(kRouterBarrier, kStepConsumers + 32);
  stage_norm<F>(block, p.buffers.x, sizes(p).hidden,
                p.weights.ffn_norm + static_cast<std::int64_t>(layer) * sizes(p).hidden);
  gate_and_up<F, NT>(block, layer);
  grid_barrier(block);
  down<F, NT>(block, layer, [&](int tile) { return Residual(block, tile); });
  grid_barrier(block);
}

__device__ __forceinline__ void choose_candidates(Block& block) {
  if (block.p.want_candidates == 0) return;
  consumer_sync();
  publish_largest(block);
  grid_barrier(block);
  hand_on_candidates(block);
  grid_barrier(block);
  rank_candidates(block);
}

/// Clears the counters of the next step; the consumers' last act.
__device__ __forceinline__ void leave(Block& block) {
  const StepParams& p = block.p;
  if (block.index != 0) return;
  auto* words = reinterpret_cast<unsigned*>(p.other_counters);
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < sizeof(StepCounters) / 4; i += kStepConsumers) words[i] = 0;
  if (threadIdx.x == 0 && p.distinct_experts != nullptr) {
    *p.distinct_experts = __ldcg(&p.counters->distinct);
  }
  end_operation(block);
}

template <int NT>
__device__ __forceinline__ void finish(Block& block) {
  const StepParams& p = block.p;
  if (p.batch.outputs > 0) {
    stage_norm<Format::bf16>(block, p.buffers.x, sizes(p).hidden, p.weights.final_norm);
    compute_logits<NT>(block);
    choose_candidates(block);
  }
  leave(block);
}

template <Format F, int NT>
__device__ __forceinline__ void consume(Block& block) {
  note_time(block);
  if (block.p.embed != 0) {
    embed(block);
    grid_barrier(block);
  }
#pragma unroll 1
  for (int layer = block.p.first_layer; layer < block.p.last_layer; ++layer) {
    attention<F, NT>(block, layer);
    feed_forward<F, NT>(block, layer);
  }
  finish<NT>(block);
}

__device__ __forceinline__ void route(Block& block) {
  prefetch_norms(block, block.p.first_layer);
#pragma unroll 1
  for (int layer = block.p.first_layer; layer < block.p.last_layer; ++layer) {
    prefetch_norms(block, layer + 1);
    if (sizes(block.p).is_moe(layer)) route_tokens(block, layer);
  }
}

/// Of the 168 that twelve warps leave each thread: a third of them hands 32 to the others.
inline constexpr int kConsumerRegisters = 184;
inline constexpr int kProducerRegisters = 136;

/// Prepares the block's shared memory; all threads.
__device__ __forceinline__ void enter(const StepParams& p, std::byte* memory) {
  auto* header = reinterpret_cast<SharedHeader*>(memory);
  if (threadIdx.x == 0) {
    for (int i = 0; i < p.shared.slots + p.shared.early_slots; ++i) {
      mbarrier_init(shared_address(&header->full[i]), kBulkLoadArrivals);
      mbarrier_init(shared_address(&header->empty[i]), kStepConsumerWarps);
    }
    mbarrier_init(shared_address(&header->routing_ready), 1);
    mbarrier_init(shared_address(&header->logits_ready), 1);
    mbarrier_init(shared_address(&header->values_due), 1);
    mbarrier_init(shared_address(&header->scale_ready), 1);
    for (int i = 0; i < kHandovers; ++i) {
      mbarrier_init(shared_address(&header->sums_read[i]), 1);
    }
    for (std::uint64_t& ready : header->part_ready) {
      mbarrier_init(shared_address(&ready), kRouterWarps);
    }
    mbarrier_init_fence();
  }
  copy_batch(p, *header);
  __syncthreads();
}

/// The view of one role. Each reads its place for itself: the compiler would otherwise compute what
/// the roles have in common before they part, and keep it in registers that it then lacks.
__device__ __forceinline__ Block place_of_role(const StepParams& p, std::byte* memory) {
  const int index = block_index();
  const int blocks = block_count();
  const int thread = thread_index();
  return Block{p,           memory,     reinterpret_cast<SharedHeader*>(memory), index, blocks,
               thread / 32, thread % 32};
}

template <Format F, int NT>
__global__ void __launch_bounds__(kStepThreads, 1) run(const __grid_constant__ StepParams p) {
  CARETD_DYNAMIC_SHARED(memory);
  enter(p, memory);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp < kStepConsumerWarps) {
    grow_registers<kConsumerRegisters>();
    Block block = place_of_role(p, memory);
    consume<F, NT>(block);
    return;
  }
  shrink_registers<kProducerRegisters>();
  if (warp == kStepConsumerWarps) {
    Block block = place_of_role(p, memory);
    produce<F>(block, TableRoutes{RoutingTable(block, NT * 8)});
  }
  if (warp == kStepConsumerWarps + 1) {
    Block block = place_of_role(p, memory);
    route(block);
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE

// One step of the whole model for up to 16 tokens as one persistent kernel: a block on every
// multiprocessor walks all layers, separated by grid barriers, while a producer warp in each block
// streams that block's share of the weights through a ring in shared memory, across the barriers,
// so that the memory pipe does not drain between operations (docs/performance.md, "The step").
//
// All pointers are device pointers unless said otherwise; T is the number of tokens of the step.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/layout.h"

namespace caretd::kernels::cuda {

inline constexpr int kPageRows = 64;       ///< tokens in a KV page
inline constexpr int kStepMaxTokens = 16;  ///< tokens of one step; longer runs are prefilled
inline constexpr int kStepMaxLayers = 128;
/// Steps of up to so many tokens have kernels of their own for Lite (step/single_kernel.cuh).
inline constexpr int kFewTokens = 4;
inline constexpr int kStepMarks = 2 * kStepMaxLayers + 2;  ///< of the words of one step
inline constexpr int kMaxExperts = 256;
inline constexpr int kMaxTopK = 8;
inline constexpr int kAttentionRows = 16;  ///< (token, head) rows of one attention item
inline constexpr int kStageRows = 16;      ///< KV rows of one ring stage
/// Groups of latent columns in which an item's output is handed on (steps of one token): those that
/// lanes l, l + 4, ... of one consumer warp hold.
inline constexpr int kPartialGroups = 32;
inline constexpr int kMaxSplits = 256;  ///< pieces of a run's KV rows
inline constexpr int kCandidateCount = 64;
inline constexpr int kMergedCandidates = 1024;  ///< of all blocks, ranked at once
inline constexpr int kRouterParts = 4;          ///< blocks that share the columns of a router row
inline constexpr int kLogitParts = 4;           ///< words of a router's logit (one token)
inline constexpr int kProfileMarks = 2048;

/// Eight warps leave each thread 168 registers; with sixteen the compiler spills.
inline constexpr int kStepConsumerWarps = 8;
inline constexpr int kStepConsumers = kStepConsumerWarps * 32;
/// Beside the consumers a warpgroup of its own, whose registers they get: the producer warp and the
/// router warp (two of them in steps of one token, and an epilogue warp where the warpgroups
/// multiply); the rest leaves at once.
inline constexpr int kStepThreads = kStepConsumers + 128;
/// Partial sums of up to eight tokens of a tile, of every consumer warp; there are two such areas.
inline constexpr int kTileSumPitch = 20;  ///< floats from one token's 16 rows to the next
inline constexpr int kTileSumBytes = kStepConsumerWarps * 8 * kTileSumPitch * 4;
inline constexpr int kStepHeaderBytes = 4224;  ///< of a block's shared memory

/// KV rows the attention works on at a time on a device of that compute capability (times 100): a
/// page, or half of one where a block has no more than 99 KB of shared memory.
[[nodiscard]] CARETD_HOST_DEVICE constexpr int attention_tile(int capability) {
  const bool small = (capability > 800 && capability < 900) || capability >= 1200;
  return small ? kPageRows / 2 : kPageRows;
}

/// Sizes of the model, or of this device's share of it.
struct StepDims {
  int layers = 0;
  int dense_layers = 0;
  int moe_layer_freq = 1;
  int hidden = 0;
  int heads = 0;
  int q_rank = 0;  ///< 0: plain q projection
  int kv_rank = 0;
  int nope = 0;
  int rope = 0;
  int v = 0;
  int experts = 0;
  int topk = 0;
  int groups = 1;
  int topk_groups = 1;
  int group_limited = 0;
  int normalize_topk = 0;
  float routed_scaling = 1.0F;
  int dense_width = 0;
  int shared_width = 0;
  int expert_width = 0;
  int vocab = 0;
  int real_vocab = 0;
  float norm_epsilon = 1e-6F;
  float softmax_scale_log2 = 0.0F;  ///< softmax scale times log2(e)

  bool operator==(const StepDims&) const = default;
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int head_dim() const { return nope + rope; }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int q_width() const { return heads * (nope + rope); }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int kv_width() const { return kv_rank + rope; }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr bool is_moe(int layer) const {
    return experts > 0 && layer >= dense_layers && layer % moe_layer_freq == 0;
  }
  /// Index of a layer's feed-forward weights among those of its kind.
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int moe_before(int layer) const {
    if (experts == 0 || layer <= dense_layers) return 0;
    const int first = (dense_layers + moe_layer_freq - 1) / moe_layer_freq * moe_layer_freq;
    return layer <= first ? 0 : (layer - 1 - first) / moe_layer_freq + 1;
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int moe_index(int layer) const {
    return moe_before(layer);
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int dense_index(int layer) const {
    return layer - moe_before(layer);
  }
  /// Elements of one token's feed-forward activations: [shared or dense | one part a routed
  /// expert].
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int ffn_width() const {
    const int moe = shared_width + topk * expert_width;
    return dense_width > moe ? dense_width : moe;
  }
};

/// Bytes from one KV or query row in shared memory to the next: an odd multiple of 16, so that
/// ldmatrix meets no bank twice.
CARETD_HOST_DEVICE constexpr int kv_pitch(const StepDims& dims) {
  return (dims.kv_width() * 2 + 16) | 16;
}

/// DeepSeek-Coder-V2-Lite on one device: the step kernel has an instantiation with these sizes as
/// constants. Layers and real vocabulary are left open.
CARETD_HOST_DEVICE constexpr StepDims lite_step_dims() {
  StepDims dims;
  dims.dense_layers = 1;
  dims.hidden = 2048;
  dims.heads = 16;
  dims.kv_rank = 512;
  dims.nope = 128;
  dims.rope = 64;
  dims.v = 128;
  dims.experts = 64;
  dims.topk = 6;
  dims.dense_width = 10944;
  dims.shared_width = 2816;
  dims.expert_width = 1408;
  dims.vocab = 102400;
  return dims;
}

/// Whether these are the sizes of lite_step_dims().
CARETD_HOST_DEVICE constexpr bool has_lite_sizes(const StepDims& dims) {
  StepDims lite = lite_step_dims();
  lite.layers = dims.layers;
  lite.real_vocab = dims.real_vocab;
  lite.norm_epsilon = dims.norm_epsilon;
  lite.softmax_scale_log2 = dims.softmax_scale_log2;
  return dims == lite;
}

/// Packed weights (layout.h). Arrays over layers or experts are contiguous: element i of a kind
/// starts i * PackedShape::bytes() after the first. "in" is the stream format, except where BF16.
struct StepWeights {
  const __nv_bfloat16* embedding = nullptr;  ///< [vocab, hidden], row-major, BF16
  const float* attention_norm = nullptr;     ///< [layers, hidden]
  const float* q_norm = nullptr;             ///< [layers, q_rank]
  const float* kv_norm = nullptr;            ///< [layers, kv_rank]
  const float* ffn_norm = nullptr;           ///< [layers, hidden]
  const float* final_norm = nullptr;         ///< [hidden]
  const std::byte* first = nullptr;   ///< [layers] of [q | kv_a, hidden], or [q_a | kv_a, hidden]
  const std::byte* q_b = nullptr;     ///< [layers] of [q_width, q_rank]
  const std::byte* absorb = nullptr;  ///< [layers, heads] of [kv_rank, nope], BF16: kv_b's K half^T
  const std::byte* key = nullptr;     ///< [layers, heads] of [nope, kv_rank], BF16: for prefill
  const std::byte* value = nullptr;   ///< [layers, heads] of [v, kv_rank], BF16: kv_b's V half
  const std::byte* out = nullptr;     ///< [layers] of [hidden, heads * v]
  const std::byte* dense_up = nullptr;    ///< [dense layers] of interleaved [2 dense_width, hidden]
  const std::byte* dense_down = nullptr;  ///< [dense layers] of [hidden, dense_width]
  const std::byte* shared_up = nullptr;   ///< [MoE layers] of interleaved [2 shared_width, hidden]
  const std::byte* shared_down = nullptr;  ///< [MoE layers] of [hidden, shared_width]
  const std::byte* expert_up = nullptr;    ///< [MoE layers, experts] of [2 expert_width, hidden]
  const std::byte* expert_down = nullptr;  ///< [MoE layers, experts] of [hidden, expert_width]
  const float* router = nullptr;           ///< [MoE layers, experts, hidden], row-major
  /// [MoE layers, experts, heads * v], row-major: router * diag(ffn_norm) * out, what the heads'
  /// values add to the router's logits (step/single_routing.cuh).
  const float* value_router = nullptr;
  const std::byte* head = nullptr;  ///< [vocab, hidden], BF16
  const float2* rotary = nullptr;   ///< [positions, rope / 2]: cosine and sine
};

/// One token of the step.
struct StepToken {
  int id = 0;
  int position = 0;
  int run = 0;
  int output = -1;  ///< row of the output, or none
};

/// Consecutive tokens of one sequence.
struct StepRun {
  int first_token = 0;
  int tokens = 0;
  int first_page = 0;  ///< index into StepBatch::pages
  int first_item = 0;  ///< item (m-tile, split) of the run is first_item + m-tile * splits + split
  int splits = 1;
};

/// One block's piece of attention: 16 (token, head) rows of a run over KV positions [begin, end).
struct AttentionItem {
  int run = 0;
  int first_row = 0;  ///< within the run's tokens * heads rows
  int begin = 0;
  int end = 0;
};

/// A step's input, in device memory.
struct StepBatch {
  int tokens = 0;
  int runs = 0;
  int items = 0;
  int combine_separately = 0;  ///< splits are merged in a phase of their own
  int outputs = 0;
  const StepToken* token = nullptr;  ///< [tokens]
  const StepRun* run = nullptr;
  const AttentionItem* item = nullptr;  ///< [items]
  const int* pages = nullptr;
};

/// Scratch in device memory; sizes for the largest step.
struct StepBuffers {
  float* x = nullptr;                  ///< [T, hidden]: the residual stream
  float* low = nullptr;                ///< [T, q_rank]
  __nv_bfloat16* q = nullptr;          ///< [T, q_width], BF16 activation order
  float* kv = nullptr;                 ///< [T, kv_width]: kv_a's output
  __nv_bfloat16* query = nullptr;      ///< [T * heads, kv_width]: absorbed queries, plain order
  __nv_bfloat16* partial = nullptr;    ///< [items, 16, kv_rank]: unnormalised attention outputs
  float2* partial_stats = nullptr;     ///< [items, 16]: row maximum (log2 units) and row sum
  __nv_bfloat16* context = nullptr;    ///< [T * heads, kv_rank], BF16 order (separate combine)
  __nv_bfloat16* attention = nullptr;  ///< [T, heads * v], stream format's activation order
  __nv_bfloat16* ffn = nullptr;        ///< [T, ffn_width], stream format's activation order
  float2* router_parts = nullptr;      ///< [T, kRouterParts, experts]: dot product, sum of squares
  int* topk_expert = nullptr;          ///< [T, kMaxTopK]
  float* topk_weight = nullptr;        ///< [T, kMaxTopK]
  float* logits = nullptr;             ///< [outputs, vocab]
  std::uint64_t* largest = nullptr;    ///< [outputs, blocks, parts]: keys of logits (step/head.cuh)
  std::uint64_t* keys = nullptr;       ///< [outputs, kMergedCandidates], in no order
  float2* exponential = nullptr;       ///< [outputs, blocks]: maximum and sum of exponentials
};

/// A value and the mark of the operation that wrote it (step/words.cuh): the low and the high half.
using StepWord = std::uint64_t;

/// Three values of 32 bits and the mark.
struct alignas(16) StepWideWord {
  std::uint32_t value[3];
  unsigned mark;
};
/// A (token, head) row of an attention item's output as wide words: each holds six BF16 values.
CARETD_HOST_DEVICE constexpr int partial_words(int kv_rank) {
  return (kv_rank / kPartialGroups / 2 + 2) / 3 * kPartialGroups;
}

/// What the operations of a step of one to kFewTokens tokens (T) hand on, all zero before the first
/// step. Activations are pairs of BF16 values in the order of the buffers of the same name, the
/// rest single floats.
struct StepWords {
  StepWord* x = nullptr;            ///< [T, hidden] floats, in the order of x_word()
  StepWord* q = nullptr;            ///< [T, q_width / 2]
  StepWord* kv = nullptr;           ///< [T, kv_width] floats
  StepWord* query = nullptr;        ///< [T * heads, kv_width / 2], plain order
  StepWord* fresh = nullptr;        ///< [T, kv_width / 2]: the tokens' own KV rows
  StepWideWord* partial = nullptr;  ///< [items, 16, words of a group, kPartialGroups]: unnormalised
  StepWideWord* stats = nullptr;    ///< [items, 16]: row maximum (log2 units), row sum, nothing
  StepWord* context = nullptr;      ///< [T * heads, kv_rank / 2]
  StepWord* attention = nullptr;    ///< [T, heads * v / 2]
  StepWord* ffn = nullptr;          ///< [ffn_width / 2]: of one token
  StepWord* router = nullptr;       ///< [T, experts, kLogitParts] floats: parts of a logit
};

/// Counters in device memory, used alternately by even and odd steps: a step clears the other set.
struct StepCounters {
  unsigned barrier = 0;
  unsigned routed = 0;    ///< tokens whose experts are chosen, over all layers
  unsigned distinct = 0;  ///< experts read by this step, over all layers (statistics)
  unsigned router[kStepMaxTokens] = {};      ///< parts of logits written, over all layers
  unsigned candidates[kStepMaxTokens] = {};  ///< keys in an output's list, or too many for it
};

/// One row of output; the array lies in host memory that the device can write.
struct CandidateRow {
  float log_sum_exp = 0.0F;
  int count = 0;
  std::int32_t id[kCandidateCount] = {};
  float logit[kCandidateCount] = {};
};

/// Where a block keeps things in its dynamic shared memory (bytes from its start); see plan.h.
struct StepShared {
  int routing = 0;
  int scratch = 0;
  int activations = 0;
  int activation_bytes = 0;
  int activation_pitch = 0;  ///< bytes from one token's activation row to the next
  int ring = 0;
  int slots = 0;        ///< of the ring
  int early_slots = 0;  ///< behind it, for stages of the shared experts' down (producer.cuh)
  int slot_bytes = 0;
  int total = 0;
};

/// Division by a number that is known before the launch: a multiplication instead of some thirty
/// dependent instructions. Exact for dividends below 2^32 / divisor.
struct Divisor {
  unsigned divisor = 1;
  unsigned reciprocal = 0;

  Divisor() = default;
  explicit Divisor(int value)
      : divisor(static_cast<unsigned>(value > 0 ? value : 1)),
        reciprocal(divisor > 1 ? 0xFFFFFFFFU / divisor + 1 : 0) {}
  [[nodiscard]] CARETD_HOST_DEVICE unsigned quotient(unsigned dividend) const {
#if defined(__CUDA_ARCH__)
    return divisor == 1 ? dividend : __umulhi(dividend, reciprocal);
#else
    return divisor == 1 ? dividend
                        : static_cast<unsigned>(std::uint64_t{dividend} * reciprocal >> 32);
#endif
  }
  [[nodiscard]] CARETD_HOST_DEVICE unsigned remainder(unsigned dividend) const {
    return dividend - quotient(dividend) * divisor;
  }
};

struct StepDivisors {
  Divisor blocks;
  Divisor heads;
  Divisor value_tiles;    ///< tiles of one head's value matrix
  Divisor absorb_stages;  ///< stages of one head's absorb matrix
  Divisor expert_tiles;   ///< tiles of one expert's gate and up
  Divisor expert_chunks;  ///< chunks of a tile of one expert's down
};

struct StepParams {
  StepDivisors divide;
  StepDims dims;
  StepWeights weights;
  StepBatch batch;
  StepBuffers buffers;
  StepShared shared;
  StepWords words;
  unsigned first_mark = 0;           ///< this and the kStepMarks - 1 after it are no other step's
  StepCounters* counters = nullptr;  ///< of this step, all zero
  StepCounters* other_counters = nullptr;  ///< of the next step, cleared by this one
  std::byte* kv_pages = nullptr;           ///< [pages][layers][64][kv_width] BF16
  CandidateRow* candidates = nullptr;      ///< [outputs], host memory
  unsigned* distinct_experts = nullptr;    ///< host memory
  long long* profile = nullptr;            ///< [kProfileMarks] clock of block 0 after each barrier
  int first_layer = 0;
  int last_layer = 0;  ///< one past
  int embed = 1;       ///< start from token ids; otherwise x is given
  int want_candidates = 0;
  unsigned forced_routing = 0;  ///< not 0: seed of uniformly random expert choices
};

/// Prepares the kernels for `shared_bytes` of dynamic shared memory a block; once per device.
[[nodiscard]] cudaError_t prepare_step(Format format, int shared_bytes);

/// How many KV rows the attention of the kernels that this device runs works on at a time, which
/// depends on what they were compiled for. Writes to `rows`, memory that the device can write.
[[nodiscard]] cudaError_t read_attention_tile(int* rows, cudaStream_t stream);

/// Launches one step on `blocks` blocks, all of which must be resident together.
[[nodiscard]] cudaError_t launch_step(Format format, const StepParams& params, int blocks,
                                      cudaStream_t stream);

}  // namespace caretd::kernels::cuda

#include "kernels/cuda/plan.h"

#include <algorithm>
#include <string>

namespace caretd::kernels::cuda {
namespace {

constexpr int kMaxSlots = 24;  // step::kMaxSlots

int round_up(int value, int unit) {
  return (value + unit - 1) / unit * unit;
}

int column_tiles(int tokens) {
  return tokens <= 8 ? 1 : 2;
}

int routing_bytes(const StepDims& dims, int tokens) {
  const int distinct = round_up(std::min(dims.experts, tokens * dims.topk), 2);
  return 16 + tokens * kMaxTopK * 4 + distinct * 2 + distinct * tokens;
}

int attention_bytes(const StepDims& dims, int tile) {
  return kAttentionRows * kv_pitch(dims) + 2 * kAttentionRows * (tile + 1) * 4 +
         kAttentionRows * (tile + 8) * 2 + kAttentionRows * 4;
}

/// The combined rows of the step's tokens and the weights of the splits, or of few tokens a row,
/// the consumers' sums of 16 columns each, and the statistics of the splits.
int combine_bytes(int tokens, int pitch) {
  const int few = tokens <= kFewTokens ? pitch + kStepConsumers * 16 * 4 + kMaxSplits * 8 : 0;
  return std::max(tokens * pitch + kMaxSplits * 4, few);
}

/// The normed row and the feed-forward activations of a step of one token, as BF16 or as a split
/// row, in which every part begins with a pass.
int single_ffn_bytes(const StepDims& dims) {
  const int passes =
      split_passes(dims.hidden) +
      std::max(split_passes(dims.dense_width),
               split_passes(dims.shared_width) + dims.topk * split_passes(dims.expert_width));
  return std::max((dims.hidden + dims.ffn_width()) * 2, passes * kSplitPassBytes);
}

/// Slots that the ring keeps at least when the shared experts' down has some of its own.
constexpr int kLeastEarlyRing = 8;

/// The largest keys of all blocks' parts, and then those of a row's list and the best of them.
int candidate_bytes(int blocks) {
  const int largest = std::max(blocks, kCandidateCount * 2);
  return std::max(largest, kMergedCandidates + kCandidateCount) * 8;
}

Result<void> multiple_of(int value, int unit, const char* name) {
  if (value % unit == 0) return {};
  return fail(ErrorKind::unsupported, std::string("the CUDA runner needs ") + name +
                                          " to be a multiple of " + std::to_string(unit) +
                                          ", this model has " + std::to_string(value) +
                                          "; use the CPU runner");
}

}  // namespace

Result<void> check_dims(const StepDims& dims) {
  const struct {
    int value;
    int unit;
    const char* name;
  } rules[] = {
      {dims.hidden, 64, "hidden_size"},
      {dims.q_rank, 64, "q_lora_rank"},
      {dims.kv_rank, 128, "kv_lora_rank"},
      {dims.nope, 32, "qk_nope_head_dim"},
      {dims.rope, 16, "qk_rope_head_dim"},
      {dims.head_dim(), 32, "the query head size"},
      {dims.v, 32, "v_head_dim"},
      {dims.dense_width, 32, "intermediate_size"},
      {dims.shared_width, 32, "the shared experts' width"},
      {dims.expert_width, 32, "moe_intermediate_size"},
  };
  for (const auto& rule : rules) {
    if (auto ok = multiple_of(rule.value, rule.unit, rule.name); !ok) return ok;
  }
  if (dims.kv_rank > 512 || dims.nope > 128 || dims.layers > kStepMaxLayers ||
      dims.experts > kMaxExperts || dims.topk > kMaxTopK || dims.groups > 32) {
    return fail(ErrorKind::unsupported,
                "the CUDA runner takes kv_lora_rank up to 512, qk_nope_head_dim up to 128, 128 "
                "layers, 256 experts, 8 experts a token and 32 groups; use the CPU runner");
  }
  return {};
}

Result<StepShared> plan_shared(const StepDims& dims, Format format, int tokens,
                               const DeviceLimits& limits) {
  StepShared shared;
  shared.routing = kStepHeaderBytes;
  shared.scratch = round_up(shared.routing + routing_bytes(dims, column_tiles(tokens) * 8), 128);
  shared.activations = shared.scratch + 2 * kTileSumBytes;
  // A pitch of 64 modulo 128 bytes keeps the rows of neighbouring tokens in different banks.
  const int widest = std::max({dims.hidden, dims.q_rank, dims.kv_rank});
  shared.activation_pitch = round_up(widest * 2, 128) + 64;
  shared.activation_bytes = round_up(
      std::max({combine_bytes(tokens, shared.activation_pitch),
                attention_bytes(dims, limits.attention_tile),
                candidate_bytes(limits.multiprocessors), tokens == 1 ? single_ffn_bytes(dims) : 0}),
      128);
  shared.ring = shared.activations + shared.activation_bytes;
  shared.slot_bytes = round_up(std::max(kMaxChunkBytes, kStageRows * kv_pitch(dims)), 128);
  shared.slots = std::min((limits.shared_bytes - shared.ring) / shared.slot_bytes, kMaxSlots);
  shared.total = shared.ring + shared.slots * shared.slot_bytes;
  if (tokens == 1 && format == Format::fp8 && has_lite_sizes(dims)) {
    const int chunks = PackedShape{format, dims.hidden, dims.shared_width}.chunks();
    shared.early_slots = std::clamp(shared.slots - kLeastEarlyRing, 0, chunks);
    shared.slots -= shared.early_slots;
  }
  // An attention tile is in the ring as a whole.
  if (shared.slots < limits.attention_tile / kStageRows) {
    return fail(ErrorKind::unsupported,
                "this GPU has too little shared memory for a model of this width; use the CPU "
                "runner");
  }
  return shared;
}

StepDivisors step_divisors(const StepDims& dims, Format format, int blocks) {
  StepDivisors divide;
  divide.blocks = Divisor(blocks);
  divide.heads = Divisor(dims.heads);
  divide.value_tiles = Divisor(PackedShape{Format::bf16, dims.v, dims.kv_rank}.tiles());
  divide.absorb_stages = Divisor(dims.kv_rank / 64);
  divide.expert_tiles = Divisor(PackedShape{format, 2 * dims.expert_width, dims.hidden}.tiles());
  divide.expert_chunks = Divisor(PackedShape{format, dims.hidden, dims.expert_width}.chunks());
  return divide;
}

Result<int> max_step_tokens(const StepDims& dims, const DeviceLimits& limits) {
  if (plan_shared(dims, Format::bf16, kStepMaxTokens, limits)) return kStepMaxTokens;
  auto smallest = plan_shared(dims, Format::bf16, 8, limits);
  if (!smallest) return pass_on(std::move(smallest));
  return 8;
}

AttentionPlan plan_attention(std::span<const AttentionRun> runs, int heads, int multiprocessors) {
  const auto groups_of = [&](const AttentionRun& run) {
    return (run.tokens * heads + kAttentionRows - 1) / kAttentionRows;
  };
  const auto tiles_of = [](const AttentionRun& run) {
    return (run.position + run.tokens + kPageRows - 1) / kPageRows;
  };
  std::int64_t work = 0;
  for (const AttentionRun& run : runs) {
    work += static_cast<std::int64_t>(groups_of(run)) * tiles_of(run);
  }
  const int tiles_per_item =
      std::max<int>(1, static_cast<int>((work + multiprocessors - 1) / multiprocessors));

  AttentionPlan plan;
  int merged = 0;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const AttentionRun& run = runs[r];
    const int tiles = tiles_of(run);
    const int wanted = std::min((tiles + tiles_per_item - 1) / tiles_per_item, kMaxSplits);
    const int per_split = (tiles + wanted - 1) / wanted;
    const int splits = (tiles + per_split - 1) / per_split;
    plan.first_item.push_back(static_cast<int>(plan.items.size()));
    plan.splits.push_back(splits);
    merged += run.tokens * splits;
    for (int group = 0; group < groups_of(run); ++group) {
      for (int split = 0; split < splits; ++split) {
        plan.items.push_back({static_cast<int>(r), group * kAttentionRows,
                              split * per_split * kPageRows,
                              std::min((split + 1) * per_split, tiles) * kPageRows});
      }
    }
  }
  // Every block that expands a head's values merges that head itself, unless that is too much.
  plan.combine_separately = merged > 48;
  return plan;
}

int max_attention_items(int tokens, int heads, int multiprocessors) {
  // Items that are full plus, for every group, one that is not.
  const int groups = (tokens * heads + kAttentionRows - 1) / kAttentionRows + tokens;
  return multiprocessors + groups + kMaxSplits;
}

Slice slice_of(int size, int unit, int rank, int ranks) {
  const int units = (size + unit - 1) / unit;
  const auto cut = [&](int at) {
    return std::min(static_cast<int>(static_cast<std::int64_t>(units) * at / ranks) * unit, size);
  };
  return {cut(rank), cut(rank + 1)};
}

std::int64_t step_weight_bytes(const StepDims& dims, Format format, std::int64_t distinct) {
  const auto bytes = [&](Format f, int rows, int cols) {
    return PackedShape{f, rows, cols}.bytes();
  };
  const int q_rows = dims.q_rank > 0 ? dims.q_rank : dims.q_width();
  std::int64_t layer = bytes(format, q_rows + dims.kv_width(), dims.hidden) +
                       dims.heads * (bytes(Format::bf16, dims.kv_rank, dims.nope) +
                                     bytes(Format::bf16, dims.v, dims.kv_rank)) +
                       bytes(format, dims.hidden, dims.heads * dims.v);
  if (dims.q_rank > 0) layer += bytes(format, dims.q_width(), dims.q_rank);
  std::int64_t total = dims.layers * layer + bytes(Format::bf16, dims.vocab, dims.hidden);
  for (int l = 0; l < dims.layers; ++l) {
    const int width = dims.is_moe(l) ? dims.shared_width : dims.dense_width;
    total += bytes(format, 2 * width, dims.hidden) + bytes(format, dims.hidden, width);
    if (dims.is_moe(l)) total += static_cast<std::int64_t>(dims.experts) * dims.hidden * 4;
  }
  return total + distinct * (bytes(format, 2 * dims.expert_width, dims.hidden) +
                             bytes(format, dims.hidden, dims.expert_width));
}

}  // namespace caretd::kernels::cuda

#include "engine/cpu/forward.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/pack.h"
#include "kernels/cpu/rope.h"

namespace caretd::engine {

namespace cpu = kernels::cpu;

namespace {

/// The addresses of rows of `width` floats, `stride` apart.
void set_rows(std::vector<const float*>& rows, const Floats& values, int count, int stride) {
  rows.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = values.data() + i * static_cast<std::size_t>(stride);
  }
}

/// The same for [T][heads][width], head-major: [heads][T].
void set_head_rows(std::vector<const float*>& rows, const Floats& values, int tokens, int heads,
                   int width) {
  rows.clear();
  for (int head = 0; head < heads; ++head) {
    for (int token = 0; token < tokens; ++token) {
      rows.push_back(values.data() + (static_cast<std::ptrdiff_t>(token) * heads + head) * width);
    }
  }
}

void grow(Floats& values, std::size_t count) {
  if (values.size() < count) values.resize(count);
}

cpu::Routing routing_of(const ModelConfig& config) {
  const bool limited = config.routing == RoutingMethod::group_limited_greedy;
  return {.experts = config.routed_experts,
          .experts_per_token = config.experts_per_token,
          .groups = limited ? config.expert_groups : 1,
          .groups_per_token = limited ? config.groups_per_token : 1,
          .normalize = config.normalize_topk,
          .scaling = config.routed_scaling};
}

}  // namespace

std::size_t forward_scratch(const ModelConfig& config) {
  const std::ptrdiff_t attention =
      cpu::attention_scratch(largest_query_block(config.heads), cpu::key_width(config.kv_width()));
  return static_cast<std::size_t>(std::max<std::ptrdiff_t>(attention, cpu::kLinearScratch));
}

ForwardPass::ForwardPass(const ModelConfig& config, const PackedModel& model, const KvPages& pages,
                         Workers& workers, int real_vocab)
    : config_(config),
      model_(model),
      pages_(pages),
      workers_(workers),
      kernels_(workers.kernels()),
      key_width_(cpu::key_width(config.kv_width())),
      inverse_frequencies_(rope_inverse_frequencies(config)),
      routing_(routing_of(config)),
      head_(config, model, workers, real_vocab) {}

Result<std::span<const OutputRow>> ForwardPass::run(std::span<const TokenRun> batch) {
  start(batch);
  embed();
  for (int layer = 0; layer < config_.layers; ++layer) {
    attention(layer);
    feed_forward(layer);
  }
  return head_.run(batch_, x_);
}

/// x += W_o * attention(RMSNorm(x)).
void ForwardPass::attention(int index) {
  const PackedLayer& layer = model_.layers[static_cast<std::size_t>(index)];
  normalize(x_, layer.input_norm, normed_);
  project_queries_and_keys(layer);
  store_keys_and_rotate(index);
  absorb_queries(layer);
  attend(index);
  expand_values(layer);
  const cpu::LinearJob output{.weights = layer.o,
                              .inputs = value_rows_.data(),
                              .rows = static_cast<int>(tokens_.size()),
                              .output = x_.data(),
                              .output_stride = config_.hidden,
                              .accumulate = true};
  workers_.multiply({&output, 1});
}

void ForwardPass::project_queries_and_keys(const PackedLayer& layer) {
  const int rows = static_cast<int>(tokens_.size());
  const auto job = [rows](const cpu::PackedWeights& weights, const float* const* inputs,
                          Floats& to) {
    return cpu::LinearJob{.weights = weights,
                          .inputs = inputs,
                          .rows = rows,
                          .output = to.data(),
                          .output_stride = weights.outputs};
  };
  const bool low_rank = config_.q_lora_rank > 0;
  const std::array first{
      low_rank ? job(layer.q_a, normed_rows_.data(), q_a_) : job(layer.q, normed_rows_.data(), q_),
      job(layer.kv_a, normed_rows_.data(), kv_a_)};
  workers_.multiply(first);
  if (!low_rank) return;
  normalize(q_a_, layer.q_a_norm, q_a_);
  const cpu::LinearJob second = job(layer.q_b, q_a_rows_.data(), q_);
  workers_.multiply({&second, 1});
}

/// Writes [RMSNorm(latent) | rotated key] into the cache; rotates and scales the queries.
void ForwardPass::store_keys_and_rotate(int index) {
  const PackedLayer& layer = model_.layers[static_cast<std::size_t>(index)];
  const int latent = config_.kv_lora_rank;
  const int nope = config_.qk_nope_head_dim;
  const int rope = config_.qk_rope_head_dim;
  const auto scale = static_cast<float>(config_.softmax_scale());
  workers_.for_each_row(static_cast<int>(tokens_.size()), [&](int row) {
    const Token& token = tokens_[static_cast<std::size_t>(row)];
    const float* cosines = cosines_.data() + at(row, rope / 2);
    const float* sines = sines_.data() + at(row, rope / 2);

    float* kv = kv_a_.data() + at(row, config_.kv_width());
    kernels_.rms_norm(kv, layer.kv_a_norm.data(), latent, static_cast<float>(config_.rms_norm_eps),
                      kv);
    cpu::rotate_pairs(kv + latent, cosines, sines, rope / 2);
    kernels_.store_key(kv, config_.kv_width(), pages_.format(),
                       pages_.key(token.page, index, token.slot));

    for (int head = 0; head < config_.heads; ++head) {
      float* q = q_.data() + at(row, config_.q_width()) + at(head, config_.q_head_dim());
      for (int i = 0; i < nope + rope; ++i) q[i] *= scale;
      float* query = queries_.data() + at(row * config_.heads + head, key_width_);
      std::copy_n(q + nope, rope, query + latent);
      cpu::rotate_pairs(query + latent, cosines, sines, rope / 2);
    }
  });
}

/// q_nope^T (W_UK latent) = (W_UK^T q_nope)^T latent: queries meet latents, not expanded keys.
void ForwardPass::absorb_queries(const PackedLayer& layer) {
  const int rows = static_cast<int>(tokens_.size());
  jobs_.clear();
  for (int head = 0; head < config_.heads; ++head) {
    jobs_.push_back({.weights = layer.key_up[static_cast<std::size_t>(head)],
                     .inputs = nope_rows_.data() + at(head, rows),
                     .rows = rows,
                     .output = queries_.data() + at(head, key_width_),
                     .output_stride = config_.heads * key_width_});
  }
  workers_.multiply(jobs_);
}

void ForwardPass::attend(int index) {
  page_rows_.clear();
  first_page_.clear();
  for (const TokenRun& run : batch_) {
    first_page_.push_back(page_rows_.size());
    for (const PageId page : run.pages) page_rows_.push_back(pages_.layer(page, index));
  }
  const int heads = config_.heads;
  const int latent = config_.kv_lora_rank;
  workers_.for_each(static_cast<int>(plan_.parts.size()), [&](int item, int thread) {
    const AttentionPart& part = plan_.parts[static_cast<std::size_t>(item)];
    const QueryBlock& block = plan_.blocks[static_cast<std::size_t>(part.block)];
    const int row = plan_.first_row[static_cast<std::size_t>(item)];
    kernels_.attend({.queries = queries_.data() + at(block.first_token * heads, key_width_),
                     .tokens = block.tokens,
                     .heads = heads,
                     .latent = latent,
                     .width = key_width_,
                     .key_format = pages_.format(),
                     .pages = page_rows_.data() + first_page_[static_cast<std::size_t>(block.run)],
                     .first_position = block.first_position,
                     .first_key = part.first_key,
                     .end_key = part.end_key,
                     .output = part_outputs_.data() + at(row, latent),
                     .maxima = part_maxima_.data() + row,
                     .sums = part_sums_.data() + row},
                    workers_.scratch(thread));
  });
  workers_.for_each(static_cast<int>(plan_.blocks.size()), [&](int item, int) {
    const QueryBlock& block = plan_.blocks[static_cast<std::size_t>(item)];
    const int first = plan_.first_row[static_cast<std::size_t>(block.first_part)];
    const int rows = block.tokens * heads;
    for (int row = 0; row < rows; ++row) {
      kernels_.merge_attention(part_outputs_.data() + at(first, latent),
                               part_maxima_.data() + first, part_sums_.data() + first, block.parts,
                               rows, row, latent,
                               latents_.data() + at(block.first_token * heads + row, latent));
    }
  });
}

/// Values are W_UV latent, so the weighted sum of values is W_UV times that of latents.
void ForwardPass::expand_values(const PackedLayer& layer) {
  const int rows = static_cast<int>(tokens_.size());
  jobs_.clear();
  for (int head = 0; head < config_.heads; ++head) {
    jobs_.push_back({.weights = layer.value_up[static_cast<std::size_t>(head)],
                     .inputs = latent_rows_.data() + at(head, rows),
                     .rows = rows,
                     .output = values_.data() + at(head, config_.v_head_dim),
                     .output_stride = config_.heads * config_.v_head_dim});
  }
  workers_.multiply(jobs_);
}

/// x += FFN(RMSNorm(x)): the dense FFN, or the shared experts and the weighted routed ones.
void ForwardPass::feed_forward(int index) {
  const PackedLayer& layer = model_.layers[static_cast<std::size_t>(index)];
  normalize(x_, layer.ffn_norm, normed_);
  const bool is_moe = config_.is_moe_layer(index);
  if (is_moe) choose_experts(layer);
  run_experts(layer);
  if (is_moe) add_expert_outputs();
}

void ForwardPass::choose_experts(const PackedLayer& layer) {
  const int rows = static_cast<int>(tokens_.size());
  const cpu::LinearJob job{.weights = layer.router,
                           .inputs = normed_rows_.data(),
                           .rows = rows,
                           .output = router_.data(),
                           .output_stride = config_.routed_experts};
  workers_.multiply({&job, 1});
  expert_lists_.start(rows, config_.experts_per_token);
  workers_.for_each_row(rows, [&](int row) {
    const auto experts = static_cast<std::size_t>(config_.routed_experts);
    cpu::choose_experts(
        routing_, std::span(router_).subspan(static_cast<std::size_t>(row) * experts, experts),
        expert_lists_.choices(row));
  });
  expert_lists_.group(config_.routed_experts);
  slot_rows_.resize(static_cast<std::size_t>(expert_lists_.slots()));
  for (int slot = 0; slot < expert_lists_.slots(); ++slot) {
    slot_rows_[static_cast<std::size_t>(slot)] =
        normed_rows_[static_cast<std::size_t>(expert_lists_.token_of(slot))];
  }
}

void ForwardPass::run_experts(const PackedLayer& layer) {
  mlps_.clear();
  std::size_t activations = 0;
  std::size_t rows = 0;
  const auto add = [&](const PackedMlp& weights, MlpJob job) {
    job.weights = &weights;
    job.gate = gate_.data() + activations;
    job.up = up_.data() + activations;
    job.activations = activation_rows_.data() + rows;
    activations += at(job.rows, weights.gate.outputs);
    rows += static_cast<std::size_t>(job.rows);
    mlps_.push_back(job);
  };
  if (layer.always.gate.outputs > 0) {
    add(layer.always, {.inputs = normed_rows_.data(),
                       .rows = static_cast<int>(tokens_.size()),
                       .output = x_.data(),
                       .accumulate = true});
  }
  if (!layer.experts.empty()) {
    for (const ExpertLists::List& list : expert_lists_.lists()) {
      add(layer.experts[static_cast<std::size_t>(list.expert)],
          {.inputs = slot_rows_.data() + list.first_slot,
           .rows = list.slots,
           .output = expert_out_.data() + at(list.first_slot, config_.hidden)});
    }
  }
  workers_.run_mlps(mlps_);
}

void ForwardPass::add_expert_outputs() {
  workers_.for_each_row(static_cast<int>(tokens_.size()), [&](int row) {
    const std::span<const int> slots = expert_lists_.slots_of(row);
    const std::span<const cpu::ChosenExpert> choices = expert_lists_.choices(row);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      kernels_.add_scaled(expert_out_.data() + at(slots[i], config_.hidden), choices[i].weight,
                          config_.hidden, x_.data() + at(row, config_.hidden));
    }
  });
}

void ForwardPass::embed() {
  workers_.for_each_row(static_cast<int>(tokens_.size()), [&](int row) {
    const Token& token = tokens_[static_cast<std::size_t>(row)];
    const auto hidden = static_cast<std::size_t>(config_.hidden);
    cpu::unpack_output(model_.embedding, token.id,
                       std::span(x_).subspan(static_cast<std::size_t>(row) * hidden, hidden));
    cpu::rope_angles(token.position, inverse_frequencies_, config_.rope_multiplier(),
                     cosines_.data() + at(row, config_.qk_rope_head_dim / 2),
                     sines_.data() + at(row, config_.qk_rope_head_dim / 2));
  });
}

void ForwardPass::normalize(const Floats& from, const std::vector<float>& weight, Floats& to) {
  const int width = static_cast<int>(weight.size());
  workers_.for_each_row(static_cast<int>(tokens_.size()), [&](int row) {
    kernels_.rms_norm(from.data() + at(row, width), weight.data(), width,
                      static_cast<float>(config_.rms_norm_eps), to.data() + at(row, width));
  });
}

/// Notes where every token and its key are, makes room for the activations and plans the attention.
void ForwardPass::start(std::span<const TokenRun> batch) {
  batch_ = batch;
  tokens_.clear();
  for (const TokenRun& run : batch) {
    int position = run.position;
    for (const TokenId id : run.tokens) {
      tokens_.push_back({.id = id,
                         .page = run.pages[static_cast<std::size_t>(position / kPageTokens)],
                         .slot = position % kPageTokens,
                         .position = position});
      ++position;
    }
  }
  plan_ = plan_attention(batch, config_.heads, workers_.threads());

  const int rows = static_cast<int>(tokens_.size());
  const int heads = config_.heads;
  const int slots = rows * config_.experts_per_token;
  const int always = std::max(config_.dense_intermediate, config_.shared_intermediate());
  grow(x_, at(rows, config_.hidden));
  grow(normed_, at(rows, config_.hidden));
  grow(cosines_, at(rows, config_.qk_rope_head_dim / 2));
  grow(sines_, at(rows, config_.qk_rope_head_dim / 2));
  grow(q_a_, at(rows, config_.q_lora_rank));
  grow(q_, at(rows, config_.q_width()));
  grow(kv_a_, at(rows, config_.kv_width()));
  grow(queries_, at(rows * heads, key_width_));
  grow(part_outputs_, at(plan_.rows, config_.kv_lora_rank));
  grow(part_maxima_, static_cast<std::size_t>(plan_.rows));
  grow(part_sums_, static_cast<std::size_t>(plan_.rows));
  grow(latents_, at(rows * heads, config_.kv_lora_rank));
  grow(values_, at(rows * heads, config_.v_head_dim));
  grow(router_, at(rows, config_.routed_experts));
  grow(gate_, at(rows, always) + at(slots, config_.moe_intermediate));
  grow(up_, gate_.size());
  grow(expert_out_, at(slots, config_.hidden));
  activation_rows_.resize(static_cast<std::size_t>(rows + slots));
  set_rows(normed_rows_, normed_, rows, config_.hidden);
  set_rows(q_a_rows_, q_a_, rows, config_.q_lora_rank);
  set_rows(value_rows_, values_, rows, heads * config_.v_head_dim);
  set_head_rows(nope_rows_, q_, rows, heads, config_.q_head_dim());
  set_head_rows(latent_rows_, latents_, rows, heads, config_.kv_lora_rank);
}

}  // namespace caretd::engine

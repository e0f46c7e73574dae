// The forward pass of a DeepSeek-V2 model on the CPU (arXiv 2405.04434, section 2), in float32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/cpu/attention_plan.h"
#include "engine/cpu/expert_lists.h"
#include "engine/cpu/kv_pages.h"
#include "engine/cpu/output_head.h"
#include "engine/cpu/packed_model.h"
#include "engine/cpu/work.h"
#include "engine/runner.h"
#include "kernels/cpu/router.h"

namespace caretd::engine {

/// Floats of scratch that the pass needs for each thread.
[[nodiscard]] std::size_t forward_scratch(const ModelConfig& config);

/// Owns the activations, which grow with the largest batch seen. Everything it refers to must
/// outlive it.
class ForwardPass {
 public:
  ForwardPass(const ModelConfig& config, const PackedModel& model, const KvPages& pages,
              Workers& workers, int real_vocab);

  /// Runs a valid batch; see Runner::forward. Fails when the model computes values that are not
  /// finite. The rows are valid until the next call.
  [[nodiscard]] Result<std::span<const OutputRow>> run(std::span<const TokenRun> batch);

 private:
  struct Token {
    TokenId id = 0;
    PageId page = 0;  ///< where its key goes,
    int slot = 0;     ///<   and the row there
    int position = 0;
  };

  void start(std::span<const TokenRun> batch);
  void embed();
  void attention(int layer);
  void project_queries_and_keys(const PackedLayer& layer);
  void store_keys_and_rotate(int layer);
  void absorb_queries(const PackedLayer& layer);
  void attend(int layer);
  void expand_values(const PackedLayer& layer);
  void feed_forward(int layer);
  void choose_experts(const PackedLayer& layer);
  void run_experts(const PackedLayer& layer);
  void add_expert_outputs();

  void normalize(const Floats& from, const std::vector<float>& weight, Floats& to);
  [[nodiscard]] std::size_t at(int row, int width) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
  }

  const ModelConfig& config_;
  const PackedModel& model_;
  const KvPages& pages_;
  Workers& workers_;
  const kernels::cpu::Kernels& kernels_;
  const int key_width_;  ///< of a key in the pages, and of a query
  const std::vector<double> inverse_frequencies_;
  const kernels::cpu::Routing routing_;
  OutputHead head_;

  // The batch. T tokens of all runs, in order.
  std::vector<Token> tokens_;
  std::span<const TokenRun> batch_;
  AttentionPlan plan_;
  ExpertLists expert_lists_;

  // Activations. H heads; the widths are those of ModelConfig.
  Floats x_;             ///< [T][hidden], the residual stream
  Floats normed_;        ///< [T][hidden]
  Floats cosines_;       ///< [T][qk_rope / 2]
  Floats sines_;         ///< [T][qk_rope / 2]
  Floats q_a_;           ///< [T][q_lora_rank]
  Floats q_;             ///< [T][H][qk_nope + qk_rope]
  Floats kv_a_;          ///< [T][kv_lora_rank + qk_rope]
  Floats queries_;       ///< [T][H][key_width_], absorbed and scaled; what fills up stays 0
  Floats part_outputs_;  ///< [plan_.rows][kv_lora_rank]
  Floats part_maxima_;   ///< [plan_.rows]
  Floats part_sums_;     ///< [plan_.rows]
  Floats latents_;       ///< [T][H][kv_lora_rank], the attention's output
  Floats values_;        ///< [T][H][v_head_dim]
  Floats router_;        ///< [T][routed_experts]
  Floats gate_;          ///< [rows of the MLPs][their intermediate sizes]
  Floats up_;            ///< as gate_
  Floats expert_out_;    ///< [slots][hidden]

  // Addresses of rows, for the kernels.
  std::vector<const float*> normed_rows_;
  std::vector<const float*> q_a_rows_;
  std::vector<const float*> nope_rows_;    ///< [H][T]
  std::vector<const float*> latent_rows_;  ///< [H][T]
  std::vector<const float*> value_rows_;
  std::vector<const float*> slot_rows_;
  std::vector<const float*> activation_rows_;
  std::vector<const std::byte*> page_rows_;  ///< every run's pages in the layer at work
  std::vector<std::size_t> first_page_;      ///< of every run in page_rows_
  std::vector<kernels::cpu::LinearJob> jobs_;
  std::vector<MlpJob> mlps_;
};

}  // namespace caretd::engine

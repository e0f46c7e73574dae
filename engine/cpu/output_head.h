// From the last hidden states to what forward() gives back: final norm, head, likeliest tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/cpu/memory.h"
#include "engine/cpu/packed_model.h"
#include "engine/cpu/work.h"
#include "engine/runner.h"

namespace caretd::engine {

/// Rows that ask for all logits get them from the head as the file has it. Rows that ask for
/// candidates first meet the rounded head (PackedModel::rounded_head), a fraction of the bytes;
/// then the logits of all tokens that come near the likeliest one are computed exactly. What stays
/// rounded is the tail of the distribution. Everything it refers to must outlive it.
class OutputHead {
 public:
  OutputHead(const ModelConfig& config, const PackedModel& model, Workers& workers, int real_vocab);

  /// `x` is the residual stream behind the last layer, [tokens of all runs][hidden]. Fails when a
  /// row is not finite. The rows are valid until the next call.
  [[nodiscard]] Result<std::span<const OutputRow>> run(std::span<const TokenRun> batch,
                                                       const Floats& x);

 private:
  struct Row {
    int token = 0;  ///< index into all runs' tokens
    Output kind = Output::candidates;
    bool rounded = false;
  };

  void list_rows(std::span<const TokenRun> batch);
  void multiply(const Floats& x);
  void finish(int row, int thread);
  void make_exact(int row, std::span<float> logits, std::span<Candidate> best);
  [[nodiscard]] std::size_t at(int row, int width) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
  }
  [[nodiscard]] std::span<float> logits_of(int row) {
    return std::span(logits_).subspan(at(slots_[static_cast<std::size_t>(row)], real_vocab_),
                                      static_cast<std::size_t>(real_vocab_));
  }

  const ModelConfig& config_;
  const PackedModel& model_;
  Workers& workers_;
  const kernels::cpu::Kernels& kernels_;
  const int real_vocab_;

  std::vector<Row> rows_;
  /// Of every row, its place in what follows, where the rows of each matrix are neighbours.
  std::vector<int> slots_;
  Floats normed_;                          ///< [rows][hidden]
  std::vector<const float*> normed_rows_;  ///< [rows]
  Floats logits_;                          ///< [rows][real_vocab]
  std::vector<std::int32_t> indices_;      ///< [threads][real_vocab], while finding candidates
  std::vector<Candidate> candidates_;      ///< [rows][kCandidates]
  std::vector<OutputRow> output_rows_;     ///< in order of the batch
};

}  // namespace caretd::engine

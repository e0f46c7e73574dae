// Splits the attention of a batch into pieces of work. A pure function of the batch's shape.
#pragma once

#include <span>
#include <vector>

#include "engine/runner.h"

namespace caretd::engine {

/// Neighbouring tokens of one run, whose queries go through the keys together.
struct QueryBlock {
  int run = 0;
  int first_token = 0;  ///< row in the batch
  int tokens = 0;
  int first_position = 0;  ///< of its first token in the sequence
  int first_part = 0;      ///< index of its first part
  int parts = 0;
};

/// A block's attention over some of its keys; the parts of a block are merged afterwards.
struct AttentionPart {
  int block = 0;
  int first_key = 0;  ///< a multiple of kPageTokens
  int end_key = 0;
};

struct AttentionPlan {
  std::vector<QueryBlock> blocks;
  std::vector<AttentionPart> parts;
  int rows = 0;  ///< rows of partial results: for every part, its block's tokens times heads
  std::vector<int> first_row;  ///< of every part
};

/// The most rows (tokens times heads) of a block.
[[nodiscard]] int largest_query_block(int heads);

/// Keys are split only where blocks alone do not keep `threads` threads busy, that is when few
/// tokens meet a long context.
[[nodiscard]] AttentionPlan plan_attention(std::span<const TokenRun> batch, int heads, int threads);

}  // namespace caretd::engine

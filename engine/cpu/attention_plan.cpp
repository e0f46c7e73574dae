#include "engine/cpu/attention_plan.h"

#include <algorithm>
#include <cstddef>

namespace caretd::engine {

namespace {

// Rows of one block: enough to make up for transposing the keys, few enough for the block's
// queries, scores and outputs to stay in a core's second-level cache.
constexpr int kRowsPerBlock = 96;
constexpr int kPartsPerThread = 4;

int tokens_per_block(int heads) {
  return std::max(1, kRowsPerBlock / heads);
}

int divide_up(int a, int b) {
  return (a + b - 1) / b;
}

/// Blocks from the last token to the first: the longest ones start first.
std::vector<QueryBlock> make_blocks(std::span<const TokenRun> batch, int heads) {
  std::vector<QueryBlock> blocks;
  const int step = tokens_per_block(heads);
  int row = 0;
  for (int run = 0; run < static_cast<int>(batch.size()); ++run) {
    const TokenRun& tokens = batch[static_cast<std::size_t>(run)];
    const int count = static_cast<int>(tokens.tokens.size());
    for (int first = (count - 1) / step * step; first >= 0; first -= step) {
      blocks.push_back({.run = run,
                        .first_token = row + first,
                        .tokens = std::min(step, count - first),
                        .first_position = tokens.position + first});
    }
    row += count;
  }
  return blocks;
}

}  // namespace

int largest_query_block(int heads) {
  return tokens_per_block(heads) * heads;
}

AttentionPlan plan_attention(std::span<const TokenRun> batch, int heads, int threads) {
  AttentionPlan plan;
  plan.blocks = make_blocks(batch, heads);
  const int blocks = static_cast<int>(plan.blocks.size());
  const int wanted_parts = threads == 1 ? 1 : divide_up(threads * kPartsPerThread, blocks);
  for (int index = 0; index < blocks; ++index) {
    QueryBlock& block = plan.blocks[static_cast<std::size_t>(index)];
    const int keys = block.first_position + block.tokens;
    const int pages = divide_up(keys, kPageTokens);
    const int keys_per_part = divide_up(pages, std::min(pages, wanted_parts)) * kPageTokens;
    block.first_part = static_cast<int>(plan.parts.size());
    for (int key = 0; key < keys; key += keys_per_part) {
      plan.parts.push_back({index, key, std::min(key + keys_per_part, keys)});
      plan.first_row.push_back(plan.rows);
      plan.rows += block.tokens * heads;
      ++block.parts;
    }
  }
  return plan;
}

}  // namespace caretd::engine

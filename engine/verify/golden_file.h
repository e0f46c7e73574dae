// Golden cases: what an independent implementation computed for a model, as JSON.
//
// {"source": "...", "cases": [{"name", "prompt", "input_ids", "nll", "last_top10_ids",
//  "last_top10_logits", "greedy_ids", "greedy_margins"}, ...]}; see docs/models.md.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

struct GoldenCase {
  std::string name;
  std::string prompt;                 ///< control tokens as their text
  std::vector<TokenId> input_ids;     ///< at least one
  std::vector<float> nll;             ///< of input_ids[i + 1] given those before; one fewer
  std::vector<TokenId> top_ids;       ///< likeliest tokens after the prompt, descending
  std::vector<float> top_logits;      ///< as many
  std::vector<TokenId> greedy_ids;    ///< greedy continuation
  std::vector<float> greedy_margins;  ///< best minus second-best logit of each of them
};

struct GoldenFile {
  std::string source;
  std::vector<GoldenCase> cases;
};

/// Reads and checks a file; the Error names file, case and field. The file is untrusted.
[[nodiscard]] Result<GoldenFile> read_golden_file(const std::filesystem::path& file);
[[nodiscard]] Result<GoldenFile> parse_golden_file(const std::string& json,
                                                   const std::string& file_name);

}  // namespace caretd::engine

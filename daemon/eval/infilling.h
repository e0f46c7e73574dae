// `caretd eval infilling`: how often a model fills a hole right, for three ways of asking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "lsp/context/prompt_parts.h"
#include "support/result.h"

namespace caretd::daemon {

/// One hole: what is in front of it, what is behind it, what was in it.
struct InfillingCase {
  std::string id;
  std::string path;  ///< relative, for the prompt's header; empty leaves it out
  std::string prefix;
  std::string suffix;
  std::string expected;
};

/// Reads cases of HumanEval-Infilling's form (Bavarian et al., arXiv 2207.14255): JSON lines with
/// task_id, prompt, suffix and canonical_solution; plain or compressed with gzip. The Error names
/// file, line and field.
[[nodiscard]] Result<std::vector<InfillingCase>> read_infilling_file(
    const std::filesystem::path& file);

/// `count` holes in a source file, each from a random place of a line that is not blank to the
/// line's end. The same seed gives the same holes. Fewer if the file has fewer lines.
[[nodiscard]] std::vector<InfillingCase> random_holes(std::string_view path,
                                                      std::string_view source, std::size_t count,
                                                      std::uint64_t seed);

/// How the model is asked.
enum class PromptForm : std::uint8_t {
  plain,    ///< begin prefix hole suffix end, the prefix ending at the hole
  healed,   ///< the same, the last token of the prefix given back to the model
  anchored  ///< the prefix ends at a line start, what is left of the line is forced, and healed
};
[[nodiscard]] std::string_view to_string(PromptForm form);

struct InfillingOptions {
  std::vector<PromptForm> forms = {PromptForm::plain, PromptForm::healed, PromptForm::anchored};
  int prompt_tokens = 1024;
  int max_tokens = 128;
};

/// Where a hole begins, for figures of their own.
enum class HolePlace : std::uint8_t { inside_word, after_text, line_start };
[[nodiscard]] std::string_view to_string(HolePlace place);
[[nodiscard]] HolePlace place_of(const InfillingCase& hole);

struct Score {
  int cases = 0;
  int exact = 0;
  double right_prefix = 0;  ///< sum over the cases

  [[nodiscard]] double exact_share() const { return cases > 0 ? exact / double(cases) : 0; }
  [[nodiscard]] double right_prefix_share() const {
    return cases > 0 ? right_prefix / double(cases) : 0;
  }
};

struct FormReport {
  PromptForm form = PromptForm::plain;
  Score all;
  std::map<HolePlace, Score> by_place;
};

/// The prompt of a hole in a form. `replace_end` plays no part here.
[[nodiscard]] lsp::CompletionPrompt infilling_prompt(const InfillingCase& hole, PromptForm form,
                                                     const InfillingOptions& options,
                                                     const engine::ModelInfo& model,
                                                     const engine::Tokenizer& tokenizer);

/// Whether the output is what was expected, and how much of it is right before the first wrong
/// byte. Output beyond the expected number of lines is not looked at, nor is white space at the
/// end.
struct Verdict {
  bool exact = false;
  double right_prefix = 0;
};
[[nodiscard]] Verdict judge(std::string_view output, std::string_view expected);

/// Asks the engine (greedy), one case after another. `progress` is told the share that is done.
[[nodiscard]] Result<std::vector<FormReport>> run_infilling(
    engine::Engine& engine, const std::vector<InfillingCase>& cases,
    const InfillingOptions& options, const std::function<void(double)>& progress);

}  // namespace caretd::daemon

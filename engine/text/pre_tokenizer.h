// Cuts text into the pieces that byte-pair encoding works on, by the steps that tokenizer.json
// lists.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/pattern.h"
#include "engine/text/tokenizer_file.h"
#include "support/result.h"

namespace caretd::engine {

/// Pieces in order; together they are the whole text (with the prefix spaces the file asks for).
struct PreTokenized {
  std::string_view text;  ///< what the pieces index: the input, or `with_prefix_spaces`
  std::vector<Span> pieces;
  std::string with_prefix_spaces;
};

/// Immutable after creation; thread-safe.
class PreTokenizer {
 public:
  [[nodiscard]] static Result<PreTokenizer> create(std::span<const PreTokenizerStep> steps);

  /// Cuts well-formed UTF-8. `out` is overwritten; its memory is reused.
  void split(std::string_view text, PreTokenized& out) const;

  /// True if every "\n" is a piece of its own before anything else happens, so that cutting a
  /// text after newlines does not change the pieces.
  [[nodiscard]] bool isolates_newlines() const { return isolates_newlines_; }

 private:
  struct Step {
    std::unique_ptr<Pattern> pattern;
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false;
  };
  PreTokenizer() = default;

  std::vector<Step> steps_;
  bool add_prefix_space_ = false;
  std::size_t steps_before_prefix_space_ = 0;
  bool isolates_newlines_ = false;
};

}  // namespace caretd::engine

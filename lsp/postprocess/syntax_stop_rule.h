// Ends a completion with the statement, or with the block it opened, by incremental syntax state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/context/completion_site.h"
#include "lsp/postprocess/stop_rule.h"
#include "lsp/syntax/growing_source.h"

namespace caretd::lsp {

struct StopLimits {
  int lines = 24;      ///< of a statement or block, the hole's own included
  int same_lines = 3;  ///< so many equal lines one after another are a loop
};

/// Decides, each time a line, a bracket, a semicolon or a line's first word is complete, whether
/// the completion is. Other tokens cost a look at their characters. Reasons: "line", "statement",
/// "block", "closer" (one that nothing in the completion opened), "suffix" (what follows the
/// hole is reached), "literal", "repetition", "lines".
class SyntaxStopRule final : public StopRule {
 public:
  explicit SyntaxStopRule(CompletionSite site, StopLimits limits = {});

  [[nodiscard]] std::optional<std::size_t> end_of_completion(std::string_view text) override;
  [[nodiscard]] std::string_view reason() const override { return reason_; }

 private:
  [[nodiscard]] bool worth_a_look(std::string_view text) const;
  [[nodiscard]] std::optional<std::size_t> stop_by_text(std::string_view text);
  [[nodiscard]] bool next_line_follows(std::string_view text, std::size_t begin) const;
  [[nodiscard]] std::optional<std::size_t> stop_at_rest(std::string_view text);
  [[nodiscard]] std::optional<std::size_t> stop_at_repetition(std::string_view text);
  [[nodiscard]] std::optional<std::size_t> stop_in_literal(std::string_view text);
  [[nodiscard]] std::optional<std::size_t> stop_by_syntax(std::string_view text);
  [[nodiscard]] bool is_in_literal(std::string_view text) const;
  std::optional<std::size_t> stop(std::size_t keep, std::string_view reason);

  const CompletionSite site_;
  const StopLimits limits_;
  GrowingSource source_;
  std::size_t seen_ = 0;  // bytes of the output looked at
  std::string_view reason_;
};

}  // namespace caretd::lsp

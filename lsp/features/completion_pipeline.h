// What turns a place in a document into a prompt, and generated tokens into text: the part of a
// completion that knows code. The orchestrator (completion_service.h) knows requests and time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lsp/context/prompt_parts.h"
#include "lsp/postprocess/stop_rule.h"
#include "lsp/settings.h"

namespace caretd::lsp {

/// What the prompt is built for.
struct PromptModel {
  std::shared_ptr<const engine::ModelInfo> info;
  std::shared_ptr<const engine::Tokenizer> tokenizer;
};

/// A completion as it is inserted: replaces the document's bytes [query.after, end).
struct FinishedText {
  std::string text;
  std::size_t end = 0;
};

/// prompt(), stop_rule() and finish() run on the worker pool and may run at the same time for
/// different documents; the didXxx calls come from the session's strand.
class CompletionPipeline {
 public:
  virtual ~CompletionPipeline() = default;

  [[nodiscard]] virtual CompletionPrompt prompt(const PromptQuery& query,
                                                const PromptBudget& budget,
                                                const PromptModel& model) = 0;
  [[nodiscard]] virtual std::unique_ptr<StopRule> stop_rule(const PromptQuery& query,
                                                            const CompletionPrompt& prompt,
                                                            const Settings& settings) = 0;
  /// Nothing when the text is not worth showing.
  [[nodiscard]] virtual std::optional<FinishedText> finish(const PromptQuery& query,
                                                           const CompletionPrompt& prompt,
                                                           std::string text) = 0;

  /// Whether the query's place is inside a comment.
  [[nodiscard]] virtual bool in_comment(const PromptQuery&) { return false; }

  virtual void did_change(const DocumentSnapshot&) {}
  virtual void did_close(const DocumentSnapshot&) {}
};

/// Prefix and suffix cut to the budget, and no knowledge of syntax.
class PlainPipeline final : public CompletionPipeline {
 public:
  static constexpr int kMaxLines = 8;

  [[nodiscard]] CompletionPrompt prompt(const PromptQuery& query, const PromptBudget& budget,
                                        const PromptModel& model) override;
  [[nodiscard]] std::unique_ptr<StopRule> stop_rule(const PromptQuery& query,
                                                    const CompletionPrompt& prompt,
                                                    const Settings& settings) override;
  [[nodiscard]] std::optional<FinishedText> finish(const PromptQuery& query,
                                                   const CompletionPrompt& prompt,
                                                   std::string text) override;
};

}  // namespace caretd::lsp

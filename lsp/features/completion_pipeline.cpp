#include "lsp/features/completion_pipeline.h"

#include <utility>

#include "lsp/context/plain_prompt.h"
#include "lsp/postprocess/overlap.h"

namespace caretd::lsp {

CompletionPrompt PlainPipeline::prompt(const PromptQuery& query, const PromptBudget& budget,
                                       const PromptModel& model) {
  return build_plain_prompt(query, budget, *model.tokenizer, model.info->fill_in_the_middle);
}

std::unique_ptr<StopRule> PlainPipeline::stop_rule(const PromptQuery& query,
                                                   const CompletionPrompt&,
                                                   const Settings& settings) {
  return std::make_unique<LineStopRule>(query, settings.multiline ? kMaxLines : 1);
}

std::optional<FinishedText> PlainPipeline::finish(const PromptQuery& query,
                                                  const CompletionPrompt& prompt,
                                                  std::string text) {
  const std::string_view behind = query.document->text.view().substr(prompt.replace_end);
  std::string kept = without_overlap(std::move(text), behind);
  if (kept.find_first_not_of(" \t\r\n") == std::string::npos) return std::nullopt;
  return FinishedText{std::move(kept), prompt.replace_end};
}

}  // namespace caretd::lsp

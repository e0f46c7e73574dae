#include "lsp/features/completion_pipeline.h"

#include <utility>

#include "lsp/context/plain_prompt.h"
#include "lsp/postprocess/overlap.h"

namespace caretd::lsp {
namespace {

std::optional<FinishedText> finish(const PromptQuery& query, std::string text) {
  const std::string_view behind = query.document->text.view().substr(query.after);
  std::string kept = without_overlap(std::move(text), behind);
  kept.resize(kept.find_last_not_of(" \t\r\n") + 1);
  if (kept.empty()) return std::nullopt;
  return FinishedText{std::move(kept), query.after};
}

}  // namespace

CompletionPlan PlainPipeline::plan(const PlanRequest& request) {
  const PromptQuery& query = request.query;
  CompletionPlan plan;
  if (!request.model.tokenizer) {
    plan.refusal = "tokenizer";
    return plan;
  }
  plan.prompt = build_plain_prompt(query, request.budget, *request.model.tokenizer,
                                   request.model.info->fill_in_the_middle);
  plan.stop_rule =
      std::make_unique<LineStopRule>(query, request.settings.multiline ? kMaxLines : 1);
  plan.finish = [query](std::string text) { return finish(query, std::move(text)); };
  return plan;
}

}  // namespace caretd::lsp

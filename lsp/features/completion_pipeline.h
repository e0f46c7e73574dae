// What turns a place in a document into a prompt, and generated tokens into text: the part of a
// completion that knows code. The orchestrator (completion_service.h) knows requests and time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lsp/context/prompt_parts.h"
#include "lsp/postprocess/stop_rule.h"
#include "lsp/settings.h"

namespace caretd::lsp {

/// What the prompt is built for.
struct PromptModel {
  std::shared_ptr<const engine::ModelInfo> info;
  std::shared_ptr<const engine::Tokenizer> tokenizer;  ///< null for some remote engines
};

/// What a generation is for.
enum class PlanPurpose : std::uint8_t {
  keystroke,     ///< somebody waits for it
  continuation,  ///< what follows a shown suggestion, should it be accepted
  rest,          ///< KV alone: the cursor rests, the prompt may be anchored closer to it
  focus          ///< KV alone: the document came into view
};

struct PlanRequest {
  PromptQuery query;
  PlanPurpose purpose = PlanPurpose::keystroke;
  bool invoked = false;  ///< the user asked; else the editor did
  /// The text up to the hole was suggested and accepted, or is taken as accepted.
  bool follows_acceptance = false;
  PromptBudget budget;
  PromptModel model;
  Settings settings;
};

/// A completion as it is inserted: replaces the document's bytes [query.after, end).
struct FinishedText {
  std::string text;
  std::size_t end = 0;
};

struct CompletionPlan {
  CompletionPrompt prompt;
  std::unique_ptr<StopRule> stop_rule;
  /// Nothing when the text is not worth showing. Usable on any thread, once.
  std::function<std::optional<FinishedText>(std::string text)> finish;
  /// Not empty: nothing may be asked here, and why in a word ("comment", "ignored", "secret",
  /// "word"). The rest is empty then.
  std::string refusal;
  /// The prompt's anchor is far from the cursor: a plan for `rest` pays.
  bool stale_anchor = false;
  /// Makes later prompts build on this one, once its KV is there; may be empty.
  std::function<void()> commit;
};

/// plan() and prepare() run on the worker pool, also at the same time; the didXxx calls come from
/// the session's strand.
class CompletionPipeline {
 public:
  virtual ~CompletionPipeline() = default;

  [[nodiscard]] virtual CompletionPlan plan(const PlanRequest& request) = 0;

  /// The document was opened: parse and encode it before somebody waits.
  virtual void prepare(const DocumentSnapshot&, const PromptModel&) {}
  virtual void did_change(const DocumentSnapshot&) {}
  virtual void did_close(const DocumentSnapshot&) {}
  virtual void did_save(const std::string& /*uri*/) {}
  /// URIs of the workspace's folders, once they are known.
  virtual void set_workspace(const std::vector<std::string>&) {}
};

}  // namespace caretd::lsp

// A pipeline whose completions end at the token budget alone: what gate and stops are compared
// with.
#pragma once

#include <memory>

#include "lsp/features/completion_pipeline.h"

namespace caretd::daemon::replay {

/// Passes everything on but the stop rule. `tidy` false: the text is offered as it was generated,
/// whatever it is (random weights).
[[nodiscard]] std::shared_ptr<lsp::CompletionPipeline> make_unstopped(
    std::shared_ptr<lsp::CompletionPipeline> pipeline, bool tidy);

}  // namespace caretd::daemon::replay

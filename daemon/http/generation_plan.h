// From the fields of a request to the generations that answer it. Pure; any thread.
#pragma once

#include <vector>

#include "daemon/http/api_error.h"
#include "daemon/http/engine_choice.h"
#include "daemon/http/generation_job.h"
#include "daemon/http/requests.h"

namespace caretd::daemon::api {

/// `n` choices for each prompt, in the order of the prompts. Session and seed of their requests are
/// for whoever runs them to set.
struct GenerationPlan {
  std::vector<PlannedChoice> choices;
  JobOptions options;
};

[[nodiscard]] Parsed<GenerationPlan> plan_completion(const CompletionFields& fields,
                                                     const ReadyEngine& engine);
[[nodiscard]] Parsed<GenerationPlan> plan_chat(const ChatFields& fields, const ReadyEngine& engine);
[[nodiscard]] Parsed<GenerationPlan> plan_infill(const InfillFields& fields,
                                                 const ReadyEngine& engine);

}  // namespace caretd::daemon::api

#include "daemon/http/generation_plan.h"

#include <string>
#include <utility>
#include <variant>

#include "daemon/http/prompts.h"

namespace caretd::daemon::api {

namespace {

using engine::Priority;
using Ids = std::vector<engine::TokenId>;

/// Of a reply that nobody bounds, where the model is elsewhere and its context full of others.
constexpr int kDefaultRemoteTokens = 1024;

PromptTarget target_of(const ReadyEngine& engine) {
  return {engine.tokenizer.get(), *engine.model};
}

/// A server tells log-probabilities of chunks, not of tokens.
std::optional<ApiError> refuse_logprobs(const ReadyEngine& engine) {
  if (engine.model->local) return std::nullopt;
  return unsupported_field("logprobs",
                           "Log-probabilities need a model in this process; leave logprobs out.");
}

/// A request that generates nothing warms the cache, behind everybody else.
Priority priority_of(const CommonFields& fields, Priority usual) {
  return fields.max_tokens == 0 ? Priority::background : usual;
}

void add_choices(GenerationPlan& plan, BuiltPrompt prompt, const CommonFields& fields,
                 Priority priority, int default_tokens) {
  PlannedChoice choice;
  choice.request.prompt = std::move(prompt.parts);
  choice.request.forced_prefix = std::move(prompt.forced_prefix);
  choice.request.sampling = fields.sampling;
  choice.request.max_tokens = fields.max_tokens.value_or(default_tokens);
  choice.request.stop = fields.stop;
  choice.request.stop_at_end_of_sentence = !fields.ignore_eos;
  choice.request.priority = priority;
  choice.truncated = prompt.truncated;
  plan.choices.insert(plan.choices.end(), static_cast<std::size_t>(fields.n), choice);
}

/// The prompt in front of the reply, with `logprobs` its tokens, too.
void echo_prompt(PlannedChoice& choice, bool logprobs, const engine::Tokenizer* tokenizer) {
  const engine::PromptPart& prompt = choice.request.prompt.front();
  if (const auto* text = std::get_if<std::string>(&prompt)) choice.echo = *text;
  const auto* ids = std::get_if<Ids>(&prompt);
  if (ids == nullptr || tokenizer == nullptr) return;
  choice.echo = tokenizer->decode(*ids);
  if (!logprobs) return;
  choice.request.prompt_logprobs = true;
  choice.echo_tokens = *ids;
}

}  // namespace

Parsed<GenerationPlan> plan_completion(const CompletionFields& fields, const ReadyEngine& engine) {
  if (fields.logprobs) {
    if (auto refusal = refuse_logprobs(engine)) return tl::unexpected(*std::move(refusal));
  }
  GenerationPlan plan;
  plan.options = {fields.common.stream, fields.logprobs.has_value(), {}};
  for (const RawPrompt& prompt : fields.prompts) {
    auto built = completion_prompt(fields, prompt, target_of(engine));
    if (!built) return tl::unexpected(std::move(built.error()));
    add_choices(plan, *std::move(built), fields.common, Priority::chat, kDefaultCompletionTokens);
  }
  for (PlannedChoice& choice : plan.choices) {
    choice.request.top_logprobs = fields.logprobs.value_or(0);
    if (fields.echo) echo_prompt(choice, fields.logprobs.has_value(), engine.tokenizer.get());
  }
  return plan;
}

Parsed<GenerationPlan> plan_chat(const ChatFields& fields, const ReadyEngine& engine) {
  if (fields.logprobs) {
    if (auto refusal = refuse_logprobs(engine)) return tl::unexpected(*std::move(refusal));
  }
  auto prompt = conversation_prompt(fields, target_of(engine));
  if (!prompt) return tl::unexpected(std::move(prompt.error()));
  GenerationPlan plan;
  plan.options = {fields.common.stream, fields.logprobs, {}};
  const int longest = engine.model->local ? engine.model->context_tokens : kDefaultRemoteTokens;
  add_choices(plan, *std::move(prompt), fields.common, priority_of(fields.common, Priority::chat),
              longest);
  for (PlannedChoice& choice : plan.choices) {
    choice.request.top_logprobs = fields.logprobs ? fields.top_logprobs : 0;
  }
  return plan;
}

Parsed<GenerationPlan> plan_infill(const InfillFields& fields, const ReadyEngine& engine) {
  auto prompt = infill_prompt(fields, target_of(engine));
  if (!prompt) return tl::unexpected(std::move(prompt.error()));
  GenerationPlan plan;
  plan.options = {fields.common.stream, false, fields.time_limit};
  add_choices(plan, *std::move(prompt), fields.common,
              priority_of(fields.common, Priority::keystroke), fields.answer_tokens());
  return plan;
}

}  // namespace caretd::daemon::api

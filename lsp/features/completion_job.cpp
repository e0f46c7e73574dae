#include "lsp/features/completion_job.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace caretd::lsp {
namespace {

engine::GenerationRequest to_generation(const CompletionJob& job, const Clock& clock) {
  const Settings& settings = job.request.settings;
  const bool awaited = job.request.purpose == PlanPurpose::keystroke;
  engine::GenerationRequest request;
  request.prompt = job.plan.prompt.prompt;
  request.forced_prefix = job.plan.prompt.forced_prefix;
  if (job.fork) {
    request.prompt.emplace_back(job.fork->tokens);
    request.forced_prefix.clear();
  }
  request.max_tokens = is_warm_up(job.request.purpose) ? 0 : settings.max_tokens;
  if (awaited) request.deadline = clock.now() + settings.time_budget;
  request.top_logprobs = job.request.invoked ? 2 : 0;
  request.priority = awaited ? engine::Priority::keystroke : engine::Priority::background;
  request.session = job.session;
  request.owner = job.request.query.document->id;
  request.cancel = job.run->cancel_token();
  return request;
}

void end_unsubmitted(const CompletionJob& job, std::optional<Error> error) {
  engine::Generation nothing;
  nothing.reason = error ? engine::FinishReason::failed : engine::FinishReason::cancelled;
  nothing.error = std::move(error);
  job.run->on_finish(nothing);
}

void plan_and_submit(CompletionJob& job, CompletionPipeline& pipeline, engine::Engine& engine,
                     const Clock& clock) {
  // Typing fast, a request is often superseded before a worker gets to it.
  if (job.run->cancel_token().stop_requested()) return end_unsubmitted(job, std::nullopt);
  const TimePoint begin = clock.now();
  job.plan = pipeline.plan(job.request);
  job.trace->context = clock.now() - begin;
  job.trace->pieces = job.plan.prompt.pieces;
  job.trace->forced_prefix = job.plan.prompt.forced_prefix;
  if (!job.plan.refusal.empty()) return end_unsubmitted(job, std::nullopt);

  const bool healing = !job.plan.prompt.forced_prefix.empty();
  job.run->prepare(std::move(job.plan.stop_rule), healing, job.fork ? job.fork->text : "");
  engine.submit(to_generation(job, clock), job.run);
}

void tidy(CompletionJob& job, const RunResult& result) {
  if (!result.complete) return;
  if (is_warm_up(job.request.purpose)) {
    if (job.plan.commit) job.plan.commit();
  } else if (job.plan.finish) {
    job.text = job.plan.finish(result.text);
  }
}

}  // namespace

bool is_warm_up(PlanPurpose purpose) {
  return purpose == PlanPurpose::rest || purpose == PlanPurpose::focus;
}

// An exception on a worker would end the process; here it costs the job instead.
void launch(const std::shared_ptr<CompletionJob>& job, const JobEnvironment& environment,
            std::function<void(const RunResult&)> finished) {
  RunOptions options;
  const PlanRequest& request = job->request;
  options.min_probability =
      request.settings.gate.threshold(request.query.document->language_id, !request.invoked);

  const auto on_result = [job, finished = std::move(finished),
                          &workers = environment.workers](RunResult result) {
    workers.post([job, finished, result = std::move(result)] {
      try {
        tidy(*job, result);
      } catch (const std::exception&) {
        job->text.reset();
      }
      finished(result);
    });
  };
  job->run =
      std::make_shared<CompletionRun>(job->request.query, options, environment.clock, on_result);
  environment.workers.post([job, pipeline = environment.pipeline, engine = environment.engine,
                            &clock = environment.clock] {
    try {
      plan_and_submit(*job, *pipeline, *engine, clock);
    } catch (const std::exception& exception) {
      end_unsubmitted(*job, Error{ErrorKind::internal, exception.what()});
    }
  });
}

std::vector<Fork> choose_forks(const CompletionJob& job, const RunResult& result,
                               const engine::Tokenizer& tokenizer, std::size_t limit) {
  const bool healed = !job.plan.prompt.forced_prefix.empty();
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < result.tokens.size(); ++i) {
    const GeneratedToken& token = result.tokens[i];
    // What was typed is not open to choice, and what was cut is not shown.
    if ((healed && token.text_begin == 0) || token.text_begin >= result.text.size()) continue;
    if (token.runner_up && !tokenizer.is_special(*token.runner_up)) places.push_back(i);
  }
  std::ranges::stable_sort(places, {}, [&](std::size_t i) { return result.tokens[i].margin; });
  if (places.size() > limit) places.resize(limit);

  std::vector<Fork> forks;
  for (const std::size_t place : places) {
    Fork fork;
    for (std::size_t i = 0; i < place; ++i) fork.tokens.push_back(result.tokens[i].id);
    const engine::TokenId other = *result.tokens[place].runner_up;
    fork.tokens.push_back(other);
    fork.text = result.text.substr(0, result.tokens[place].text_begin);
    fork.text += tokenizer.bytes(other);
    forks.push_back(std::move(fork));
  }
  return forks;
}

}  // namespace caretd::lsp

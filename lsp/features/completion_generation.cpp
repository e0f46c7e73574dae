// What CompletionService asks of the engine, and what it makes of the outcome.

#include <algorithm>
#include <utility>

#include "lsp/features/completion_service.h"

namespace caretd::lsp {
namespace {

// An automatic run was cut by the gate, so it is too short for an invoked request.
bool may_share(const PlanRequest& running, const CompletionRequest& next) {
  return running.invoked || !next.invoked;
}

}  // namespace

bool CompletionService::is_ready() const {
  return deps_.engine->status().state == engine::EngineState::ready;
}

CompletionService::JobPtr CompletionService::make_job(const PromptQuery& query, PlanPurpose purpose,
                                                      bool invoked) const {
  auto job = std::make_shared<Job>();
  PlanRequest& request = job->request;
  request.query = query;
  request.purpose = purpose;
  request.invoked = invoked;
  request.settings = settings_;
  request.model = {deps_.engine->model(), deps_.engine->tokenizer()};
  request.budget.tokens = settings_.prompt_tokens;
  if (request.model.info && request.model.info->context_tokens > 0) {
    const int room = request.model.info->context_tokens - settings_.max_tokens;
    request.budget.tokens = std::min(request.budget.tokens, room);
  }
  job->session = deps_.session;
  job->trace->document = query.document;
  job->trace->offset = query.before;
  return job;
}

void CompletionService::run(const JobPtr& job) {
  launch(job, {deps_.pipeline, deps_.engine, deps_.workers, deps_.clock},
         [weak = weak_from_this(), strand = deps_.strand, job](const RunResult& result) {
           strand->post([weak, job, result] {
             if (const auto self = weak.lock()) self->finished(job, result);
           });
         });
}

// A generation that is under way for an older place, or was begun ahead, may be what is asked for.
bool CompletionService::hand_over(DocumentState& state) {
  for (JobPtr* job : {&state.active, &state.ahead}) {
    if (!*job || is_warm_up((*job)->request.purpose) ||
        !may_share((*job)->request, state.waiting->request))
      continue;
    const auto typed = typed_since((*job)->request.query, state.waiting->request.query);
    if (!typed || !(*job)->run->take_over(*typed)) continue;
    if (job == &state.ahead) {
      if (state.active) state.active->run->cancel();
      state.active = std::exchange(state.ahead, nullptr);
    }
    return true;
  }
  return false;
}

void CompletionService::start(DocumentState& state) {
  cancel_jobs(state);
  const CompletionRequest& request = state.waiting->request;
  const JobPtr job = make_job(request.query, PlanPurpose::keystroke, request.invoked);
  if (!job->request.model.info) return answer(take_waiting(state), Outcome::answered);
  job->ticket = state.waiting->ticket;
  job->request.follows_acceptance = state.waiting->follows_acceptance;
  state.active = job;
  run(job);
}

void CompletionService::cancel_jobs(DocumentState& state) {
  for (JobPtr* job : {&state.active, &state.ahead}) {
    if (*job) (*job)->run->cancel();
    job->reset();
  }
}

void CompletionService::finished(const JobPtr& job, const RunResult& result) {
  const engine::Usage& usage = result.usage;
  deps_.statistics->count_tokens(usage.prompt_tokens, usage.cached_tokens, usage.computed_tokens,
                                 usage.generated_tokens);
  if (result.error && result.error->kind != ErrorKind::unavailable) {
    deps_.log->warn("a completion failed: {}", result.error->message);
    // The others concern this request alone, or are told by the engine's status.
    if (result.error->kind == ErrorKind::internal && deps_.tell) deps_.tell(result.error->message);
  }
  const auto found = documents_.find(job->request.query.document->id);
  if (found == documents_.end()) return;
  DocumentState& state = found->second;
  std::optional<Offer> offer = remember(state, job, result);
  if (job->fork) return alternative_finished(state, job, std::move(offer));
  if (state.ahead == job) {
    state.ahead.reset();
  } else if (state.active == job) {
    state.active.reset();
    if (job->plan.stale_anchor) state.stale = job->request.query;
    serve_waiting(state, job, result);
  }
  rest(state);
}

void CompletionService::rest(DocumentState& state) {
  if (!state.stale || state.waiting || state.active || state.ahead) return;
  start_ahead(state, *std::exchange(state.stale, std::nullopt), PlanPurpose::rest);
}

std::optional<Offer> CompletionService::remember(DocumentState& state, const JobPtr& job,
                                                 const RunResult& result) {
  CompletionTrace& trace = *job->trace;
  trace.text = result.text;
  trace.stop_reason = job->plan.refusal.empty() ? result.stop_reason : job->plan.refusal;
  trace.tokens = result.tokens;
  trace.usage = result.usage;
  const PlanRequest& request = job->request;
  if (request.purpose == PlanPurpose::keystroke && !job->fork) state.last_trace = job->trace;
  if (!job->text) return std::nullopt;

  const PromptQuery& query = request.query;
  const bool continues = request.purpose == PlanPurpose::continuation;
  Suggestion suggestion{(deps_.session << 32) | next_suggestion_++,
                        query.document,
                        query.before,
                        query.after,
                        job->text->end,
                        query.pending + job->text->text,
                        continues ? query.pending.size() : 0};
  state.traces[suggestion.id] = job->trace;
  std::optional<Offer> offer = continues ? std::nullopt : fit(suggestion, query);
  if (job->fork) {
    state.cache.add_last(std::move(suggestion));
  } else {
    state.cache.add(std::move(suggestion));
  }
  while (state.traces.size() > state.cache.size()) state.traces.erase(state.traces.begin());
  return offer;
}

void CompletionService::serve_waiting(DocumentState& state, const JobPtr& job,
                                      const RunResult& result) {
  if (!state.waiting) return;
  const auto offer = state.cache.find(state.waiting->request.query);
  const bool own = state.waiting->ticket == job->ticket;
  if (!offer && !own) return start(state);
  if (!offer) return answer(take_waiting(state), Outcome::answered);
  if (own && choose_alternatives(state, job, result, *offer)) return;
  answer_with(state, {*offer}, own ? AnswerSource::model : AnswerSource::taken_over);
}

bool CompletionService::choose_alternatives(DocumentState& state, const JobPtr& job,
                                            const RunResult& result, const Offer& first) {
  const auto tokenizer = job->request.model.tokenizer;
  if (!job->request.invoked || !tokenizer || settings_.alternatives <= 0) return false;
  const auto forks =
      choose_forks(*job, result, *tokenizer, static_cast<std::size_t>(settings_.alternatives));
  if (forks.empty()) return false;
  Choosing choosing{first, {}, {}};
  for (const Fork& fork : forks) {
    const JobPtr other = make_job(job->request.query, PlanPurpose::keystroke, true);
    other->ticket = job->ticket;
    other->request.follows_acceptance = job->request.follows_acceptance;
    other->fork = fork;
    choosing.jobs.push_back(other);
  }
  const std::vector<JobPtr> jobs = choosing.jobs;
  state.choosing = std::move(choosing);
  for (const JobPtr& other : jobs) run(other);
  return true;
}

void CompletionService::alternative_finished(DocumentState& state, const JobPtr& job,
                                             std::optional<Offer> offer) {
  if (!state.choosing || std::erase(state.choosing->jobs, job) == 0) return;
  Choosing& choosing = *state.choosing;
  const auto same = [&](const Offer& other) { return offer && other.text == offer->text; };
  if (offer && !same(choosing.first) && std::ranges::none_of(choosing.others, same)) {
    choosing.others.push_back(*std::move(offer));
  }
  if (!choosing.jobs.empty()) return;
  std::vector<Offer> offers = {choosing.first};
  offers.insert(offers.end(), choosing.others.begin(), choosing.others.end());
  answer_with(state, std::move(offers), AnswerSource::model);
}

// While the user reads: what follows the suggestion, should it be accepted.
void CompletionService::think_ahead(DocumentState& state, const PromptQuery& query,
                                    const Offer& offer) {
  if (state.continued == offer.suggestion || state.active) return;
  state.continued = offer.suggestion;
  start_ahead(state, {query.document, offer.begin, offer.text, offer.end},
              PlanPurpose::continuation);
}

void CompletionService::start_ahead(DocumentState& state, const PromptQuery& query,
                                    PlanPurpose purpose) {
  if (!settings_.think_ahead || !is_ready() || state.active) return;
  if (state.ahead) state.ahead->run->cancel();
  const JobPtr job = make_job(query, purpose, false);
  if (!job->request.model.info) return state.ahead.reset();
  job->request.follows_acceptance = purpose == PlanPurpose::continuation;
  state.ahead = job;
  run(job);
}

}  // namespace caretd::lsp

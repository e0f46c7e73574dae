#include "lsp/features/completion_service.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>

namespace caretd::lsp {
namespace {

constexpr std::size_t kRememberedTraces = 16;

// Only typing moves a document between two requests that one generation can serve.
bool may_share(const CompletionRequest& running, const CompletionRequest& next) {
  return running.invoked || !next.invoked;  // an automatic run was cut by the gate
}

}  // namespace

/// A generation on its way: strand, worker, engine, worker, strand. One of them at a time touches
/// what is not constant.
struct CompletionService::Job {
  std::uint64_t ticket = 0;
  CompletionRequest request;
  Settings settings;
  PromptModel model;
  PromptBudget budget;
  std::uint64_t session = 0;
  std::shared_ptr<CompletionRun> run;
  CompletionPrompt prompt;
  std::shared_ptr<CompletionTrace> trace = std::make_shared<CompletionTrace>();
  std::optional<FinishedText> text;
};

CompletionService::CompletionService(CompletionDependencies dependencies)
    : deps_(std::move(dependencies)), acceptance_(*deps_.statistics, deps_.clock) {}

CompletionService::~CompletionService() = default;

void CompletionService::complete(CompletionRequest request, std::stop_token cancelled, Done done) {
  deps_.statistics->count_request();
  const std::uint64_t document = request.query.document->id;
  DocumentState& state = documents_[document];
  supersede(state);
  Ask ask{next_ticket_++, std::move(request), deps_.clock.now(), std::move(done), nullptr};
  if (cancelled.stop_requested()) return answer(std::move(ask), Outcome::cancelled);

  if (const auto offer = state.cache.find(ask.request.query)) {
    if (state.active) state.active->run->abandon();
    return answer_with(state, std::move(ask), *offer, AnswerSource::cache);
  }
  const engine::EngineState engine_state = deps_.engine->status().state;
  if (engine_state == engine::EngineState::off || engine_state == engine::EngineState::failed) {
    return answer(std::move(ask), Outcome::answered);
  }
  ask.cancel_callback = on_cancel(cancelled, document, ask.ticket);
  state.waiting = std::move(ask);
  if (engine_state == engine::EngineState::ready && !hand_to_active(state)) start(state);
}

std::shared_ptr<void> CompletionService::on_cancel(const std::stop_token& token,
                                                   std::uint64_t document, std::uint64_t ticket) {
  const auto tell = [weak = weak_from_this(), strand = deps_.strand, document, ticket] {
    const std::shared_ptr<Executor> alive = strand;  // the callback may be destroyed by its task
    alive->post([weak, document, ticket] {
      if (const auto self = weak.lock()) self->cancel(document, ticket);
    });
  };
  return std::make_shared<std::stop_callback<std::function<void()>>>(token, tell);
}

void CompletionService::answer(Ask ask, Outcome outcome, std::vector<Offer> offers) {
  if (outcome != Outcome::answered) {
    deps_.statistics->count_superseded();
  } else if (offers.empty()) {
    deps_.statistics->count_empty();
  }
  ask.done({outcome, std::move(offers)});
}

void CompletionService::answer_with(DocumentState& state, Ask ask, const Offer& offer,
                                    AnswerSource source) {
  const PromptQuery query = ask.request.query;
  if (!is_current(*query.document)) return answer(std::move(ask), Outcome::superseded);

  const Duration latency = deps_.clock.now() - ask.received;
  deps_.statistics->count_answer(source, latency);
  acceptance_.on_shown(query, offer);
  if (const auto trace = state.traces.find(offer.suggestion); trace != state.traces.end()) {
    state.last_trace = std::make_shared<CompletionTrace>(*trace->second);
    state.last_trace->source = source;
    state.last_trace->total = latency;
  }
  answer(std::move(ask), Outcome::answered, {offer});
}

bool CompletionService::is_current(const Document& document) const {
  const DocumentSnapshot latest = deps_.documents->find(document.uri);
  return latest && latest->id == document.id && latest->revision == document.revision;
}

void CompletionService::supersede(DocumentState& state) {
  if (!state.waiting) return;
  Ask ask = *std::exchange(state.waiting, std::nullopt);
  answer(std::move(ask), Outcome::superseded);
}

void CompletionService::cancel(std::uint64_t document, std::uint64_t ticket) {
  const auto found = documents_.find(document);
  if (found == documents_.end()) return;
  DocumentState& state = found->second;
  if (!state.waiting || state.waiting->ticket != ticket) return;
  Ask ask = *std::exchange(state.waiting, std::nullopt);
  if (state.active) state.active->run->abandon();
  answer(std::move(ask), Outcome::cancelled);
}

bool CompletionService::hand_to_active(DocumentState& state) {
  if (!state.active || !may_share(state.active->request, state.waiting->request)) return false;
  const auto typed = typed_since(state.active->request.query, state.waiting->request.query);
  return typed && state.active->run->take_over(*typed);
}

std::shared_ptr<CompletionService::Job> CompletionService::make_job(const Ask& ask) {
  auto job = std::make_shared<Job>();
  job->ticket = ask.ticket;
  job->request = ask.request;
  job->settings = settings_;
  job->session = deps_.session;
  job->model = {deps_.engine->model(), deps_.engine->tokenizer()};
  job->budget.tokens = settings_.prompt_tokens;
  if (job->model.info && job->model.info->context_tokens > 0) {
    job->budget.tokens =
        std::min(job->budget.tokens, job->model.info->context_tokens - settings_.max_tokens);
  }
  job->trace->document = ask.request.query.document;
  job->trace->offset = ask.request.query.before;
  return job;
}

void CompletionService::start(DocumentState& state) {
  if (state.active) state.active->run->cancel();
  const std::shared_ptr<Job> job = make_job(*state.waiting);
  if (!job->model.info || !job->model.tokenizer) {
    state.active.reset();
    Ask ask = *std::exchange(state.waiting, std::nullopt);
    return answer(std::move(ask), Outcome::answered);
  }
  RunOptions options;
  if (!job->request.invoked) options.min_probability = settings_.min_probability;
  const auto tidy_and_return = [weak = weak_from_this(), job, strand = deps_.strand,
                                pipeline = deps_.pipeline,
                                &workers = deps_.workers](RunResult result) {
    workers.post([weak, job, strand, pipeline, result = std::move(result)] {
      if (result.complete) tidy(*job, *pipeline, result.text);
      strand->post([weak, job, result] {
        if (const auto self = weak.lock()) self->finished(job, result);
      });
    });
  };
  job->run =
      std::make_shared<CompletionRun>(job->request.query, options, deps_.clock, tidy_and_return);
  state.active = job;
  deps_.workers.post([job, pipeline = deps_.pipeline, engine = deps_.engine, &clock = deps_.clock] {
    try {
      build_and_submit(job, *pipeline, *engine, clock);
    } catch (const std::exception& exception) {
      engine::Generation failed;
      failed.error = Error{ErrorKind::internal, exception.what()};
      job->run->on_finish(failed);
    }
  });
}

// An exception on a worker would end the process; it costs this completion instead.
void CompletionService::tidy(Job& job, CompletionPipeline& pipeline, const std::string& text) {
  try {
    job.text = pipeline.finish(job.request.query, job.prompt, text);
  } catch (const std::exception&) {
    job.text.reset();
  }
}

void CompletionService::build_and_submit(const std::shared_ptr<Job>& job,
                                         CompletionPipeline& pipeline, engine::Engine& engine,
                                         const Clock& clock) {
  const TimePoint begin = clock.now();
  const PromptQuery& query = job->request.query;
  job->prompt = pipeline.prompt(query, job->budget, job->model);
  job->run->set_rule(pipeline.stop_rule(query, job->prompt, job->settings));
  job->trace->pieces = job->prompt.pieces;
  job->trace->forced_prefix = job->prompt.forced_prefix;
  job->trace->context = clock.now() - begin;

  engine::GenerationRequest request;
  request.prompt = job->prompt.prompt;
  request.forced_prefix = job->prompt.forced_prefix;
  request.max_tokens = job->settings.max_tokens;
  request.deadline = clock.now() + job->settings.time_budget;
  request.top_logprobs = job->request.invoked ? 2 : 0;
  request.priority = engine::Priority::keystroke;
  request.session = job->session;
  request.owner = query.document->id;
  request.cancel = job->run->cancel_token();
  engine.submit(std::move(request), job->run);
}

void CompletionService::finished(const std::shared_ptr<Job>& job, const RunResult& result) {
  const engine::Usage& usage = result.usage;
  deps_.statistics->count_tokens(usage.prompt_tokens, usage.cached_tokens, usage.computed_tokens,
                                 usage.generated_tokens);
  if (result.error && result.error->kind != ErrorKind::unavailable) {
    deps_.log->warn("a completion failed: {}", result.error->message);
  }
  const auto found = documents_.find(job->request.query.document->id);
  if (found == documents_.end()) return;
  DocumentState& state = found->second;
  remember(state, *job, result);
  if (state.active != job) return;
  state.active.reset();
  serve_waiting(state, job->ticket);
}

void CompletionService::remember(DocumentState& state, Job& job, const RunResult& result) {
  CompletionTrace& trace = *job.trace;
  trace.text = result.text;
  trace.stop_reason = result.stop_reason;
  trace.tokens = result.tokens;
  trace.usage = result.usage;
  state.last_trace = job.trace;
  if (!job.text) return;

  const PromptQuery& query = job.request.query;
  const std::uint64_t id = (deps_.session << 32) | next_suggestion_++;
  state.cache.add({id, query.document, query.before, query.after, job.text->end,
                   query.pending + job.text->text, 0});
  state.traces[id] = job.trace;
  if (state.traces.size() > kRememberedTraces) state.traces.erase(state.traces.begin());
}

void CompletionService::serve_waiting(DocumentState& state, std::uint64_t finished_ticket) {
  if (!state.waiting) return;
  const auto offer = state.cache.find(state.waiting->request.query);
  const bool own = state.waiting->ticket == finished_ticket;
  if (!offer && !own) return start(state);
  Ask ask = *std::exchange(state.waiting, std::nullopt);
  if (!offer) return answer(std::move(ask), Outcome::answered);
  answer_with(state, std::move(ask), *offer, own ? AnswerSource::model : AnswerSource::taken_over);
}

void CompletionService::did_change(const DocumentSnapshot& before, const DocumentSnapshot& now) {
  acceptance_.on_change(before, now);
  deps_.pipeline->did_change(now);
}

void CompletionService::did_close(const DocumentSnapshot& last) {
  acceptance_.on_close(last);
  deps_.pipeline->did_close(last);
  const auto found = documents_.find(last->id);
  if (found != documents_.end()) {
    supersede(found->second);
    if (found->second.active) found->second.active->run->cancel();
    documents_.erase(found);
  }
  deps_.engine->release(last->id);
}

void CompletionService::engine_changed() {
  const engine::EngineState engine_state = deps_.engine->status().state;
  if (engine_state == engine::EngineState::starting) return;
  for (auto& [id, state] : documents_) {
    if (!state.waiting || state.active) continue;
    if (engine_state == engine::EngineState::ready) {
      start(state);
    } else {
      Ask ask = *std::exchange(state.waiting, std::nullopt);
      answer(std::move(ask), Outcome::answered);
    }
  }
}

void CompletionService::stop() {
  for (auto& [id, state] : documents_) {
    supersede(state);
    if (state.active) state.active->run->cancel();
    deps_.engine->release(id);
  }
  documents_.clear();
}

const CompletionTrace* CompletionService::trace(std::uint64_t document) const {
  const auto found = documents_.find(document);
  return found == documents_.end() ? nullptr : found->second.last_trace.get();
}

}  // namespace caretd::lsp

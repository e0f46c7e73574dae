#include "lsp/features/completion_service.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace caretd::lsp {
namespace {

// An editor shows few files at once.
constexpr std::size_t kDocumentsInUse = 8;

}  // namespace

CompletionService::CompletionService(CompletionDependencies dependencies)
    : deps_(std::move(dependencies)), acceptance_(*deps_.statistics, deps_.clock) {}

CompletionService::~CompletionService() = default;

void CompletionService::complete(CompletionRequest request, std::stop_token cancelled, Done done) {
  deps_.statistics->count_request();
  const std::uint64_t document = request.query.document->id;
  DocumentState& state = documents_[document];
  note_use(document);
  supersede(state);
  const bool follows_acceptance = std::exchange(state.just_accepted, false);
  Ask ask{next_ticket_++, std::move(request), deps_.clock.now(), std::move(done),
          nullptr,        follows_acceptance};
  if (cancelled.stop_requested()) return answer(std::move(ask), Outcome::cancelled);

  const auto cached = state.cache.find(ask.request.query);
  const engine::EngineState engine_state = deps_.engine->status().state;
  const bool has_engine =
      engine_state == engine::EngineState::ready || engine_state == engine::EngineState::starting;
  if (!cached && !has_engine) return answer(std::move(ask), Outcome::answered);

  ask.cancel_callback = on_cancel(cancelled, document, ask.ticket);
  const bool wants_choice = ask.request.invoked && settings_.alternatives > 0;
  state.waiting = std::move(ask);
  if (cached && !(wants_choice && has_engine)) {
    if (state.active) state.active->run->abandon();
    if (follows_acceptance) deps_.statistics->count_next_ready();
    return answer_with(state, {*cached}, AnswerSource::cache);
  }
  if (is_ready() && !hand_over(state)) start(state);
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

CompletionService::Ask CompletionService::take_waiting(DocumentState& state) {
  state.choosing.reset();
  return *std::exchange(state.waiting, std::nullopt);
}

void CompletionService::answer_with(DocumentState& state, std::vector<Offer> offers,
                                    AnswerSource source) {
  Ask ask = take_waiting(state);
  const PromptQuery query = ask.request.query;
  if (!is_current(*query.document)) return answer(std::move(ask), Outcome::superseded);

  const Offer first = offers.front();
  const Duration latency = deps_.clock.now() - ask.received;
  deps_.statistics->count_answer(source, latency);
  acceptance_.on_shown(query, first);
  if (const auto trace = state.traces.find(first.suggestion); trace != state.traces.end()) {
    state.last_trace = std::make_shared<CompletionTrace>(*trace->second);
    state.last_trace->source = source;
    state.last_trace->total = latency;
  }
  answer(std::move(ask), Outcome::answered, std::move(offers));
  think_ahead(state, query, first);
}

bool CompletionService::is_current(const Document& document) const {
  const DocumentSnapshot latest = deps_.documents->find(document.uri);
  return latest && latest->id == document.id && latest->revision == document.revision;
}

void CompletionService::supersede(DocumentState& state) {
  if (!state.waiting) return;
  if (state.choosing) {
    for (const JobPtr& job : state.choosing->jobs) job->run->cancel();
  }
  answer(take_waiting(state), Outcome::superseded);
}

// Suggestions and traces keep versions of their document, so only documents in use have any.
void CompletionService::note_use(std::uint64_t document) {
  std::erase(in_use_, document);
  in_use_.push_back(document);
  if (in_use_.size() <= kDocumentsInUse) return;
  const std::uint64_t left = in_use_.front();
  in_use_.pop_front();
  acceptance_.on_left(left);
  const auto found = documents_.find(left);
  if (found == documents_.end()) return;
  DocumentState& state = found->second;
  state.cache.clear();
  state.traces.clear();
  state.last_trace.reset();
  state.stale.reset();
}

void CompletionService::cancel(std::uint64_t document, std::uint64_t ticket) {
  const auto found = documents_.find(document);
  if (found == documents_.end()) return;
  DocumentState& state = found->second;
  if (!state.waiting || state.waiting->ticket != ticket) return;
  if (state.active) state.active->run->abandon();
  if (state.choosing) {
    for (const JobPtr& job : state.choosing->jobs) job->run->cancel();
  }
  answer(take_waiting(state), Outcome::cancelled);
}

void CompletionService::did_open(const DocumentSnapshot& document, bool warm) {
  unprepared_.push_back(document);
  if (warm && settings_.warm_opened) opened_ = document;
  prepare_next();
}

// An editor that restores its windows opens hundreds of documents at once; preparing them one by
// one leaves the other workers to whoever types.
void CompletionService::prepare_next() {
  while (!unprepared_.empty() && !is_current(*unprepared_.front())) unprepared_.pop_front();
  if (preparing_ || unprepared_.empty()) return;
  preparing_ = true;
  deps_.workers.post([weak = weak_from_this(), strand = deps_.strand, pipeline = deps_.pipeline,
                      document = unprepared_.front(), log = deps_.log,
                      model = PromptModel{deps_.engine->model(), deps_.engine->tokenizer()}] {
    try {
      pipeline->prepare(document, model);
    } catch (const std::exception& exception) {
      log->error("a document could not be prepared: {}", exception.what());
    }
    strand->post([weak] {
      const auto self = weak.lock();
      if (!self) return;
      self->preparing_ = false;
      self->prepare_next();
      self->warm_opened();
    });
  });
  unprepared_.pop_front();
}

// Where the cursor is nobody has said yet; files are read from their beginning. Of many that are
// opened at once the last is the one in view.
void CompletionService::warm_opened() {
  if (!opened_ || preparing_ || !is_ready()) return;
  const DocumentSnapshot opened = std::exchange(opened_, nullptr);
  const DocumentSnapshot now = deps_.documents->find(opened->uri);
  if (!now || now->id != opened->id || documents_.contains(now->id)) return;
  const Text& text = now->text;
  const std::size_t within =
      std::min(text.size(), static_cast<std::size_t>(settings_.prompt_tokens));
  did_focus(now, text.line_start(text.line_of(within)));
}

void CompletionService::did_change(const DocumentSnapshot& before, const DocumentSnapshot& now) {
  const bool accepted = acceptance_.on_change(before, now);
  const auto found = documents_.find(now->id);
  if (found != documents_.end()) found->second.just_accepted = accepted;
  deps_.pipeline->did_change(now);
}

void CompletionService::did_close(const DocumentSnapshot& last) {
  acceptance_.on_close(last);
  deps_.pipeline->did_close(last);
  const auto found = documents_.find(last->id);
  if (found != documents_.end()) {
    supersede(found->second);
    cancel_jobs(found->second);
    documents_.erase(found);
  }
  deps_.engine->release(last->id);
}

void CompletionService::did_focus(const DocumentSnapshot& document, std::size_t offset) {
  DocumentState& state = documents_[document->id];
  if (!state.waiting) start_ahead(state, {document, offset, {}, offset}, PlanPurpose::focus);
}

void CompletionService::engine_changed() {
  const engine::EngineState engine_state = deps_.engine->status().state;
  if (engine_state == engine::EngineState::starting) return;
  for (auto& [id, state] : documents_) {
    if (!state.waiting || state.active || state.choosing) continue;
    if (is_ready()) {
      start(state);
    } else {
      answer(take_waiting(state), Outcome::answered);
    }
  }
  warm_opened();
}

void CompletionService::stop() {
  for (auto& [id, state] : documents_) {
    supersede(state);
    cancel_jobs(state);
    deps_.engine->release(id);
  }
  documents_.clear();
}

const CompletionTrace* CompletionService::trace(std::uint64_t document) const {
  const auto found = documents_.find(document);
  return found == documents_.end() ? nullptr : found->second.last_trace.get();
}

}  // namespace caretd::lsp

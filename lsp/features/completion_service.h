// Who generates what when: latest wins per document, answers from the cache, take-over of running
// generations, what is decoded ahead while nobody waits, cancellation, validity of versions.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "lsp/documents/document_store.h"
#include "lsp/features/acceptance_tracker.h"
#include "lsp/features/completion_job.h"
#include "lsp/features/completion_pipeline.h"
#include "lsp/features/statistics.h"
#include "lsp/features/suggestion.h"
#include "lsp/settings.h"
#include "support/executor.h"
#include "support/log.h"

namespace caretd::lsp {

struct CompletionRequest {
  PromptQuery query;
  bool invoked = false;  ///< the user asked; else the editor did, after a keystroke
};

/// Why a request ended, and with what.
enum class Outcome : std::uint8_t { answered, superseded, cancelled };
struct CompletionAnswer {
  Outcome outcome = Outcome::answered;
  std::vector<Offer> offers;  ///< best first; empty: nothing worth showing, or no engine
};

/// What a service needs from the outside. What is named by reference outlives the process's last
/// generation.
struct CompletionDependencies {
  std::shared_ptr<engine::Engine> engine;
  std::shared_ptr<CompletionPipeline> pipeline;
  std::shared_ptr<Statistics> statistics;
  std::shared_ptr<const DocumentStore> documents;
  std::shared_ptr<Executor> strand;
  Executor& workers;
  const Clock& clock;
  Logger log;
  std::uint64_t session = 0;
  /// Told, on the strand, what the user should know of a request that failed; may be empty.
  std::function<void(const std::string& sentence)> tell;
};

/// One session's completions. Every member function runs on the session's strand; generations
/// come back to it. Held by shared_ptr: what is under way refers to it weakly.
class CompletionService : public std::enable_shared_from_this<CompletionService> {
 public:
  using Done = std::function<void(CompletionAnswer)>;

  explicit CompletionService(CompletionDependencies dependencies);
  ~CompletionService();

  void set_settings(const Settings& settings) { settings_ = settings; }

  /// `done` is called exactly once, now or later, on the strand. `cancelled` is heard any time.
  void complete(CompletionRequest request, std::stop_token cancelled, Done done);

  /// `warm`: its beginning may be computed before somebody asks.
  void did_open(const DocumentSnapshot& document, bool warm);
  void did_change(const DocumentSnapshot& before, const DocumentSnapshot& now);
  void did_close(const DocumentSnapshot& last);
  /// The document came into view with its cursor at byte `offset`: its cache is warmed.
  void did_focus(const DocumentSnapshot& document, std::size_t offset);
  /// The engine's state changed: what waited for it goes on, or is answered empty.
  void engine_changed();
  /// Cancels what runs and answers what waits.
  void stop();

  /// The editor says that the user accepted a suggestion. Edits tell as a rule; this is for those
  /// that an editor rewrites (formats) in the same stroke.
  void accepted(std::uint64_t suggestion) { acceptance_.confirm(suggestion); }

  /// How the last suggestion of a document came about; null before the first, and again once
  /// several other documents were asked about.
  [[nodiscard]] const CompletionTrace* trace(std::uint64_t document) const;

 private:
  using Job = CompletionJob;
  using JobPtr = std::shared_ptr<CompletionJob>;

  /// A request that has not been answered.
  struct Ask {
    std::uint64_t ticket = 0;
    CompletionRequest request;
    TimePoint received;
    Done done;
    std::shared_ptr<void> cancel_callback;
    bool follows_acceptance = false;  ///< the latest edit put a whole suggestion in
  };
  /// Alternatives to the first suggestion, decoded side by side for the waiting ask.
  struct Choosing {
    Offer first;
    std::vector<JobPtr> jobs;  ///< those that have not finished
    std::vector<Offer> others;
  };
  struct DocumentState {
    SuggestionCache cache;
    std::optional<Ask> waiting;
    JobPtr active;                     ///< generates for `waiting`, or did a moment ago
    JobPtr ahead;                      ///< generates while nobody waits
    std::optional<Choosing> choosing;  ///< for `waiting`
    std::uint64_t continued = 0;       ///< the suggestion whose continuation was asked for last
    std::optional<PromptQuery> stale;  ///< where the prompt's anchor was last seen to be far off
    bool just_accepted = false;        ///< the latest edit put a whole suggestion in
    std::map<std::uint64_t, std::shared_ptr<CompletionTrace>> traces;  // by suggestion
    std::shared_ptr<CompletionTrace> last_trace;
  };

  // completion_service.cpp: requests and answers
  void prepare_next();
  void warm_opened();
  void answer(Ask ask, Outcome outcome, std::vector<Offer> offers = {});
  void answer_with(DocumentState& state, std::vector<Offer> offers, AnswerSource source);
  [[nodiscard]] Ask take_waiting(DocumentState& state);
  void supersede(DocumentState& state);
  /// The document asked about is in use; the one asked about the longest ago may not be any more.
  void note_use(std::uint64_t document);
  void cancel(std::uint64_t document, std::uint64_t ticket);
  [[nodiscard]] bool is_current(const Document& document) const;
  [[nodiscard]] std::shared_ptr<void> on_cancel(const std::stop_token& token,
                                                std::uint64_t document, std::uint64_t ticket);

  // completion_generation.cpp: jobs and what comes of them
  [[nodiscard]] bool is_ready() const;
  [[nodiscard]] JobPtr make_job(const PromptQuery& query, PlanPurpose purpose, bool invoked) const;
  void run(const JobPtr& job);
  [[nodiscard]] bool hand_over(DocumentState& state);
  void start(DocumentState& state);
  void cancel_jobs(DocumentState& state);
  void finished(const JobPtr& job, const RunResult& result);
  std::optional<Offer> remember(DocumentState& state, const JobPtr& job, const RunResult& result);
  void serve_waiting(DocumentState& state, const JobPtr& job, const RunResult& result);
  bool choose_alternatives(DocumentState& state, const JobPtr& job, const RunResult& result,
                           const Offer& first);
  void alternative_finished(DocumentState& state, const JobPtr& job, std::optional<Offer> offer);
  void think_ahead(DocumentState& state, const PromptQuery& query, const Offer& offer);
  /// Anchors the prompt afresh where it was seen to be far off, once nothing else is to do.
  void rest(DocumentState& state);
  void start_ahead(DocumentState& state, const PromptQuery& query, PlanPurpose purpose);

  const CompletionDependencies deps_;
  Settings settings_;
  AcceptanceTracker acceptance_;
  std::deque<DocumentSnapshot> unprepared_;  ///< opened documents; one at a time is prepared
  bool preparing_ = false;
  DocumentSnapshot opened_;  ///< the last that was opened, until it is warmed; or null
  std::uint64_t next_ticket_ = 1;
  std::uint64_t next_suggestion_ = 1;
  std::map<std::uint64_t, DocumentState> documents_;  // by Document::id
  std::deque<std::uint64_t> in_use_;  ///< the documents asked about lately, the last at the end
};

}  // namespace caretd::lsp

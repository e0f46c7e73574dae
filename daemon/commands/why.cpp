// `caretd why FILE:LINE:COLUMN`: how a suggestion comes about.
#include <condition_variable>
#include <filesystem>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/loaded_engine.h"
#include "daemon/file_completion.h"
#include "daemon/session_settings.h"
#include "lsp/features/completion_service.h"
#include "lsp/features/syntax_pipeline.h"
#include "lsp/protocol/caretd_types.h"

namespace caretd::daemon {

namespace {

constexpr int kWorkers = 2;

struct WhyOptions {
  std::string location;
  bool invoked = false;
  bool json = false;
};

/// Asks one question and waits for the answer.
class Question {
 public:
  void answer(lsp::CompletionAnswer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    answered_.notify_all();
  }
  lsp::CompletionAnswer wait() {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [this] { return answer_.has_value(); });
    return *std::move(answer_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<lsp::CompletionAnswer> answer_;
};

/// One request as a session in the current folder would serve it, and its trace.
struct Explanation {
  lsp::CompletionAnswer answer;
  std::optional<lsp::CompletionTrace> trace;
};

Explanation explain(const CommandContext& context, const std::shared_ptr<engine::Engine>& engine,
                    const lsp::PromptQuery& query,
                    const std::shared_ptr<lsp::DocumentStore>& documents, const Settings& settings,
                    bool invoked, const Clock& clock) {
  ThreadPool workers(kWorkers);
  const auto strand = std::make_shared<Strand>(workers);
  const auto pipeline = std::make_shared<lsp::SyntaxPipeline>(documents, read_ignore_file);
  pipeline->set_workspace({"file://" + std::filesystem::current_path().string()});
  const auto service = std::make_shared<lsp::CompletionService>(
      lsp::CompletionDependencies{engine, pipeline, std::make_shared<lsp::Statistics>(), documents,
                                  strand, workers, clock, context.log, 1});
  lsp::Settings own = to_session_settings(settings);
  own.think_ahead = false;
  Question question;
  strand->post([&] {
    service->set_settings(own);
    service->complete({query, invoked}, {},
                      [&](lsp::CompletionAnswer answer) { question.answer(std::move(answer)); });
  });
  Explanation explanation{question.wait(), std::nullopt};
  Question stopped;
  strand->post([&] {
    if (const auto* trace = service->trace(query.document->id)) explanation.trace = *trace;
    service->stop();
    stopped.answer({});
  });
  stopped.wait();
  return explanation;
}

void print_pieces(const lsp::CompletionTrace& trace) {
  std::cout << "prompt\n";
  for (const lsp::PromptPiece& piece : trace.pieces) {
    std::cout << fmt::format("  {:<12}{:>6} tokens  bytes {} to {} of {}\n",
                             lsp::to_string(piece.kind), piece.tokens, piece.begin, piece.end,
                             piece.source);
  }
  std::cout << fmt::format("  {} tokens in all: {} cached, {} computed; forced start: {}\n",
                           trace.usage.prompt_tokens, trace.usage.cached_tokens,
                           trace.usage.computed_tokens,
                           lsp::to_string(lsp::Json(trace.forced_prefix)));
}

void print_human(const Explanation& explanation, const lsp::Json& report) {
  const lsp::CompletionTrace& trace = *explanation.trace;
  print_pieces(trace);
  std::cout << "tokens\n";
  for (const lsp::Json& token : report["tokens"]) {
    const lsp::Json text = token.contains("text") ? token["text"] : token["id"];
    std::cout << fmt::format("  {:>6.3f}  {}\n", token["probability"].get<double>(),
                             lsp::to_string(text));
  }
  std::cout << "stopped by  " << trace.stop_reason << "\nmilliseconds";
  for (const auto& [stage, milliseconds] : report["milliseconds"].items()) {
    std::cout << fmt::format("  {} {:.1f}", stage, milliseconds.get<double>());
  }
  std::cout << '\n';
  const auto& offers = explanation.answer.offers;
  if (offers.empty()) std::cout << "nothing is suggested\n";
  for (const lsp::Offer& offer : offers) std::cout << "suggestion  " << offer.text << '\n';
}

int why(const CommandContext& context, const WhyOptions& options) {
  const auto location = parse_file_location(options.location);
  if (!location) {
    report_error(location.error());
    return kUsage;
  }
  const auto file = read_document(location->file);
  if (!file) return report_error(file.error());
  const Settings settings = context.settings();
  const SteadyClock clock;
  auto loaded = load_engine(context, settings, clock);
  if (!loaded) return report_error(loaded.error());
  const std::shared_ptr<engine::Engine> engine = *std::move(loaded);

  const auto documents = std::make_shared<lsp::DocumentStore>(1);
  const auto document =
      documents->open((*file)->uri, (*file)->language_id, 1, std::string((*file)->text.view()));
  const std::size_t offset = document->text.offset_at({location->line - 1, location->column - 1},
                                                      lsp::PositionEncoding::utf32);
  const Explanation explanation = explain(context, engine, {document, offset, {}, offset},
                                          documents, settings, options.invoked, clock);
  if (!explanation.trace) {
    return report_error({ErrorKind::unavailable, "the model gave no answer; see caretd doctor"});
  }
  const auto tokenizer = engine->tokenizer();
  const lsp::Json report =
      lsp::WhyReport{*explanation.trace, tokenizer.get(), lsp::PositionEncoding::utf8};
  if (options.json) {
    std::cout << lsp::to_string(report) << '\n';
  } else {
    print_human(explanation, report);
  }
  return kSuccess;
}

}  // namespace

void add_why_command(CommandLine& line) {
  auto options = std::make_shared<WhyOptions>();
  CLI::App& command =
      line.add("why", "Show how a suggestion comes about: prompt, probabilities, times",
               "caretd why src/main.py:12:5\n"
               "caretd why --json --invoked src/main.py:12:5 | jq .stopReason",
               [options](CommandContext& context) { return why(context, *options); });
  command
      .add_option("location", options->location,
                  "FILE:LINE:COLUMN, counted from 1, columns in characters")
      ->required();
  command.add_flag("--invoked", options->invoked,
                   "As if the user had asked for it: no gate, with alternatives");
  command.add_flag("--json", options->json, "Print JSON (docs/protocol.md, caretd/why)");
}

}  // namespace caretd::daemon

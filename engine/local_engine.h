// The engine in this process: a scheduler thread that owns a Runner.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "engine/engine.h"
#include "engine/runner.h"
#include "support/log.h"

namespace caretd::engine {

/// Whether prompts fill in the middle; never without the tokens for it.
enum class FimUse : std::uint8_t { where_trained, always, never };

/// What a loader hands over: everything that depends on the model folder.
struct LoadedModel {
  std::unique_ptr<Runner> runner;
  std::shared_ptr<const Tokenizer> tokenizer;
  ModelConfig config;
  std::string name;
  FimUse fim = FimUse::where_trained;
};

/// Opens and loads a model; called on a thread of its own, again after unload() and load(). The
/// runner is then used and destroyed on the engine's thread. Should return soon, with any error,
/// once a stop is requested.
using ModelLoader = std::function<Result<LoadedModel>(const Progress&, std::stop_token)>;

struct LocalEngineOptions {
  int max_queued = 256;  ///< requests waiting beyond the running ones
  int max_running = 64;  ///< sequences in one batch
  /// Targets of a prefill step. While no editor is active or the step serves a keystroke (then
  /// RunnerInfo::keystroke_step, if that is shorter):
  Duration keystroke_step = std::chrono::milliseconds(40);
  /// and where a keystroke may come during it. A step is to keep to 10 ms, and other programs that
  /// take their turn in the middle of it make it some milliseconds longer.
  Duration background_step = std::chrono::milliseconds(6);
};

/// Starts the engine thread, which loads the model at once unless `start_off`.
[[nodiscard]] std::unique_ptr<Engine> make_local_engine(ModelLoader loader,
                                                        const LocalEngineOptions& options,
                                                        const Clock& clock, Logger log,
                                                        bool start_off = false);

}  // namespace caretd::engine

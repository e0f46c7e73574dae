// Load on the embedded model through engine.h: chats decoding together, keystrokes among them,
// and what the scheduler costs. Prints one figure a line.
//
//   engine_load [--keystroke-step MS] [--background-step MS] [--chats N] [--keystrokes] [--steps]
//               [FOLDER]
//
// --chats N: nothing but N chats, five times. --keystrokes: nothing but keystrokes, so that an
// editor is active from the first step to the last. --steps: logs which step was the longest.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/cpu_runner.h"
#include "engine/local_engine.h"
#include "support/log.h"

namespace {

using namespace caretd::engine;  // NOLINT(google-build-using-namespace)
using caretd::to_milliseconds;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct Options {
  std::string folder = "models/tiny";
  LocalEngineOptions engine;
  int chats = 0;
  bool keystrokes = false;
  std::string log_level = "warn";
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    const auto milliseconds = [&] {
      return std::chrono::duration_cast<caretd::Duration>(Milliseconds(std::stod(argv[++i])));
    };
    if (has_value && std::strcmp(argv[i], "--keystroke-step") == 0) {
      options.engine.keystroke_step = milliseconds();
    } else if (has_value && std::strcmp(argv[i], "--background-step") == 0) {
      options.engine.background_step = milliseconds();
    } else if (has_value && std::strcmp(argv[i], "--chats") == 0) {
      options.chats = std::stoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--keystrokes") == 0) {
      options.keystrokes = true;
    } else if (std::strcmp(argv[i], "--steps") == 0) {
      options.log_level = "debug";
    } else {
      options.folder = argv[i];
    }
  }
  return options;
}

/// Notes when each token came. Everything but wait() and the engine's calls is for after wait().
class CountingSink final : public TokenSink {
 public:
  explicit CountingSink(const caretd::Clock& clock) : clock_(clock) {}

  Verdict on_token(const TokenEvent&) override {
    times_.push_back(clock_.now());
    return Verdict::go_on;
  }
  void on_finish(const Generation& generation) override { end_.set_value(generation); }

  Generation wait() { return end_.get_future().get(); }
  [[nodiscard]] const std::vector<caretd::TimePoint>& times() const { return times_; }

 private:
  const caretd::Clock& clock_;
  std::vector<caretd::TimePoint> times_;
  std::promise<Generation> end_;
};

class Load {
 public:
  explicit Load(const Options& options) {
    ModelLoader loader = [folder = options.folder](
                             const Progress& progress,
                             const std::stop_token& stop) -> caretd::Result<LoadedModel> {
      auto tokenizer = Tokenizer::load(folder);
      if (!tokenizer) return caretd::pass_on(std::move(tokenizer));
      auto checkpoint = Checkpoint::open(folder);
      if (!checkpoint) return caretd::pass_on(std::move(checkpoint));
      const RunnerOptions runner_options{.real_vocab = (*tokenizer)->size()};
      auto runner = make_cpu_runner(*checkpoint, runner_options, progress, stop);
      if (!runner) return caretd::pass_on(std::move(runner));
      return LoadedModel{*std::move(runner), *std::move(tokenizer), (*checkpoint)->config(),
                         folder};
    };
    engine_ = make_local_engine(std::move(loader), options.engine, clock_,
                                caretd::make_stderr_logger(options.log_level));
  }

  std::shared_ptr<CountingSink> submit(std::vector<TokenId> prompt, GenerationRequest request) {
    auto sink = std::make_shared<CountingSink>(clock_);
    request.prompt = {std::move(prompt)};
    request.stop_at_end_of_sentence = false;
    engine_->submit(std::move(request), sink);
    return sink;
  }

  std::shared_ptr<CountingSink> chat(int session, int tokens) {
    return submit(prompt(256, session), {.max_tokens = tokens,
                                         .priority = Priority::chat,
                                         .session = static_cast<std::uint64_t>(session)});
  }

  /// Milliseconds from submitting three typed tokens to the eighth generated one.
  double keystroke(std::vector<TokenId>& file) {
    for (int i = 0; i < 3; ++i) file.push_back(static_cast<TokenId>(300 + file.size() % 997));
    const auto begin = clock_.now();
    (void)submit(file, {.max_tokens = 8, .session = 1000, .owner = 1})->wait();
    return to_milliseconds(clock_.now() - begin);
  }

  static std::vector<TokenId> prompt(int tokens, int seed) {
    std::vector<TokenId> ids;
    for (int i = 0; i < tokens; ++i) ids.push_back(300 + (i * 31 + seed * 1009) % 11000);
    return ids;
  }

  Engine& engine() { return *engine_; }
  [[nodiscard]] caretd::TimePoint now() const { return clock_.now(); }

 private:
  caretd::SteadyClock clock_;
  std::unique_ptr<Engine> engine_;
};

void measure_prefill(Load& load) {
  for (const auto& [name, priority] : {std::pair("keystroke", Priority::keystroke),
                                       std::pair("background", Priority::background)}) {
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      const int seed = 100 + i + static_cast<int>(priority) * 10;
      const auto begin = load.now();
      (void)load.submit(Load::prompt(1024, seed), {.max_tokens = 0, .priority = priority})->wait();
      best = std::min(best, to_milliseconds(load.now() - begin));
    }
    std::printf("prompt of 1024 tokens, %s: %.1f ms, %.0f tok/s\n", name, best, 1024e3 / best);
  }
}

/// Tokens a second while all of them decode: from the last one's first to the first one's last.
void measure_chats(Load& load, int chats) {
  constexpr int kTokens = 128;
  std::vector<std::shared_ptr<CountingSink>> sinks;
  for (int i = 0; i < chats; ++i) sinks.push_back(load.chat(i, kTokens));
  for (const auto& sink : sinks) (void)sink->wait();
  caretd::TimePoint begin = sinks.front()->times().front();
  caretd::TimePoint end = sinks.front()->times().back();
  for (const auto& sink : sinks) {
    begin = std::max(begin, sink->times().front());
    end = std::min(end, sink->times().back());
  }
  int produced = 0;
  for (const auto& sink : sinks) {
    produced += static_cast<int>(std::ranges::count_if(
        sink->times(), [&](caretd::TimePoint at) { return at > begin && at <= end; }));
  }
  std::printf("%d chats decoding: %.0f tok/s together\n", chats,
              produced * 1e3 / to_milliseconds(end - begin));
}

void measure_keystrokes(Load& load, int chats) {
  std::vector<TokenId> file = Load::prompt(600, 7 + chats);
  (void)load.keystroke(file);
  std::vector<std::stop_source> stops(static_cast<size_t>(chats));
  std::vector<std::shared_ptr<CountingSink>> sinks;
  for (int i = 0; i < chats; ++i) {
    sinks.push_back(load.submit(Load::prompt(256, 50 + i),
                                {.max_tokens = 1500,
                                 .priority = Priority::chat,
                                 .session = static_cast<std::uint64_t>(i),
                                 .cancel = stops[static_cast<size_t>(i)].get_token()}));
  }
  std::vector<double> times;
  for (int i = 0; i < 60; ++i) {
    times.push_back(load.keystroke(file));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (std::stop_source& stop : stops) stop.request_stop();
  int streamed = 0;
  for (const auto& sink : sinks) {
    (void)sink->wait();
    streamed += static_cast<int>(sink->times().size());
  }
  std::ranges::sort(times);
  std::printf(
      "keystroke (3 tokens appended, 8 decoded) with %d chats: p50 %.1f p90 %.1f max %.1f ms"
      "; chats got %d tokens\n",
      chats, times[times.size() / 2], times[times.size() * 9 / 10], times.back(), streamed);
}

void print_statistics(const EngineStatistics& statistics) {
  std::printf("host time between forward passes: %.1f us a step; longest step %.1f ms\n",
              to_milliseconds(statistics.host_time) * 1e3 / static_cast<double>(statistics.steps),
              to_milliseconds(statistics.longest_step));
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Load load(options);
  const Priority first = options.keystrokes ? Priority::keystroke : Priority::chat;
  (void)load.submit(Load::prompt(64, 1), {.max_tokens = 4, .priority = first})->wait();
  const EngineStatus status = load.engine().status();
  if (status.state != EngineState::ready) {
    std::fprintf(stderr, "%s\n", status.reason.c_str());
    return 1;
  }
  if (options.chats > 0) {
    for (int i = 0; i < 5; ++i) measure_chats(load, options.chats);
  } else if (!options.keystrokes) {
    for (const int chats : {1, 8, 32}) measure_chats(load, chats);
    measure_prefill(load);
  }
  if (options.chats == 0) {
    for (const int chats : {0, 4}) measure_keystrokes(load, chats);
  }
  print_statistics(load.engine().statistics());
  return 0;
}

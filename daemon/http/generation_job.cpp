#include "daemon/http/generation_job.h"

#include <algorithm>
#include <deque>
#include <stop_token>
#include <utility>

#include "daemon/http/text_offsets.h"

namespace caretd::daemon::api {

namespace {

using engine::FinishReason;
using engine::Verdict;

/// Everything runs on the engine's thread once the choices are submitted, but for the rendering of
/// whole replies, which comes after the last of them.
class Job : public std::enable_shared_from_this<Job> {
 public:
  Job(std::shared_ptr<const engine::Tokenizer> tokenizer, std::shared_ptr<const ReplyFormat> format,
      const JobOptions& options, std::shared_ptr<Reply> reply, const JobEnvironment& environment)
      : tokenizer_(std::move(tokenizer)),
        format_(std::move(format)),
        options_(options),
        reply_(std::move(reply)),
        environment_(environment),
        began_(environment.clock.now()),
        when_gone_(reply_->gone(), [this] { cancel_.request_stop(); }) {}

  void submit(engine::Engine& engine, std::vector<PlannedChoice> planned);

  Verdict on_token(std::size_t index, const engine::TokenEvent& token);
  void on_finish(std::size_t index, const engine::Generation& generation);

 private:
  struct State {
    Choice choice;
    std::vector<engine::TokenId> echo_tokens;
    std::vector<std::size_t> echo_offsets;  ///< one for each of them
    std::string echo;
    std::optional<TextOffsets> offsets;  ///< of generated tokens; with logprobs
    std::size_t text_bytes = 0;          ///< of generated text told or counted so far
    std::size_t stripped = 0;            ///< bytes of the form's space that were left out
    bool opened = false;
    std::optional<TimePoint> first_token;
    bool has_line = false;
  };

  [[nodiscard]] bool send(std::string_view event);
  [[nodiscard]] bool open(State& state);
  [[nodiscard]] std::string_view shown(State& state, std::string_view text) const;
  [[nodiscard]] ReplyToken described(State& state, const engine::TokenEvent& token) const;
  [[nodiscard]] std::vector<ReplyToken> describe_echo(const State& state,
                                                      const engine::Generation& generation) const;
  [[nodiscard]] bool out_of_time(State& state, std::string_view text) const;
  void note_first_token(State& state);
  void tell_echo(State& state, const engine::Generation& generation) const;
  void complete(State& state, const engine::Generation& generation);
  void stream_end(State& state, const engine::Generation& generation);
  void fail(const Error& error);
  void cancelled();
  void all_finished();

  const std::shared_ptr<const engine::Tokenizer> tokenizer_;
  const std::shared_ptr<const ReplyFormat> format_;
  const JobOptions options_;
  const std::shared_ptr<Reply> reply_;
  const JobEnvironment environment_;
  const TimePoint began_;
  std::stop_source cancel_;
  std::stop_callback<std::function<void()>> when_gone_;
  std::deque<State> states_;  ///< they stay where they are
  std::size_t unfinished_ = 0;
  bool over_ = false;  ///< failed or nobody listens: the rest is of no interest
  bool told_first_token_ = false;
};

class ChoiceSink final : public engine::TokenSink {
 public:
  ChoiceSink(std::shared_ptr<Job> job, std::size_t index) : job_(std::move(job)), index_(index) {}
  Verdict on_token(const engine::TokenEvent& token) override {
    return job_->on_token(index_, token);
  }
  void on_finish(const engine::Generation& generation) override {
    job_->on_finish(index_, generation);
  }

 private:
  const std::shared_ptr<Job> job_;
  const std::size_t index_;
};

void Job::submit(engine::Engine& engine, std::vector<PlannedChoice> planned) {
  unfinished_ = planned.size();
  for (std::size_t i = 0; i < planned.size(); ++i) {
    State& state = states_.emplace_back();
    state.choice.index = static_cast<int>(i);
    state.choice.truncated = planned[i].truncated;
    state.echo = std::move(planned[i].echo);
    state.echo_tokens = std::move(planned[i].echo_tokens);
    if (!options_.logprobs) continue;
    TextOffsets echo(tokenizer_);
    for (const engine::TokenId id : state.echo_tokens) state.echo_offsets.push_back(echo.next(id));
    state.offsets.emplace(tokenizer_, planned[i].request.forced_prefix, echo.end());
  }
  // Who types waits for a completion; who reads a chat does not see some milliseconds.
  const bool typed = std::ranges::any_of(planned, [](const PlannedChoice& choice) {
    return choice.request.priority == engine::Priority::keystroke;
  });
  if (!typed) reply_->gather_events();
  for (std::size_t i = 0; i < planned.size(); ++i) {
    planned[i].request.cancel = cancel_.get_token();
    engine.submit(std::move(planned[i].request),
                  std::make_shared<ChoiceSink>(shared_from_this(), i));
  }
}

bool Job::send(std::string_view event) {
  if (over_) return false;
  if (reply_->send_event(event)) return true;
  over_ = true;
  cancel_.request_stop();
  return false;
}

bool Job::open(State& state) {
  if (std::exchange(state.opened, true)) return true;
  const std::string opening = format_->opening(state.choice.index);
  return opening.empty() || send(opening);
}

/// Without the space that the form of the conversation puts in front of a reply.
std::string_view Job::shown(State& state, std::string_view text) const {
  if (state.text_bytes == 0 && !text.empty() && text.front() == ' ' &&
      format_->strips_leading_space()) {
    state.stripped = 1;
  }
  const std::size_t skipped = state.text_bytes == 0 && !text.empty() ? state.stripped : 0;
  state.text_bytes += text.size();
  return text.substr(skipped);
}

ReplyToken Job::described(State& state, const engine::TokenEvent& token) const {
  ReplyToken result{
      token_bytes(*tokenizer_, token.id), token.logprob, true, state.offsets->next(token.id), {}};
  for (const engine::TokenLogprob& other : token.top) {
    result.top.emplace_back(token_bytes(*tokenizer_, other.id), other.logprob);
  }
  return result;
}

bool Job::out_of_time(State& state, std::string_view text) const {
  if (!options_.time_after_line) return false;
  const TimePoint now = environment_.clock.now();
  state.has_line = state.has_line || text.find('\n') != std::string_view::npos;
  return state.has_line && now - *state.first_token > *options_.time_after_line;
}

void Job::note_first_token(State& state) {
  if (state.first_token) return;
  state.first_token = environment_.clock.now();
  if (std::exchange(told_first_token_, true)) return;
  environment_.metrics.first_token(*state.first_token - began_);
}

Verdict Job::on_token(std::size_t index, const engine::TokenEvent& token) {
  State& state = states_[index];
  if (over_) return Verdict::stop_before;
  note_first_token(state);
  std::vector<ReplyToken> tokens;
  if (options_.logprobs) tokens.push_back(described(state, token));
  if (options_.stream) {
    const std::string_view text = shown(state, token.text);
    const bool something = !text.empty() || !tokens.empty();
    if (something && !(open(state) && send(format_->piece(state.choice.index, text, tokens)))) {
      return Verdict::stop_before;
    }
  } else {
    std::ranges::move(tokens, std::back_inserter(state.choice.tokens));
  }
  return out_of_time(state, token.text) ? Verdict::stop_after : Verdict::go_on;
}

void Job::on_finish(std::size_t index, const engine::Generation& generation) {
  State& state = states_[index];
  --unfinished_;
  if (!over_) {
    if (generation.reason == FinishReason::failed) {
      fail(*generation.error);
    } else if (generation.reason == FinishReason::cancelled) {
      cancelled();
    } else {
      complete(state, generation);
    }
  }
  if (unfinished_ == 0) all_finished();
}

std::vector<ReplyToken> Job::describe_echo(const State& state,
                                           const engine::Generation& generation) const {
  std::vector<ReplyToken> tokens;
  for (std::size_t i = 0; i < state.echo_tokens.size(); ++i) {
    const bool known = i > 0 && i - 1 < generation.prompt_logprobs.size();
    tokens.push_back({token_bytes(*tokenizer_, state.echo_tokens[i]),
                      known ? generation.prompt_logprobs[i - 1] : 0.0F,
                      known,
                      state.echo_offsets[i],
                      {}});
  }
  return tokens;
}

/// The prompt and its tokens in front of what was generated.
void Job::tell_echo(State& state, const engine::Generation& generation) const {
  const std::vector<ReplyToken> tokens = describe_echo(state, generation);
  Choice& choice = state.choice;
  choice.tokens.insert(choice.tokens.begin(), tokens.begin(), tokens.end());
  choice.text.insert(0, state.echo);
}

void Job::complete(State& state, const engine::Generation& generation) {
  Choice& choice = state.choice;
  choice.reason = generation.reason;
  choice.matched_stop = generation.matched_stop;
  choice.usage = generation.usage;
  environment_.metrics.count_tokens(generation.usage);
  if (options_.stream) return stream_end(state, generation);
  choice.text = shown(state, generation.text);
  // Tokens of a matched stop string are no part of the text.
  std::size_t bytes = 0;
  const auto beyond = std::ranges::find_if(choice.tokens, [&](const ReplyToken& token) {
    const bool outside = bytes >= generation.text.size() && !token.bytes.empty();
    bytes += token.bytes.size();
    return outside;
  });
  if (generation.reason == FinishReason::stop_string) {
    choice.tokens.erase(beyond, choice.tokens.end());
  }
  tell_echo(state, generation);
}

void Job::stream_end(State& state, const engine::Generation& generation) {
  if (!open(state)) return;
  const std::size_t told = std::min(state.text_bytes, generation.text.size());
  const std::string_view rest = shown(state, std::string_view(generation.text).substr(told));
  if (!rest.empty() && !send(format_->piece(state.choice.index, rest, {}))) return;
  // has_new_line and the like look at all of the text, which was told already.
  state.choice.text = generation.text;
  (void)send(format_->ending(state.choice));
}

void Job::fail(const Error& error) {
  over_ = true;
  cancel_.request_stop();
  const ApiError failure = to_api_error(error);
  const bool streaming = std::ranges::any_of(states_, [](const State& s) { return s.opened; });
  if (streaming) {
    if (reply_->send_event(to_body(failure))) reply_->end_events();
  } else {
    reply_->respond(failure.status, "application/json", to_body(failure), failure.retry_after_s);
  }
}

/// The client is gone; or the engine is, which the client has to be told.
void Job::cancelled() {
  if (cancel_.stop_requested()) {
    over_ = true;
  } else {
    fail({ErrorKind::unavailable, "The engine has just been replaced; try again."});
  }
}

void Job::all_finished() {
  environment_.metrics.finished(environment_.clock.now() - began_);
  if (over_) return;
  if (!options_.stream) {
    // A long reply takes a while to write, which the engine's thread has not.
    environment_.workers.post([self = shared_from_this()] {
      std::vector<Choice> choices;
      for (State& state : self->states_) choices.push_back(std::move(state.choice));
      self->reply_->respond(200, "application/json", self->format_->whole(choices));
    });
    return;
  }
  std::vector<Choice> choices;
  for (State& state : states_) choices.push_back(std::move(state.choice));
  if (const auto usage = format_->usage(choices)) {
    if (!send(*usage)) return;
  }
  if (format_->says_done() && !send("[DONE]")) return;
  reply_->end_events();
}

}  // namespace

void run_job(engine::Engine& engine, std::vector<PlannedChoice> planned,
             std::shared_ptr<const engine::Tokenizer> tokenizer,
             std::shared_ptr<const ReplyFormat> format, const JobOptions& options,
             std::shared_ptr<Reply> reply, const JobEnvironment& environment) {
  const auto job = std::make_shared<Job>(std::move(tokenizer), std::move(format), options,
                                         std::move(reply), environment);
  job->submit(engine, std::move(planned));
}

}  // namespace caretd::daemon::api

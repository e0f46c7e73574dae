#include "daemon/remote/remote_call.h"

#include <algorithm>
#include <utility>

namespace caretd::daemon {

using engine::FinishReason;

namespace {

/// The server tells text, not ids; no row of any vocabulary.
constexpr engine::TokenId kNoToken = -1;
constexpr std::size_t kMostErrorBody = std::size_t{64} << 10;

/// The finish reasons of the API in the engine's words.
FinishReason reason_of(const std::string& word) {
  return word == "length" ? FinishReason::max_tokens : FinishReason::end_of_sentence;
}

}  // namespace

RemoteCall::RemoteCall(engine::GenerationRequest request, RemotePrompt prompt,
                       std::shared_ptr<engine::TokenSink> sink, TimePoint submitted,
                       const Clock& clock, std::string host, Ended ended)
    : request_(std::move(request)),
      prompt_(std::move(prompt)),
      sink_(std::move(sink)),
      clock_(clock),
      host_(std::move(host)),
      ended_(std::move(ended)),
      submitted_(submitted),
      sent_(submitted),
      stops_(request_.stop) {}

Error RemoteCall::refusal_error() const {
  return error_of(refused_status_, error_body_, host_);
}

void RemoteCall::sent() {
  sent_ = clock_.now();
  refused_status_ = 0;
  error_body_.clear();
  events_ = SseParser();
}

std::optional<FinishReason> RemoteCall::over(TimePoint now) const {
  if (request_.cancel.stop_requested()) return FinishReason::cancelled;
  if (request_.deadline && now >= *request_.deadline) return FinishReason::deadline;
  return std::nullopt;
}

void RemoteCall::finish(FinishReason reason, std::optional<Error> error) {
  if (std::exchange(finished_, true)) return;
  const TimePoint now = clock_.now();
  if (stops_.matched().empty()) {
    result_.text += stops_.finish();
  } else {
    result_.matched_stop = stops_.matched();
  }
  result_.reason = reason;
  result_.error = std::move(error);
  const TimePoint first = first_token_.value_or(now);
  result_.usage.queued = sent_ - submitted_;
  result_.usage.prefill = first - sent_;
  result_.usage.decode = now - first;
  const auto& usage = result_.usage;
  result_.usage.computed_tokens = usage.prompt_tokens - usage.cached_tokens;
  sink_->on_finish(result_);
}

bool RemoteCall::on_body(int status, std::string_view bytes) {
  if (finished_) return false;
  if (status != 200) {
    error_body_.append(bytes.substr(0, kMostErrorBody - error_body_.size()));
    return true;
  }
  const auto events = events_.push(bytes);
  if (!events) {
    finish(FinishReason::failed, Error{ErrorKind::io, host_ + " sent an event without an end"});
    return false;
  }
  for (const std::string& data : *events) {
    if (!take_event(data)) return false;
  }
  return true;
}

/// False when the rest is of no interest.
bool RemoteCall::take_event(std::string_view data) {
  if (data == "[DONE]") {
    finish_stream();
    return true;  // the end of the reply follows, and the connection is kept
  }
  const auto chunk = read_chunk(data);
  if (!chunk) {
    finish(FinishReason::failed, chunk.error());
    return false;
  }
  if (!chunk->error.empty()) {
    finish(FinishReason::failed, Error{ErrorKind::io, host_ + ": " + chunk->error});
    return false;
  }
  return take_chunk(*chunk);
}

bool RemoteCall::take_chunk(const RemoteChunk& chunk) {
  engine::Usage& usage = result_.usage;
  usage.prompt_tokens = chunk.prompt_tokens.value_or(usage.prompt_tokens);
  usage.cached_tokens = chunk.cached_tokens.value_or(usage.cached_tokens);
  if (!chunk.finish_reason.empty()) finish_reason_ = chunk.finish_reason;
  if (chunk.generated_tokens) usage.generated_tokens = *chunk.generated_tokens;
  if (chunk.text.empty()) return true;
  if (!chunk.generated_tokens) usage.generated_tokens += std::max(1, chunk.tokens);
  if (!first_token_) first_token_ = clock_.now();

  const std::string text = stops_.push(chunk.text);
  const engine::Verdict verdict = sink_->on_token({.id = kNoToken,
                                                   .logprob = chunk.logprob.value_or(0.0F),
                                                   .margin = 0.0F,
                                                   .text = text,
                                                   .top = {}});
  if (verdict != engine::Verdict::stop_before) result_.text += text;
  if (verdict != engine::Verdict::go_on) {
    finish(FinishReason::sink);
    return false;
  }
  if (stops_.matched().empty()) return true;
  finish(FinishReason::stop_string);
  return false;
}

void RemoteCall::finish_stream() {
  if (finish_reason_.empty()) {
    return finish(FinishReason::failed,
                  Error{ErrorKind::io, host_ + " ended the reply without saying why"});
  }
  finish(reason_of(finish_reason_));
}

void RemoteCall::on_end(const ClientOutcome& outcome) {
  if (finished_) return ended_(*this, Next::over);
  const bool nothing_told = !first_token_;
  if (outcome.dropped && nothing_told && !std::exchange(retried_, true)) {
    return ended_(*this, Next::again);
  }
  if (!outcome.failure.empty()) {
    finish(FinishReason::failed,
           Error{ErrorKind::io, "the remote server " + host_ + ": " + outcome.failure});
  } else if (outcome.status != 200) {
    refused_status_ = outcome.status;
    return ended_(*this, Next::with_less);
  } else {
    // Some servers end the stream without "[DONE]", and an event without its empty line.
    if (const auto last = events_.finish()) (void)take_event(*last);
    if (!finished_) finish_stream();
  }
  ended_(*this, Next::over);
}

}  // namespace caretd::daemon

// One generation on a remote server: events in, tokens to its sink.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/remote/http_client.h"
#include "daemon/remote/remote_protocol.h"
#include "daemon/remote/sse_parser.h"
#include "engine/engine.h"
#include "engine/scheduler/stop_matcher.h"
#include "support/clock.h"

namespace caretd::daemon {

/// On the client's thread. Tells the sink its end exactly once; on_end() and finish() may both
/// come.
class RemoteCall final : public ClientListener {
 public:
  /// What becomes of a call whose transfer ended.
  enum class Next : std::uint8_t {
    over,      ///< the sink has been told
    again,     ///< dropped before a token: to be sent once more
    with_less  ///< refused for a feature that the server lacks: to be sent without it
  };
  using Ended = std::function<void(RemoteCall& call, Next next)>;

  RemoteCall(engine::GenerationRequest request, RemotePrompt prompt,
             std::shared_ptr<engine::TokenSink> sink, TimePoint submitted, const Clock& clock,
             std::string host, Ended ended);

  [[nodiscard]] const engine::GenerationRequest& request() const { return request_; }
  [[nodiscard]] const RemotePrompt& prompt() const { return prompt_; }
  /// Of a refusal, for learn_from().
  [[nodiscard]] int refused_status() const { return refused_status_; }
  [[nodiscard]] std::string refusal() const { return error_message(error_body_); }
  [[nodiscard]] Error refusal_error() const;
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] const engine::Usage& usage() const { return result_.usage; }

  /// A transfer begins.
  void sent();
  /// Cancelled or past its deadline.
  [[nodiscard]] std::optional<engine::FinishReason> over(TimePoint now) const;
  void finish(engine::FinishReason reason, std::optional<Error> error = {});

  [[nodiscard]] bool on_body(int status, std::string_view bytes) override;
  void on_end(const ClientOutcome& outcome) override;

  HttpClient::Id transfer = 0;  ///< set by whoever sends it

 private:
  [[nodiscard]] bool take_event(std::string_view data);
  [[nodiscard]] bool take_chunk(const RemoteChunk& chunk);
  void finish_stream();

  const engine::GenerationRequest request_;
  const RemotePrompt prompt_;
  const std::shared_ptr<engine::TokenSink> sink_;
  const Clock& clock_;
  const std::string host_;
  const Ended ended_;
  const TimePoint submitted_;
  TimePoint sent_;
  std::optional<TimePoint> first_token_;

  SseParser events_;
  engine::StopMatcher stops_;
  std::string error_body_;
  std::string finish_reason_;
  engine::Generation result_;
  int refused_status_ = 0;
  bool retried_ = false;
  bool finished_ = false;
};

}  // namespace caretd::daemon

// The reply to one request: made on any thread, written by the connection's I/O thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "daemon/http/event_pacer.h"
#include "daemon/http/exchange.h"

namespace caretd::daemon {

/// What the producer of a reply and the connection share.
struct Outbox {
  std::mutex mutex;        ///< guards everything but `gone`
  std::string events;      ///< not yet taken by the I/O thread
  std::size_t unsent = 0;  ///< bytes of events that the socket has not taken
  bool scheduled = false;  ///< the I/O thread has been told
  bool gathers = false;    ///< may wait for the events of other streams
  bool begun = false;      ///< the first event is there
  bool ended = false;
  bool lost = false;  ///< nobody takes anything any more
  std::stop_source gone;
};

/// The connection's side, on the I/O thread but for post(). An outbox that is not the one of the
/// request under way is passed over.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;
  virtual void respond(const std::shared_ptr<Outbox>& outbox, int status,
                       std::string_view content_type, const std::string& body,
                       int retry_after_s) = 0;
  virtual void take_events(const std::shared_ptr<Outbox>& outbox) = 0;
  virtual void reply_was_dropped(const std::shared_ptr<Outbox>& outbox) = 0;
  /// Runs `task` on the I/O thread. Any thread.
  virtual void post(std::function<void()> task) = 0;
};

/// Any thread. Holds the connection; `live` counts those that exist.
class ConnectionReply final : public api::Reply {
 public:
  ConnectionReply(std::shared_ptr<ReplyWriter> writer, std::shared_ptr<Outbox> outbox,
                  EventPacer& pacer, std::size_t most_unsent, std::atomic<int>& live);
  ~ConnectionReply() override;
  ConnectionReply(const ConnectionReply&) = delete;
  ConnectionReply& operator=(const ConnectionReply&) = delete;

  void respond(int status, std::string_view content_type, std::string body,
               int retry_after_s) override;
  [[nodiscard]] bool send_event(std::string_view data) override;
  void gather_events() override;
  void end_events() override;
  [[nodiscard]] std::stop_token gone() const override { return outbox_->gone.get_token(); }

 private:
  void schedule(bool may_wait);

  std::shared_ptr<ReplyWriter> writer_;
  const std::shared_ptr<Outbox> outbox_;
  EventPacer& pacer_;
  const std::size_t most_unsent_;
  std::atomic<int>& live_;
  std::atomic<bool> answered_ = false;
};

}  // namespace caretd::daemon

#include "daemon/http/connection_reply.h"

#include <utility>

namespace caretd::daemon {

ConnectionReply::ConnectionReply(std::shared_ptr<ReplyWriter> writer,
                                 std::shared_ptr<Outbox> outbox, EventPacer& pacer,
                                 std::size_t most_unsent, std::atomic<int>& live)
    : writer_(std::move(writer)),
      outbox_(std::move(outbox)),
      pacer_(pacer),
      most_unsent_(most_unsent),
      live_(live) {
  ++live_;
}

ConnectionReply::~ConnectionReply() {
  if (!answered_) {
    writer_->post([writer = writer_, outbox = outbox_] { writer->reply_was_dropped(outbox); });
  }
  // The connection's socket has to go before the server, which waits for the count alone.
  writer_.reset();
  --live_;
}

void ConnectionReply::respond(int status, std::string_view content_type, std::string body,
                              int retry_after_s) {
  answered_ = true;
  writer_->post([writer = writer_, outbox = outbox_, status, type = std::string(content_type),
                 body = std::move(body),
                 retry_after_s] { writer->respond(outbox, status, type, body, retry_after_s); });
}

bool ConnectionReply::send_event(std::string_view data) {
  bool may_wait = false;
  bool taken = true;
  {
    const std::lock_guard lock(outbox_->mutex);
    if (outbox_->lost) return false;
    const std::size_t before = outbox_->events.size();
    outbox_->events.append("data: ").append(data).append("\n\n");
    outbox_->unsent += outbox_->events.size() - before;
    taken = outbox_->unsent <= most_unsent_;
    outbox_->lost = !taken;
    may_wait = std::exchange(outbox_->begun, true) && outbox_->gathers;
    if (std::exchange(outbox_->scheduled, true)) return taken;
  }
  schedule(may_wait);
  return taken;
}

void ConnectionReply::gather_events() {
  const std::lock_guard lock(outbox_->mutex);
  outbox_->gathers = true;
}

void ConnectionReply::end_events() {
  answered_ = true;
  bool scheduled = false;
  {
    const std::lock_guard lock(outbox_->mutex);
    outbox_->ended = true;
    scheduled = std::exchange(outbox_->scheduled, true);
  }
  // Whoever reads the stream goes on with what comes next once it has ended.
  if (scheduled) {
    pacer_.hurry();
  } else {
    schedule(false);
  }
}

/// However many events come before the I/O thread looks, it is asked once. The outbox is not
/// locked: the thread that is woken would wait for it.
void ConnectionReply::schedule(bool may_wait) {
  pacer_.add([writer = writer_, outbox = outbox_] { writer->take_events(outbox); }, may_wait);
}

}  // namespace caretd::daemon

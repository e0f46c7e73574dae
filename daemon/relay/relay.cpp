#include "daemon/relay/relay.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "daemon/relay/restart_pacing.h"
#include "daemon/relay/session_mirror.h"
#include "lsp/protocol/framing.h"
#include "lsp/protocol/message.h"

namespace caretd::daemon {

namespace {

constexpr std::size_t kChunkBytes = 64 << 10;
constexpr std::size_t kKeptBytes = 1 << 20;
/// Unsent bytes above which the other side is not read any more.
constexpr std::size_t kMostUnsent = 8 << 20;
/// Messages of the daemon may be larger than an editor's (a chat's whole history, a file).
constexpr lsp::FrameLimits kDaemonFrames{.header_bytes = 4096,
                                         .body_bytes = std::size_t{256} << 20};
/// Until when a lost daemon must be replaced, and the pauses between attempts, each twice as long.
constexpr auto kReplaceTime = std::chrono::seconds(10);
constexpr auto kFirstPause = std::chrono::milliseconds(10);
constexpr auto kLongestPause = std::chrono::milliseconds(1000);
/// How long a daemon may take to answer what came before the end of the input.
constexpr auto kDrainTime = std::chrono::milliseconds(3000);

/// Bytes on their way out.
class OutputBuffer {
 public:
  void push(std::string_view bytes) { bytes_.append(bytes); }
  [[nodiscard]] bool empty() const { return sent_ == bytes_.size(); }
  [[nodiscard]] std::size_t size() const { return bytes_.size() - sent_; }
  [[nodiscard]] std::string_view rest() const { return std::string_view(bytes_).substr(sent_); }
  void consume(std::size_t count) {
    sent_ += count;
    if (sent_ < bytes_.size()) return;
    // One large message leaves no large buffer behind.
    if (bytes_.capacity() > kKeptBytes) std::string().swap(bytes_);
    bytes_.clear();
    sent_ = 0;
  }
  void clear() { consume(size()); }

 private:
  std::string bytes_;
  std::size_t sent_ = 0;
};

/// As poll(2) takes them, rounded up; -1 where nothing is waited for.
int milliseconds_until(const std::optional<TimePoint>& time) {
  if (!time) return -1;
  const auto rest =
      std::chrono::ceil<std::chrono::milliseconds>(*time - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<std::int64_t>(0, rest.count()));
}

class Relay {
 public:
  Relay(std::unique_ptr<Stream> stream, const RelayOptions& options)
      : options_(options), stream_(std::move(stream)) {
    daemon_frames_.emplace(kDaemonFrames);
  }

  int run();

 private:
  void wait();
  void read_editor();
  void read_daemon();
  void flush_editor();
  void flush_daemon();
  void on_editor_frame(lsp::FrameEvent event);
  void on_daemon_frame(lsp::FrameEvent event);
  void to_editor(const lsp::Json& message) {
    editor_out_.push(lsp::frame(lsp::to_string(message)));
  }
  void to_daemon(const lsp::Json& message) {
    daemon_out_.push(lsp::frame(lsp::to_string(message)));
  }
  void lose_daemon();
  [[nodiscard]] bool takes_leave(const Result<lsp::Json>& message);
  [[nodiscard]] bool revive(const Result<lsp::Json>& message);
  void answer_without_daemon(const Result<lsp::Json>& message);
  void replace_later();
  void replace_when_due();
  void replace_daemon();
  void give_up(const std::string& sentence);
  /// The editor's last words are with the daemon: hear the daemon out and pass it on.
  void drain();

  const RelayOptions& options_;
  std::unique_ptr<Stream> stream_;
  SessionMirror mirror_;
  lsp::FrameReader editor_frames_;
  std::optional<lsp::FrameReader> daemon_frames_;  // a new one for each daemon
  OutputBuffer editor_out_;
  OutputBuffer daemon_out_;
  std::array<char, kChunkBytes> buffer_{};
  RestartPacing pacing_;
  std::optional<TimePoint> replace_at_;  ///< while a lost daemon is not replaced yet
  short editor_events_ = 0;
  short daemon_events_ = 0;
  bool editor_gone_ = false;
  bool shut_down_ = false;    // the editor asked for shutdown
  bool exited_ = false;       // and for exit
  bool daemon_gone_ = false;  // and not to be replaced
};

void Relay::wait() {
  const bool read_editor = !editor_gone_ && daemon_out_.size() < kMostUnsent;
  const bool read_daemon = editor_out_.size() < kMostUnsent;
  const bool write_daemon = stream_ && (!daemon_out_.empty() || stream_->wants_to_write());
  std::array<pollfd, 3> entries{{
      {read_editor ? options_.input : -1, POLLIN, 0},
      {editor_out_.empty() ? -1 : options_.output, POLLOUT, 0},
      {stream_ ? stream_->descriptor() : -1,
       static_cast<short>((read_daemon ? POLLIN : 0) | (write_daemon ? POLLOUT : 0)), 0},
  }};
  if (poll(entries.data(), entries.size(), milliseconds_until(replace_at_)) < 0) entries = {};
  editor_events_ = entries[0].revents;
  daemon_events_ = entries[2].revents;
}

void Relay::read_editor() {
  const ssize_t count = read(options_.input, buffer_.data(), buffer_.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    editor_gone_ = true;
    return;
  }
  editor_frames_.push({buffer_.data(), static_cast<std::size_t>(count)});
  while (auto event = editor_frames_.next()) on_editor_frame(*std::move(event));
}

void Relay::on_editor_frame(lsp::FrameEvent event) {
  if (const auto* fault = std::get_if<lsp::FrameFault>(&event)) {
    to_editor(lsp::make_error_response(nullptr, {lsp::ErrorCode::parse_error, fault->message}));
    return;
  }
  const std::string& body = std::get<std::string>(event);
  const auto message = lsp::parse_json(body);
  // Before the mirror sees the message: what is replayed must not contain it yet.
  if (!stream_ && replace_at_) return answer_without_daemon(message);
  if (!stream_ && !revive(message)) return;
  if (message) {
    if (!mirror_.on_client_message(*message)) return;
    const bool named = message->is_object() && message->contains("method");
    if (named && (*message)["method"] == "shutdown") shut_down_ = true;
    if (named && (*message)["method"] == "exit") exited_ = editor_gone_ = true;
  }
  daemon_out_.push(lsp::frame(body));
}

void Relay::read_daemon() {
  while (stream_) {
    const auto got = stream_->read(buffer_);
    if (got.outcome == Stream::Outcome::would_block) return;
    if (got.outcome == Stream::Outcome::closed) return lose_daemon();
    daemon_frames_->push({buffer_.data(), got.bytes});
    while (auto event = daemon_frames_->next()) on_daemon_frame(*std::move(event));
    if (editor_out_.size() >= kMostUnsent) return;
  }
}

void Relay::on_daemon_frame(lsp::FrameEvent event) {
  const auto* body = std::get_if<std::string>(&event);
  if (body == nullptr) return;
  const auto message = lsp::parse_json(*body);
  if (message && !mirror_.on_daemon_message(*message)) return;
  editor_out_.push(lsp::frame(*body));
}

void Relay::flush_editor() {
  const std::string_view rest = editor_out_.rest();
  const ssize_t count = write(options_.output, rest.data(), rest.size());
  if (count >= 0) {
    editor_out_.consume(static_cast<std::size_t>(count));
  } else if (errno != EAGAIN && errno != EINTR) {
    editor_out_.clear();
    editor_gone_ = true;
  }
}

void Relay::flush_daemon() {
  while (stream_ && !daemon_out_.empty()) {
    const auto sent = stream_->write(daemon_out_.rest());
    if (sent.outcome == Stream::Outcome::would_block) return;
    if (sent.outcome == Stream::Outcome::closed) return lose_daemon();
    daemon_out_.consume(sent.bytes);
  }
}

void Relay::lose_daemon() {
  daemon_out_.clear();
  daemon_frames_.emplace(kDaemonFrames);
  for (const lsp::Json& message : mirror_.on_daemon_lost()) to_editor(message);
  stream_.reset();
  if (editor_gone_ || shut_down_) {
    daemon_gone_ = true;
  } else if (!mirror_.said_goodbye()) {
    replace_later();
  }
}

void Relay::replace_later() {
  if (mirror_.was_of_use()) pacing_.forget();
  const auto pause = pacing_.on_loss(std::chrono::steady_clock::now());
  if (!pause) {
    return give_up("caretd gave up on its daemon, which ended " + std::to_string(kMostLosses) +
                   " times within a minute: " + options_.advice +
                   ", then restart the language server.");
  }
  replace_at_ = std::chrono::steady_clock::now() + *pause;
  replace_when_due();
}

void Relay::replace_when_due() {
  if (!replace_at_ || std::chrono::steady_clock::now() < *replace_at_) return;
  replace_at_.reset();
  replace_daemon();
}

/// Without a daemon. Whether the message is the editor's goodbye, which is answered then.
bool Relay::takes_leave(const Result<lsp::Json>& message) {
  const bool named = message && message->is_object() && message->contains("method");
  const bool leaving =
      named && ((*message)["method"] == "shutdown" || (*message)["method"] == "exit");
  if (!leaving) return false;
  replace_at_.reset();
  exited_ = (*message)["method"] == "exit";
  shut_down_ = shut_down_ || !exited_;
  editor_gone_ = exited_;
  if (message->contains("id")) to_editor(lsp::make_response((*message)["id"], nullptr));
  return true;
}

/// A daemon that was told to stop comes back when the editor has something to say, unless that is
/// its own goodbye. Whether the message is to be passed on.
bool Relay::revive(const Result<lsp::Json>& message) {
  if (takes_leave(message)) return false;
  replace_daemon();
  return stream_ != nullptr;
}

/// The mirror keeps what the next daemon has to know; nobody waits for an answer until it is there.
void Relay::answer_without_daemon(const Result<lsp::Json>& message) {
  if (!message || takes_leave(message)) return;
  (void)mirror_.on_client_message(*message);
  for (const lsp::Json& answer : mirror_.on_daemon_lost()) to_editor(answer);
}

void Relay::replace_daemon() {
  options_.log->warn("the daemon is gone; connecting again");
  const auto deadline = std::chrono::steady_clock::now() + kReplaceTime;
  for (auto pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    auto stream = options_.connect();
    if (stream) {
      stream_ = *std::move(stream);
      for (const lsp::Json& message : mirror_.replay()) to_daemon(message);
      return;
    }
    const Error& error = stream.error();
    options_.log->warn("no daemon: {}", error.message);
    // Another version stays another version.
    const bool late = std::chrono::steady_clock::now() + pause > deadline;
    if (error.kind == ErrorKind::unsupported || late) {
      return give_up("caretd lost its daemon: " + error.message + ". Restart the language server.");
    }
    std::this_thread::sleep_for(pause);
  }
}

/// The editor starts a new relay, which is of the installed version and falls back if it has to.
void Relay::give_up(const std::string& sentence) {
  constexpr int kErrorMessage = 1;  // MessageType.Error of the specification
  to_editor(lsp::make_notification("window/showMessage",
                                   {{"type", kErrorMessage}, {"message", sentence}}));
  daemon_gone_ = true;
}

void Relay::drain() {
  if (!stream_) daemon_gone_ = true;
  if (!daemon_gone_) stream_->finish_writing();
  const auto deadline = std::chrono::steady_clock::now() + kDrainTime;
  while (!(daemon_gone_ && editor_out_.empty()) && std::chrono::steady_clock::now() < deadline) {
    std::array<pollfd, 2> entries{{
        {editor_out_.empty() ? -1 : options_.output, POLLOUT, 0},
        {daemon_gone_ ? -1 : stream_->descriptor(), POLLIN, 0},
    }};
    poll(entries.data(), entries.size(), static_cast<int>(kDrainTime.count()));
    if (entries[1].revents != 0) read_daemon();
    if (!editor_out_.empty()) flush_editor();
  }
}

int Relay::run() {
  while (!daemon_gone_ && !(editor_gone_ && daemon_out_.empty())) {
    wait();
    if (editor_events_ != 0) read_editor();
    if (daemon_events_ != 0) read_daemon();
    replace_when_due();
    flush_daemon();
    if (!editor_out_.empty()) flush_editor();
  }
  drain();
  return exited_ && shut_down_ ? 0 : 1;
}

}  // namespace

int run_relay(std::unique_ptr<Stream> stream, const RelayOptions& options) {
  fcntl(options.output, F_SETFL, fcntl(options.output, F_GETFL) | O_NONBLOCK);
  return Relay(std::move(stream), options).run();
}

}  // namespace caretd::daemon

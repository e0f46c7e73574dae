// The editor's end of a session: pipes to a server in this process, over the transport that
// `caretd lsp --standalone` has.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <nlohmann/json.hpp>

#include "daemon/process/unique_fd.h"
#include "daemon/transport/stdio.h"
#include "lsp/documents/text.h"
#include "lsp/server.h"

namespace caretd::daemon::replay {

/// A suggestion as the editor got it.
struct Item {
  std::string text;
  lsp::Range range;  ///< of the document it was asked for
};

struct Answer {
  TimePoint arrived;         ///< the last byte of the message was read
  std::optional<Item> item;  ///< the first one
};

/// One session with one document open at a time. For one thread.
class Editor {
 public:
  /// Begins the session. Everything named outlives the editor.
  Editor(const lsp::SessionServices& services, const Clock& clock);
  /// Ends it, and returns when the server has ended.
  ~Editor();
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  void open(const std::string& uri, const std::string& language, const std::string& text);
  void close();
  [[nodiscard]] const lsp::Text& document() const { return document_; }

  /// Replaces bytes [begin, end) and asks for a suggestion behind the new text, both in one write.
  /// The handle is for wait_for().
  std::int64_t edit(std::size_t begin, std::size_t end, std::string_view text);
  /// caretd/didFocus: the cursor is there and rests.
  void look_at(std::size_t offset);

  /// Nothing if there is no answer at `until`; without `until`, waits for it.
  [[nodiscard]] std::optional<Answer> wait_for(std::int64_t handle, std::optional<TimePoint> until);
  /// caretd/why of the open document.
  [[nodiscard]] nlohmann::json why();
  /// Returns when the server has handled everything that was sent.
  void synchronise();

 private:
  struct Response {
    TimePoint arrived;
    nlohmann::json message;
  };

  std::string request(std::int64_t id, std::string_view method, nlohmann::json params) const;
  nlohmann::json call(std::string_view method, nlohmann::json params);
  std::optional<Response> take(std::int64_t id, std::optional<TimePoint> until);
  void send(std::string_view bytes) const;
  void read_answers();

  const Clock& clock_;
  UniqueFd to_server_;
  UniqueFd from_server_;
  UniqueFd server_input_;
  UniqueFd server_output_;
  std::shared_ptr<StdioTransport> transport_;
  std::unique_ptr<lsp::Session> session_;
  std::thread server_;
  std::thread reader_;

  std::int64_t next_id_ = 1;
  std::string uri_;
  std::int64_t version_ = 0;
  lsp::Text document_;

  std::mutex mutex_;  // below
  std::condition_variable arrived_;
  std::map<std::int64_t, Response> responses_;
  bool ended_ = false;
};

}  // namespace caretd::daemon::replay

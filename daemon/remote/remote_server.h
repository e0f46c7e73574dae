// The server that the settings name: finding it, and what is known of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/config/settings.h"
#include "daemon/remote/http_client.h"
#include "daemon/remote/remote_protocol.h"
#include "engine/engine.h"
#include "support/result.h"

namespace caretd::daemon {

struct RemoteServer {
  std::string base;  ///< URL with the version: "https://box:8000/v1"
  std::string api_key;
  RemoteModel model;
  RemoteFeatures features;
  bool fill_in_the_middle = true;                      ///< remote.fim is not "off"
  std::shared_ptr<const engine::Tokenizer> tokenizer;  ///< null without remote.tokenizer

  /// Of every request.
  [[nodiscard]] std::vector<std::string> headers() const;
  /// As status bars show it; `host` is host_of() of the URL.
  [[nodiscard]] engine::ModelInfo describe(const std::string& host) const;
};

/// Reads the files that the settings name (anew each time, because files change) and asks the
/// server for its models. `found` is called once, inside or after the call. On the client's thread.
void find_server(HttpClient& client, const RemoteSettings& settings,
                 std::function<void(Result<RemoteServer>)> found);

}  // namespace caretd::daemon

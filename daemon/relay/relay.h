// The relay: an editor's stdin and stdout on one side, the daemon on the other.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "daemon/relay/stream.h"
#include "support/log.h"
#include "support/result.h"

namespace caretd::daemon {

struct RelayOptions {
  int input = 0;   ///< the editor's end; borrowed
  int output = 1;  ///< borrowed
  /// Connects, and starts a daemon where that is the way. Called again when the daemon is lost.
  std::function<Result<std::unique_ptr<Stream>>()> connect;
  /// What helps to find out why daemons end, in the imperative: "run caretd doctor".
  std::string advice;
  Logger log;
};

/// Relays whole messages over `stream` (already connected) until the editor is done. A lost daemon
/// is replaced and told everything it has to know, unless ten in a row end within a minute;
/// requests it had not answered get an empty answer. Returns the exit code the protocol asks for: 0
/// after shutdown and exit. Blocks.
[[nodiscard]] int run_relay(std::unique_ptr<Stream> stream, const RelayOptions& options);

}  // namespace caretd::daemon

#include "engine/engine.h"

namespace caretd::engine {

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_of_sentence: return "end_of_sentence";
    case FinishReason::stop_string: return "stop_string";
    case FinishReason::sink: return "sink";
    case FinishReason::max_tokens: return "max_tokens";
    case FinishReason::context_full: return "context_full";
    case FinishReason::deadline: return "deadline";
    case FinishReason::cancelled: return "cancelled";
    case FinishReason::failed: return "failed";
  }
  return "unknown";
}

}  // namespace caretd::engine

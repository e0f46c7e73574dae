#include "engine/engine.h"

#include <algorithm>

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

EngineStatistics& EngineStatistics::operator+=(const EngineStatistics& other) {
  requests += other.requests;
  prompt_tokens += other.prompt_tokens;
  cached_tokens += other.cached_tokens;
  generated_tokens += other.generated_tokens;
  steps += other.steps;
  running += other.running;
  queued += other.queued;
  kv_used_bytes += other.kv_used_bytes;
  kv_pinned_bytes += other.kv_pinned_bytes;
  longest_step = std::max(longest_step, other.longest_step);
  host_time += other.host_time;
  return *this;
}

}  // namespace caretd::engine

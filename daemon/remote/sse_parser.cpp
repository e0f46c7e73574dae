#include "daemon/remote/sse_parser.h"

#include <utility>

namespace caretd::daemon {

std::optional<std::vector<std::string>> SseParser::push(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    const bool second_of_pair = std::exchange(after_return_, c == '\r') && c == '\n';
    if (second_of_pair) continue;
    if (c == '\n' || c == '\r') {
      take_line(line_, events);
      line_.clear();
    } else {
      line_ += c;
    }
    if (line_.size() + (data_ ? data_->size() : 0) > kMostEventBytes) return std::nullopt;
  }
  return events;
}

void SseParser::take_line(std::string_view line, std::vector<std::string>& events) {
  if (line.empty()) {
    if (data_) events.push_back(*std::exchange(data_, std::nullopt));
    return;
  }
  constexpr std::string_view kField = "data:";
  if (!line.starts_with(kField)) return;
  line.remove_prefix(kField.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (data_) {
    data_->append("\n").append(line);
  } else {
    data_.emplace(line);
  }
}

std::optional<std::string> SseParser::finish() {
  std::vector<std::string> events;
  const std::string line = std::exchange(line_, {});
  if (!line.empty()) take_line(line, events);  // an empty one would end the event
  return std::exchange(data_, std::nullopt);
}

}  // namespace caretd::daemon

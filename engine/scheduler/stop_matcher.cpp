#include "engine/scheduler/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace caretd::engine {
namespace {

bool begins_inside_character(std::string_view text) {
  return (static_cast<unsigned char>(text.front()) & 0xC0U) == 0x80U;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) {
    return stop.empty() || begins_inside_character(stop);
  });
}

std::string StopMatcher::push(std::string_view piece) {
  if (!matched_.empty()) return {};
  if (stops_.empty()) return std::string(piece);
  held_ += piece;
  if (match()) return std::exchange(held_, {});
  const size_t certain = held_.size() - length_to_hold();
  std::string text = held_.substr(0, certain);
  held_.erase(0, certain);
  return text;
}

std::string StopMatcher::finish() {
  return std::exchange(held_, {});
}

/// Cuts held_ before the earliest stop string it contains.
bool StopMatcher::match() {
  size_t first = std::string::npos;
  const std::string* found = nullptr;
  for (const std::string& stop : stops_) {
    const size_t at = held_.find(stop);
    if (at >= first) continue;
    first = at;
    found = &stop;
  }
  if (found == nullptr) return false;
  matched_ = *found;
  held_.resize(first);
  return true;
}

/// The longest end of held_ that is the beginning of a stop string.
size_t StopMatcher::length_to_hold() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) longest = n;
    }
  }
  return longest;
}

}  // namespace caretd::engine

// Server-sent events as they come over the wire (WHATWG HTML, section 9.2.6), as far as servers of
// language models use them: `data` fields; comments and other fields are passed over.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace caretd::daemon {

/// Takes bytes in whatever pieces they arrive.
class SseParser {
 public:
  /// Longer events are no events of a language model.
  static constexpr std::size_t kMostEventBytes = std::size_t{4} << 20;

  /// The data of the events that are complete with these bytes. Nothing once an event is longer
  /// than the bound.
  [[nodiscard]] std::optional<std::vector<std::string>> push(std::string_view bytes);
  /// What a stream that ends without an empty line leaves.
  [[nodiscard]] std::optional<std::string> finish();

 private:
  void take_line(std::string_view line, std::vector<std::string>& events);

  std::string line_;
  std::optional<std::string> data_;
  bool after_return_ = false;  ///< a newline that follows belongs to the return before it
};

}  // namespace caretd::daemon

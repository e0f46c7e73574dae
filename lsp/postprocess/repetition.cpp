#include "lsp/postprocess/repetition.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

constexpr std::size_t kTimes = 4;
constexpr std::size_t kLongestUnit = 64;
// Arguments below an opening bracket are indented as far as it stands to the right.
constexpr std::size_t kLongestIndentation = 160;

// How many bytes at the end of `text` have the period `unit`.
std::size_t periodic_bytes(std::string_view text, std::size_t unit) {
  const auto ahead = text.rbegin() + static_cast<std::ptrdiff_t>(unit);
  const auto differ = std::mismatch(ahead, text.rend(), text.rbegin());
  return unit + static_cast<std::size_t>(differ.first - ahead);
}

}  // namespace

std::optional<std::size_t> begin_of_repetition(std::string_view text, std::size_t least) {
  const std::size_t longest = std::min(kLongestUnit, text.size() / kTimes);
  for (std::size_t unit = 1; unit <= longest; ++unit) {
    const std::size_t bytes = periodic_bytes(text, unit);
    const std::size_t times = bytes / unit;
    const bool space = text.substr(text.size() - unit).find_first_not_of(" \t") == text.npos;
    if (times >= kTimes && bytes >= (space ? kLongestIndentation : least))
      return text.size() - (times - 1) * unit;
  }
  return std::nullopt;
}

}  // namespace caretd::lsp

#include "engine/text/byte_index.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace caretd::engine {

ByteIndex::ByteIndex(std::span<const std::string_view> bytes)
    : end_id_(static_cast<TokenId>(bytes.size())) {
  for (std::size_t id = 0; id < bytes.size(); ++id) {
    if (bytes[id].empty()) continue;
    entries_.push_back({bytes[id], static_cast<TokenId>(id)});
    longest_ = std::max(longest_, bytes[id].size());
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.bytes < b.bytes; });
}

std::vector<TokenId> ByteIndex::agreeing_with(std::string_view prefix) const {
  // Marking ids in a bit set and reading it in order sorts thousands of ids in microseconds.
  std::vector<std::uint64_t> marked((static_cast<std::size_t>(end_id_) + 63) / 64);
  std::size_t count = 0;
  const auto mark = [&](auto from, auto to) {
    for (; from != to; ++from, ++count) marked[from->id / 64] |= std::uint64_t{1} << from->id % 64;
  };
  const auto below = [](const Entry& entry, std::string_view bytes) { return entry.bytes < bytes; };
  for (std::size_t length = 1; length < std::min(prefix.size(), longest_ + 1); ++length) {
    const std::string_view start = prefix.substr(0, length);
    const auto first = std::lower_bound(entries_.begin(), entries_.end(), start, below);
    mark(first, std::find_if(first, entries_.end(),
                             [&](const Entry& entry) { return entry.bytes != start; }));
  }
  const auto first = std::lower_bound(entries_.begin(), entries_.end(), prefix, below);
  mark(first, std::partition_point(first, entries_.end(), [&](const Entry& entry) {
         return entry.bytes.starts_with(prefix);
       }));
  std::vector<TokenId> ids;
  ids.reserve(count);
  for (std::size_t word = 0; word < marked.size(); ++word) {
    for (std::uint64_t bits = marked[word]; bits != 0; bits &= bits - 1) {
      ids.push_back(static_cast<TokenId>(word * 64) + std::countr_zero(bits));
    }
  }
  return ids;
}

bool ByteIndex::has_longer_than(std::string_view prefix) const {
  const auto above = [](std::string_view bytes, const Entry& entry) { return bytes < entry.bytes; };
  const auto next = std::upper_bound(entries_.begin(), entries_.end(), prefix, above);
  return next != entries_.end() && next->bytes.starts_with(prefix);
}

}  // namespace caretd::engine

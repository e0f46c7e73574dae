#include "lsp/documents/text.h"

#include <algorithm>
#include <utility>

namespace caretd::lsp {

Text::Text(std::string bytes) : bytes_(std::move(bytes)), line_starts_{0} {
  for (std::size_t offset = bytes_.find_first_of("\r\n"); offset != std::string::npos;
       offset = bytes_.find_first_of("\r\n", offset + 1)) {
    if (starts_line(offset + 1)) line_starts_.push_back(static_cast<std::uint32_t>(offset + 1));
  }
}

// Depends on the bytes before and at `offset` alone; replace() relies on that.
bool Text::starts_line(std::size_t offset) const {
  if (offset == 0) return true;
  if (bytes_[offset - 1] == '\n') return true;
  return bytes_[offset - 1] == '\r' && (offset == bytes_.size() || bytes_[offset] != '\n');
}

std::size_t Text::line_end(std::size_t line) const {
  if (line + 1 >= line_starts_.size()) return bytes_.size();
  std::size_t end = line_starts_[line + 1] - 1;
  if (bytes_[end] == '\n' && end > line_starts_[line] && bytes_[end - 1] == '\r') --end;
  return end;
}

std::string_view Text::line(std::size_t line) const {
  const std::size_t begin = line_start(line);
  return view().substr(begin, line_end(line) - begin);
}

std::size_t Text::line_of(std::size_t offset) const {
  const auto after = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  return static_cast<std::size_t>(after - line_starts_.begin()) - 1;
}

std::size_t Text::offset_at(Position position, PositionEncoding encoding) const {
  if (position.line >= line_count()) return bytes_.size();
  return line_start(position.line) +
         byte_offset_in_line(line(position.line), position.character, encoding);
}

Position Text::position_at(std::size_t offset, PositionEncoding encoding) const {
  const std::size_t row = line_of(std::min(offset, bytes_.size()));
  const std::size_t begin = line_start(row);
  const std::size_t end = std::clamp(offset, begin, line_end(row));
  return {static_cast<std::uint32_t>(row), length_in(view().substr(begin, end - begin), encoding)};
}

TextPoint Text::point_at(std::size_t offset) const {
  const std::size_t clamped = std::min(offset, bytes_.size());
  const std::size_t row = line_of(clamped);
  return {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(clamped - line_start(row))};
}

ByteEdit Text::replace(std::size_t begin, std::size_t end, std::string_view with) {
  ByteEdit edit{begin, end, begin + with.size(), point_at(begin), point_at(end), {}};
  // Put together anew: a string that grows in place keeps room to double, in every version of a
  // document that somebody holds.
  std::string bytes;
  bytes.reserve(bytes_.size() - (end - begin) + with.size());
  bytes.append(bytes_, 0, begin).append(with).append(bytes_, end);
  bytes_ = std::move(bytes);

  // A line start outside of [begin, end] keeps both bytes that make it one, so only this stretch
  // is looked at again and what follows it moves.
  std::vector<std::uint32_t> fresh;
  for (std::size_t offset = std::max<std::size_t>(begin, 1); offset <= edit.new_end; ++offset) {
    if (starts_line(offset)) fresh.push_back(static_cast<std::uint32_t>(offset));
  }
  const auto first = std::lower_bound(line_starts_.begin() + 1, line_starts_.end(), begin);
  auto last = std::upper_bound(first, line_starts_.end(), end);
  const auto shift = static_cast<std::uint32_t>(edit.new_end - end);  // wraps when negative
  for (auto start = last; start != line_starts_.end(); ++start) *start += shift;
  const auto kept = line_starts_.erase(first, last);
  line_starts_.insert(kept, fresh.begin(), fresh.end());

  edit.new_end_point = point_at(edit.new_end);
  return edit;
}

}  // namespace caretd::lsp

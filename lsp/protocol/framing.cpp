#include "lsp/protocol/framing.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace caretd::lsp {
namespace {

constexpr std::size_t kKeptBytes = std::size_t{1} << 20;
constexpr std::string_view kContentLength = "content-length";
constexpr std::string_view kContentType = "content-type";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(std::string_view text, std::string_view lowercase) {
  return std::equal(text.begin(), text.end(), lowercase.begin(), lowercase.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::size_t find_ignoring_case(std::string_view text, std::string_view lowercase) {
  const auto found = std::search(text.begin(), text.end(), lowercase.begin(), lowercase.end(),
                                 [](char a, char b) { return lower(a) == b; });
  return found == text.end() ? std::string_view::npos
                             : static_cast<std::size_t>(found - text.begin());
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || c == '-';
  });
}

// Larger than any body we skip over; such a length is garbage and not a message.
constexpr std::uint64_t kLargestCredibleLength = std::uint64_t{1} << 40;

std::optional<std::uint64_t> parse_length(std::string_view digits) {
  std::uint64_t length = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, length);
  if (error != std::errc() || stopped != end || length > kLargestCredibleLength) {
    return std::nullopt;
  }
  return length;
}

// "application/vscode-jsonrpc; charset=utf-8"; utf8 is the older spelling.
bool is_utf8_content(std::string_view content_type) {
  const std::size_t charset = find_ignoring_case(content_type, "charset=");
  if (charset == std::string_view::npos) return true;
  std::string_view name = trimmed(content_type.substr(charset + 8));
  if (name.size() >= 2 && name.front() == '"') name = name.substr(1, name.size() - 2);
  return equal_ignoring_case(name, "utf-8") || equal_ignoring_case(name, "utf8");
}

struct Header {
  std::optional<std::uint64_t> length;
  bool utf8 = true;
};

// Nothing where a line is no header field.
std::optional<Header> parse_header(std::string_view text) {
  Header header;
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, newline));
    text.remove_prefix(std::min(newline + 1, text.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_header_name(line.substr(0, colon))) {
      return std::nullopt;
    }
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (equal_ignoring_case(line.substr(0, colon), kContentLength)) {
      header.length = parse_length(value);
      if (!header.length) return std::nullopt;
    } else if (equal_ignoring_case(line.substr(0, colon), kContentType)) {
      header.utf8 = is_utf8_content(value);
    }
  }
  return header;
}

// Length of the header section with its blank line, 0 while that is not there.
std::size_t header_section(std::string_view text) {
  const std::size_t crlf = text.find("\r\n\r\n");
  const std::size_t lf = text.find("\n\n");
  if (crlf < lf) return crlf + 4;
  return lf == std::string_view::npos ? 0 : lf + 2;
}

}  // namespace

std::optional<FrameEvent> FrameReader::next() {
  while (true) {
    switch (state_) {
      case State::header: {
        std::optional<FrameEvent> event = read_header();
        if (event || state_ == State::header) return event;
        break;
      }
      case State::body:
        return read_body();
      case State::skipped_body:
        if (!skip_body()) return std::nullopt;
        break;
      case State::resync:
        if (!find_next_header()) return std::nullopt;
        break;
    }
  }
}

std::optional<FrameEvent> FrameReader::read_header() {
  // Only as much as a header may have is searched, however much a fast client has sent.
  const std::string_view text = unread().substr(0, limits_.header_bytes + 4);
  const std::size_t end = header_section(text);
  if (end != 0 && end <= limits_.header_bytes) return accept_header(text.substr(0, end), end);
  if (text.size() <= limits_.header_bytes) return std::nullopt;
  return lose_sync(1, "The header of a message is longer than " +
                          std::to_string(limits_.header_bytes) + " bytes.");
}

std::optional<FrameEvent> FrameReader::accept_header(std::string_view text, std::size_t end) {
  const std::string_view fields = text.substr(0, text.find_last_not_of("\r\n") + 1);
  const std::optional<Header> header = parse_header(fields);
  if (!header || !header->length) {
    const bool begins_like_one = find_ignoring_case(text, kContentLength) == 0;
    return lose_sync(begins_like_one ? 1 : 0,
                     "A message has no valid Content-Length header; input was skipped up to the "
                     "next one that has.");
  }
  consume(end);
  length_ = static_cast<std::size_t>(*header->length);
  if (length_ > limits_.body_bytes) {
    state_ = State::skipped_body;
    return FrameFault{"A message of " + std::to_string(length_) +
                      " bytes was skipped; the limit is " + std::to_string(limits_.body_bytes) +
                      "."};
  }
  if (!header->utf8) {
    state_ = State::skipped_body;
    return FrameFault{"A message in another encoding than UTF-8 was skipped."};
  }
  state_ = State::body;
  return std::nullopt;
}

std::optional<FrameEvent> FrameReader::read_body() {
  if (unread().size() < length_) return std::nullopt;
  std::string body(unread().substr(0, length_));
  consume(length_);
  state_ = State::header;
  return body;
}

bool FrameReader::skip_body() {
  const std::size_t available = std::min(unread().size(), length_);
  consume(available);
  length_ -= available;
  if (length_ > 0) return false;
  state_ = State::header;
  return true;
}

bool FrameReader::find_next_header() {
  const std::size_t found = find_ignoring_case(unread(), kContentLength);
  if (found != std::string_view::npos) {
    consume(found);
    state_ = State::header;
    return true;
  }
  // The word may be cut in two by the end of what has arrived.
  const std::size_t kept = std::min(unread().size(), kContentLength.size() - 1);
  consume(unread().size() - kept);
  return false;
}

FrameFault FrameReader::lose_sync(std::size_t skip, std::string message) {
  consume(skip);
  state_ = State::resync;
  return {std::move(message)};
}

void FrameReader::consume(std::size_t bytes) {
  consumed_ += bytes;
  if (consumed_ == buffer_.size()) {
    // One large message leaves no large buffer behind.
    if (buffer_.capacity() > kKeptBytes) std::string().swap(buffer_);
    buffer_.clear();
    consumed_ = 0;
  } else if (consumed_ > buffer_.size() / 2) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
}

std::string frame(std::string_view body) {
  std::string bytes = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  bytes += body;
  return bytes;
}

}  // namespace caretd::lsp

#include "lsp/documents/token_buffer.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace caretd::lsp {
namespace {

// Where no tokenizer is at hand: code has some three bytes a token.
constexpr int kBytesPerToken = 3;
// A part of a long line is searched for secrets with so many bytes on either side.
constexpr std::size_t kSecretMargin = 512;

int estimate(std::size_t bytes) {
  return static_cast<int>((bytes + kBytesPerToken - 1) / kBytesPerToken);
}

std::string_view without_terminator(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::shared_ptr<const TokenBuffer> TokenBuffer::build(
    DocumentSnapshot document, std::shared_ptr<const engine::Tokenizer> tokenizer,
    const TokenBuffer* before) {
  const auto buffer = std::make_shared<TokenBuffer>();
  buffer->document_ = std::move(document);
  buffer->tokenizer_ = std::move(tokenizer);
  buffer->exact_ = buffer->tokenizer_ && buffer->tokenizer_->splits_at_newlines();
  const bool reusable = before && before->tokenizer_ == buffer->tokenizer_;
  buffer->fill(reusable ? before : nullptr);
  return buffer;
}

std::string_view TokenBuffer::line_text(std::size_t line) const {
  const Text& text = document_->text;
  const std::size_t begin = text.line_start(line);
  const std::size_t end = line + 1 < text.line_count() ? text.line_start(line + 1) : text.size();
  return text.view().substr(begin, end - begin);
}

TokenBuffer::LinePtr TokenBuffer::encode(std::string_view line, RedactionState state) const {
  auto encoded = std::make_shared<Line>();
  encoded->before = state;
  if (line.size() > kLongLine) {
    encoded->is_long = true;
    encoded->after = state;
    encoded->tokens = estimate(line.size());
    return encoded;
  }
  encoded->secrets = find_secrets(without_terminator(line), state);
  encoded->after = state;
  std::string kept;
  if (!encoded->secrets.empty()) {
    RedactionState again = encoded->before;
    const std::string_view body = without_terminator(line);
    kept = redact_line(body, again) + std::string(line.substr(body.size()));
  }
  const std::string_view shown = encoded->secrets.empty() ? line : std::string_view(kept);
  if (tokenizer_) encoded->ids = tokenizer_->encode(shown);
  encoded->tokens = tokenizer_ ? static_cast<int>(encoded->ids.size()) : count(shown);
  return encoded;
}

// Lines in front of the first and behind the last difference are taken over as they are, those in
// between by their text: several cursors edit lines far apart.
void TokenBuffer::fill(const TokenBuffer* before) {
  const std::size_t count = document_->text.line_count();
  const std::size_t old_count = before ? before->line_count() : 0;
  lines_.reserve(count);
  std::size_t same = 0;
  while (same < std::min(count, old_count) && line_text(same) == before->line_text(same)) {
    lines_.push_back(before->lines_[same++]);
  }
  std::size_t same_at_end = 0;
  while (same_at_end < std::min(count, old_count) - same &&
         line_text(count - 1 - same_at_end) == before->line_text(old_count - 1 - same_at_end)) {
    ++same_at_end;
  }
  std::unordered_map<std::string_view, LinePtr> known;
  for (std::size_t i = same; i + same_at_end < old_count; ++i) {
    known.emplace(before->line_text(i), before->lines_[i]);
  }
  RedactionState state = lines_.empty() ? RedactionState{} : lines_.back()->after;
  for (std::size_t i = same; i < count; ++i) {
    LinePtr line;
    if (i >= count - same_at_end) {
      line = before->lines_[old_count - (count - i)];
    } else if (const auto found = known.find(line_text(i)); found != known.end()) {
      line = found->second;
    }
    if (!line || line->before != state) line = encode(line_text(i), state);
    state = line->after;
    lines_.push_back(std::move(line));
  }
}

std::vector<SecretSpan> TokenBuffer::secrets_in(std::size_t line, std::size_t begin,
                                                std::size_t end) const {
  if (!lines_[line]->is_long) return lines_[line]->secrets;
  const std::string_view text = without_terminator(line_text(line));
  const std::size_t from = begin - std::min(begin, kSecretMargin);
  if (from >= text.size()) return {};
  RedactionState state = lines_[line]->before;
  std::vector<SecretSpan> found =
      find_secrets(text.substr(from, end + kSecretMargin - from), state);
  for (SecretSpan& span : found) {
    span.begin += from;
    span.end += from;
  }
  return found;
}

std::string TokenBuffer::redacted_part(std::size_t line, std::size_t begin, std::size_t end) const {
  const std::string_view text = line_text(line);
  std::string result;
  std::size_t at = begin;
  for (const SecretSpan& secret : secrets_in(line, begin, end)) {
    if (secret.end <= begin || secret.begin >= end) continue;
    if (secret.begin > at) result += text.substr(at, secret.begin - at);
    result += kRedacted;
    at = std::min(secret.end, end);
  }
  if (at < end) result += text.substr(at, end - at);
  return result;
}

std::string TokenBuffer::text(std::size_t begin, std::size_t end) const {
  const Text& text = document_->text;
  end = std::min(end, text.size());
  std::string result;
  while (begin < end) {
    const std::size_t line = text.line_of(begin);
    const std::size_t line_begin = text.line_start(line);
    const std::size_t line_end = line_begin + line_text(line).size();
    const std::size_t part_end = std::min(end, line_end);
    result += redacted_part(line, begin - line_begin, part_end - line_begin);
    begin = part_end;
  }
  return result;
}

std::vector<engine::TokenId> TokenBuffer::ids(std::size_t begin, std::size_t end) const {
  const Text& text = document_->text;
  end = std::min(end, text.size());
  std::vector<engine::TokenId> result;
  while (begin < end) {
    const std::size_t line = text.line_of(begin);
    const std::size_t line_begin = text.line_start(line);
    const std::size_t line_end = line_begin + line_text(line).size();
    const std::size_t part_end = std::min(end, line_end);
    if (begin == line_begin && part_end == line_end && !lines_[line]->is_long) {
      result.insert(result.end(), lines_[line]->ids.begin(), lines_[line]->ids.end());
    } else {
      const std::vector<engine::TokenId> part =
          tokenizer_->encode(redacted_part(line, begin - line_begin, part_end - line_begin));
      result.insert(result.end(), part.begin(), part.end());
    }
    begin = part_end;
  }
  return result;
}

int TokenBuffer::count(std::size_t begin, std::size_t end) const {
  const Text& text = document_->text;
  end = std::min(end, text.size());
  int total = 0;
  while (begin < end) {
    const std::size_t line = text.line_of(begin);
    const std::size_t line_begin = text.line_start(line);
    const std::size_t line_end = line_begin + line_text(line).size();
    const std::size_t part_end = std::min(end, line_end);
    const bool whole = begin == line_begin && part_end == line_end;
    if (!whole && part_end - begin > kLongLine) {
      total += estimate(part_end - begin);
      begin = part_end;
      continue;
    }
    total += whole ? tokens(line)
                   : count(redacted_part(line, begin - line_begin, part_end - line_begin));
    begin = part_end;
  }
  return total;
}

int TokenBuffer::count(std::string_view text) const {
  if (tokenizer_) return static_cast<int>(tokenizer_->encode(text).size());
  return estimate(text.size());
}

std::size_t TokenBuffer::bytes() const {
  std::size_t total = document_->text.size() + lines_.size() * (sizeof(LinePtr) + sizeof(Line));
  for (const LinePtr& line : lines_) {
    total += line->ids.size() * sizeof(engine::TokenId) + line->secrets.size() * sizeof(SecretSpan);
  }
  return total;
}

bool TokenBuffer::touches_secret(std::size_t begin, std::size_t end) const {
  const Text& text = document_->text;
  for (std::size_t line = text.line_of(begin); line < line_count() && text.line_start(line) <= end;
       ++line) {
    const std::size_t offset = text.line_start(line);
    const std::size_t from = begin - std::min(begin, offset);
    for (const SecretSpan& secret : secrets_in(line, from, end - offset)) {
      if (offset + secret.begin <= end && offset + secret.end >= begin) return true;
    }
  }
  return false;
}

TokenBufferPtr TokenBuffers::buffer_of(const DocumentSnapshot& document,
                                       const std::shared_ptr<const engine::Tokenizer>& tokenizer) {
  TokenBufferPtr known;
  {
    const std::lock_guard lock(mutex_);
    if (const TokenBufferPtr* entry = buffers_.use(document->id)) known = *entry;
  }
  const bool current = known && known->document().revision == document->revision &&
                       known->tokenizer() == tokenizer.get();
  if (current) return known;
  TokenBufferPtr buffer = TokenBuffer::build(document, tokenizer, known.get());
  const std::lock_guard lock(mutex_);
  const TokenBufferPtr* latest = buffers_.find(document->id);
  if (!latest || (*latest)->document().revision <= document->revision) {
    buffers_.put(document->id, buffer, buffer->bytes());
  }
  return buffer;
}

void TokenBuffers::forget(std::uint64_t document_id) {
  const std::lock_guard lock(mutex_);
  buffers_.forget(document_id);
}

}  // namespace caretd::lsp

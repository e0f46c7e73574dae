#include "lsp/context/secrets.h"

#include <algorithm>
#include <optional>

#include "lsp/context/secret_values.h"

namespace caretd::lsp {
namespace {

constexpr std::string_view kBlockEnd = "-----END ";

// Where a private key block begins, behind its head; npos if none does.
std::size_t end_of_block_head(std::string_view line) {
  const std::size_t begin = line.find("-----BEGIN ");
  if (begin == std::string_view::npos) return begin;
  const std::size_t name = line.find("PRIVATE KEY", begin);
  if (name == std::string_view::npos) return name;
  const std::size_t dashes = line.find("-----", name);
  return dashes == std::string_view::npos ? line.size() : dashes + 5;
}

// The part of a line that is inside a block; moves the state on.
std::optional<SecretSpan> key_block_part(std::string_view line, RedactionState& state) {
  std::size_t begin = 0;
  if (!state.in_key_block) {
    begin = end_of_block_head(line);
    if (begin == std::string_view::npos) return std::nullopt;
    state.in_key_block = true;
  } else {
    begin = std::min(line.find_first_not_of(" \t\"'#*/+"), line.size());
  }
  const std::size_t end = line.find(kBlockEnd, begin);
  if (end != std::string_view::npos) state.in_key_block = false;
  return SecretSpan{begin, std::min(end, line.size())};
}

}  // namespace

RedactionState redaction_state_at(std::string_view text, std::size_t offset) {
  std::string_view before = text.substr(0, offset);
  while (true) {
    const std::size_t begin = before.rfind("-----BEGIN ");
    if (begin == std::string_view::npos) return {};
    const std::string_view line = before.substr(begin, before.find_first_of("\r\n", begin) - begin);
    const bool is_head = end_of_block_head(line) != std::string_view::npos;
    if (is_head) return {text.substr(0, offset).find(kBlockEnd, begin) == std::string_view::npos};
    before = before.substr(0, begin);
  }
}

std::vector<SecretSpan> find_secrets(std::string_view line, RedactionState& state) {
  std::vector<SecretSpan> found;
  if (const auto part = key_block_part(line, state)) {
    if (part->begin < part->end) found.push_back(*part);
    return found;
  }
  SecretScanner scanner(line);
  for (std::size_t at = 0; at < line.size();) {
    const std::optional<SecretSpan> span = scanner.secret_at(at);
    if (span && span->begin < span->end) {
      found.push_back(*span);
      at = span->end;
    } else {
      ++at;
    }
  }
  return found;
}

std::string redact_line(std::string_view line, RedactionState& state) {
  std::string result;
  std::size_t end = 0;
  for (const SecretSpan& span : find_secrets(line, state)) {
    result += line.substr(end, span.begin - end);
    result += kRedacted;
    end = span.end;
  }
  return result += line.substr(end);
}

std::string redact(std::string_view text, RedactionState state) {
  std::string result;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
    result += redact_line(text.substr(begin, end - begin), state);
    if (end < text.size()) result += text[end];
    begin = end + 1;
  }
  return result;
}

}  // namespace caretd::lsp

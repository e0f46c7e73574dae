#include "lsp/features/chat/chat_context.h"

#include <algorithm>

#include "lsp/context/secrets.h"

namespace caretd::lsp {
namespace {

// Fewer lines than this of a file say nothing.
constexpr std::size_t kFewestLines = 3;

int count_tokens(const engine::Tokenizer& tokenizer, std::string_view text) {
  return static_cast<int>(tokenizer.encode(text).size());
}

std::size_t count_lines(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

std::size_t longest_run(std::string_view text, char wanted) {
  std::size_t longest = 0;
  std::size_t run = 0;
  for (const char c : text) {
    run = c == wanted ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

std::string heading(const ContextItem& item) {
  switch (item.kind) {
    case ContextKind::selection:
      return item.name + ", from line " + std::to_string(item.line + 1) + ":\n";
    case ContextKind::file:
      return item.name + ":\n";
    case ContextKind::diagnostics:
      return "Diagnostics of " + item.name + ":\n";
  }
  return {};
}

std::string written(const ContextItem& item, std::string_view text) {
  if (item.kind == ContextKind::diagnostics) return heading(item) + std::string(text) + "\n";
  return heading(item) + fenced(text, item.language) + "\n";
}

/// As many whole lines as fit; empty where that is next to none.
std::string_view cut_to(const ContextItem& item, std::string_view text, int room, int total,
                        const engine::Tokenizer& tokenizer) {
  double share = static_cast<double>(room) / std::max(total, 1);
  while (share > 0.01) {
    const auto bytes = static_cast<std::size_t>(static_cast<double>(text.size()) * share);
    const std::size_t end = text.rfind('\n', bytes);
    if (end == std::string_view::npos) return {};
    const std::string_view cut = text.substr(0, end + 1);
    if (count_lines(cut) < kFewestLines) return {};
    if (count_tokens(tokenizer, written(item, cut)) <= room) return cut;
    share *= 0.9;
  }
  return {};
}

}  // namespace

std::string_view to_string(ContextKind kind) {
  switch (kind) {
    case ContextKind::selection:
      return "selection";
    case ContextKind::file:
      return "file";
    case ContextKind::diagnostics:
      return "diagnostics";
  }
  return "file";
}

ContextKind kind_of_context(std::string_view name) {
  if (name == "selection") return ContextKind::selection;
  return name == "diagnostics" ? ContextKind::diagnostics : ContextKind::file;
}

std::string fenced(std::string_view code, std::string_view language) {
  const std::string fence(std::max<std::size_t>(3, longest_run(code, '`') + 1), '`');
  std::string text = fence + std::string(language) + "\n" + std::string(code);
  if (!text.ends_with('\n')) text += '\n';
  return text + fence + "\n";
}

ContextText write_context(const std::vector<ContextItem>& items, int budget,
                          const engine::Tokenizer& tokenizer) {
  ContextText result;
  int room = budget;
  for (const ContextItem& item : items) {
    const std::string text = redact(item.text);
    std::string piece = written(item, text);
    ContextReport report{item.kind, item.uri, 0, count_tokens(tokenizer, piece), {}};
    report.tokens = report.total_tokens;
    if (report.total_tokens > room) {
      const std::string_view cut = cut_to(item, text, room, report.total_tokens, tokenizer);
      report.left_out = cut.empty() ? "noRoom" : "cut";
      piece = cut.empty() ? std::string() : written(item, cut);
      report.tokens = count_tokens(tokenizer, piece);
    }
    room -= report.tokens;
    result.text += piece;
    result.reports.push_back(std::move(report));
  }
  return result;
}

}  // namespace caretd::lsp

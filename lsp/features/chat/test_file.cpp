#include "lsp/features/chat/test_file.h"

#include <algorithm>
#include <array>

#include "lsp/protocol/types.h"

namespace caretd::lsp {
namespace {

struct Habit {
  std::string_view language;
  std::string_view before;
  std::string_view after;
};

constexpr std::array<Habit, 13> kHabits = {{
    {"python", "test_", ""},
    {"go", "", "_test"},
    {"typescript", "", ".test"},
    {"typescriptreact", "", ".test"},
    {"javascript", "", ".test"},
    {"javascriptreact", "", ".test"},
    {"java", "", "Test"},
    {"kotlin", "", "Test"},
    {"php", "", "Test"},
    {"csharp", "", "Tests"},
    {"ruby", "", "_test"},
    {"cpp", "", "_test"},
    {"lua", "", "_spec"},
}};

}  // namespace

std::optional<std::string> test_file_uri(std::string_view uri, const Language& language) {
  const auto habit = std::ranges::find(kHabits, language.id, &Habit::language);
  const std::size_t slash = uri.rfind('/');
  const std::size_t dot = uri.rfind('.');
  if (habit == kHabits.end() || slash == std::string_view::npos || dot == std::string_view::npos ||
      dot < slash) {
    return std::nullopt;
  }
  const std::string_view stem = uri.substr(slash + 1, dot - slash - 1);
  const bool is_test = (!habit->before.empty() && stem.starts_with(habit->before)) ||
                       (!habit->after.empty() && stem.ends_with(habit->after));
  if (is_test) return std::string(uri);
  return std::string(uri.substr(0, slash + 1)) + std::string(habit->before) + std::string(stem) +
         std::string(habit->after) + std::string(uri.substr(dot));
}

Json test_file_edit(const std::string& uri, const Document* open, const std::string& code,
                    PositionEncoding encoding) {
  Json document = {{"uri", uri}, {"version", nullptr}};
  Json changes = Json::array();
  Position at;
  std::string text = code;
  if (open != nullptr) {
    document["version"] = open->version;
    at = open->text.position_at(open->text.size(), encoding);
    text = (open->text.view().ends_with('\n') ? "\n\n" : "\n\n\n") + code;
  } else {
    changes.push_back({{"kind", "create"}, {"uri", uri}, {"options", {{"overwrite", false}}}});
  }
  const Json edit = {{"range", Range{at, at}}, {"newText", text}};
  changes.push_back({{"textDocument", document}, {"edits", Json::array({edit})}});
  return {{"documentChanges", changes}};
}

}  // namespace caretd::lsp

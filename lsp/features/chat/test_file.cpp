#include "lsp/features/chat/test_file.h"

#include <algorithm>
#include <array>

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

}  // namespace caretd::lsp

#include "lsp/context/ignore.h"

#include <algorithm>

#include "lsp/context/secrets.h"

namespace caretd::lsp {
namespace {

// Steps one match may take: stars can make backtracking quadratic or worse.
constexpr int kStepsAtMost = 20000;

// Matches one character against the class that begins at pattern[at] ('['); moves `at` behind it.
// Nothing if the class is not closed.
std::optional<bool> matches_class(std::string_view pattern, std::size_t& at, char c) {
  std::size_t i = at + 1;
  const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  bool found = false;
  for (bool first = true; i < pattern.size() && (first || pattern[i] != ']'); first = false) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const char low = pattern[i++];
    char high = low;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      high = pattern[i + 1];
      i += 2;
    }
    found = found || (low <= c && c <= high);
  }
  if (i >= pattern.size()) return std::nullopt;
  at = i + 1;
  return found != negated && c != '/';
}

class GlobMatch {
 public:
  GlobMatch(std::string_view pattern, std::string_view path) : pattern_(pattern), path_(path) {}

  bool run(std::size_t p, std::size_t s) {
    for (; p < pattern_.size(); ++s) {
      if (--steps_ < 0) return false;
      if (pattern_[p] == '*') return star(p, s);
      if (s >= path_.size()) return false;
      if (pattern_[p] == '?') {
        if (path_[s] == '/') return false;
        ++p;
      } else if (pattern_[p] == '[') {
        const auto match = matches_class(pattern_, p, path_[s]);
        if (!match.value_or(false)) return false;
      } else {
        if (pattern_[p] == '\\' && p + 1 < pattern_.size()) ++p;
        if (pattern_[p] != path_[s]) return false;
        ++p;
      }
    }
    return s == path_.size();
  }

 private:
  bool star(std::size_t p, std::size_t s) {
    const bool at_component = p == 0 || pattern_[p - 1] == '/';
    const std::string_view rest = pattern_.substr(p);
    if (at_component && rest.starts_with("**/")) return any_folders(p + 3, s);
    if (at_component && rest == "**") return s < path_.size();
    while (p < pattern_.size() && pattern_[p] == '*') ++p;
    for (;; ++s) {
      if (run(p, s)) return true;
      if (s >= path_.size() || path_[s] == '/' || steps_ < 0) return false;
    }
  }

  bool any_folders(std::size_t p, std::size_t s) {
    while (true) {
      if (run(p, s)) return true;
      const std::size_t slash = path_.find('/', s);
      if (slash == std::string_view::npos || steps_ < 0) return false;
      s = slash + 1;
    }
  }

  std::string_view pattern_;
  std::string_view path_;
  int steps_ = kStepsAtMost;
};

std::string_view name_of(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view path) {
  return GlobMatch(pattern, path).run(0, 0);
}

std::optional<IgnoreFile::Rule> IgnoreFile::parse(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  // Spaces at the end count only where they are quoted.
  while (line.ends_with(' ') && !line.ends_with("\\ ")) line.remove_suffix(1);
  Rule rule;
  if (line.starts_with('#')) return std::nullopt;
  if (line.starts_with('!')) {
    rule.negated = true;
    line.remove_prefix(1);
  }
  if (line.ends_with('/')) {
    rule.folders_only = true;
    line.remove_suffix(1);
  }
  rule.anywhere = line.find('/') == std::string_view::npos;
  if (line.starts_with('/')) line.remove_prefix(1);
  if (line.empty()) return std::nullopt;
  rule.pattern = line;
  return rule;
}

IgnoreFile::IgnoreFile(std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (auto rule = parse(text.substr(begin, end - begin))) rules_.push_back(std::move(*rule));
    begin = end + 1;
  }
}

IgnoreFile::Verdict IgnoreFile::judge(std::string_view path, bool is_folder) const {
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (rule->folders_only && !is_folder) continue;
    if (matches_glob(rule->pattern, rule->anywhere ? name_of(path) : path)) {
      return rule->negated ? Verdict::kept : Verdict::ignored;
    }
  }
  return Verdict::silent;
}

const IgnoreRules::Folder& IgnoreRules::folder(const std::string& path) {
  const auto known = folders_.find(path);
  if (known != folders_.end()) return known->second;
  Folder& entry = folders_[path];
  const std::string base = root_ + "/" + (path.empty() ? "" : path + "/");
  if (const auto text = read_(base + ".gitignore")) entry.gitignore.emplace(*text);
  if (const auto text = read_(base + ".caretignore")) entry.caretignore.emplace(*text);
  return entry;
}

// The rules of the innermost folder come first.
bool IgnoreRules::is_ignored_below(std::string_view relative, bool is_folder, const Path& folders,
                                   bool gitignore) {
  std::vector<std::size_t> starts = {0};
  for (std::size_t i = relative.find('/'); i != std::string_view::npos;
       i = relative.find('/', i + 1)) {
    starts.push_back(i + 1);
  }
  for (std::size_t depth = std::min(folders.size(), starts.size()); depth-- > 0;) {
    for (const auto* file : {&folders[depth]->caretignore, &folders[depth]->gitignore}) {
      const bool counts = gitignore || file == &folders[depth]->caretignore;
      if (!counts || !file->has_value()) continue;
      const auto verdict = (*file)->judge(relative.substr(starts[depth]), is_folder);
      if (verdict != IgnoreFile::Verdict::silent) return verdict == IgnoreFile::Verdict::ignored;
    }
  }
  return false;
}

bool IgnoreRules::ignores(std::string_view path, bool gitignore) {
  if (is_secret_file(path)) return true;
  if (!path.starts_with(root_) || path.size() <= root_.size() + 1 || path[root_.size()] != '/') {
    return false;
  }
  const std::string_view relative = path.substr(root_.size() + 1);
  const std::lock_guard lock(mutex_);
  Path folders = {&folder("")};
  // A file in an ignored folder is ignored whatever rules there are inside.
  for (std::size_t slash = relative.find('/'); slash != std::string_view::npos;
       slash = relative.find('/', slash + 1)) {
    const std::string_view inner = relative.substr(0, slash);
    if (inner == ".git" || is_ignored_below(inner, true, folders, gitignore)) return true;
    folders.push_back(&folder(std::string(inner)));
  }
  return is_ignored_below(relative, false, folders, gitignore);
}

void IgnoreRules::forget() {
  const std::lock_guard lock(mutex_);
  folders_.clear();
}

}  // namespace caretd::lsp

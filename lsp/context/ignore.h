// Ignore rules: which files never enter a prompt or the cache. gitignore syntax (gitignore(5)).
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace caretd::lsp {

/// Whether `path` matches a gitignore glob: `*` and `?` stop at slashes, `[a-z]` and `[!a-z]` too,
/// `**/` matches any folders, `/**` everything inside, `\` quotes. Linear in practice and bounded:
/// a pattern of many stars gives up and does not match.
[[nodiscard]] bool matches_glob(std::string_view pattern, std::string_view path);

/// One .gitignore or .caretignore.
class IgnoreFile {
 public:
  explicit IgnoreFile(std::string_view text);

  enum class Verdict : unsigned char { silent, ignored, kept };

  /// `path` is relative to the file's folder. The last rule that matches decides.
  [[nodiscard]] Verdict judge(std::string_view path, bool is_folder) const;

 private:
  struct Rule {
    std::string pattern;  // without leading and trailing slash
    bool negated = false;
    bool folders_only = false;
    bool anywhere = false;  // no slash in it: matches the name in any folder
  };
  static std::optional<Rule> parse(std::string_view line);

  std::vector<Rule> rules_;
};

/// The rules of one workspace folder: the ignore files in it and in the folders below, and the
/// built-in patterns of secret files (lsp/context/secrets.h), which no rule can take back.
/// Thread-safe.
class IgnoreRules {
 public:
  /// Returns a file's text, nothing if there is none. Called once a file until forget().
  using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

  /// `root` is an absolute path without a trailing slash.
  IgnoreRules(std::string root, ReadFile read) : root_(std::move(root)), read_(std::move(read)) {}

  /// `path` is absolute. Outside of the root only the built-in patterns count. Without `gitignore`
  /// the files of that name say nothing; .caretignore always counts.
  [[nodiscard]] bool ignores(std::string_view path, bool gitignore = true);

  /// An ignore file has changed: read them all again.
  void forget();

 private:
  struct Folder {
    std::optional<IgnoreFile> gitignore;
    std::optional<IgnoreFile> caretignore;  // has the last word
  };
  using Path = std::vector<const Folder*>;  // from the root inwards
  const Folder& folder(const std::string& path);
  [[nodiscard]] static bool is_ignored_below(std::string_view relative, bool is_folder,
                                             const Path& folders, bool gitignore);

  const std::string root_;
  const ReadFile read_;
  std::mutex mutex_;
  std::map<std::string, Folder> folders_;  // by path relative to the root, "" for the root
};

}  // namespace caretd::lsp

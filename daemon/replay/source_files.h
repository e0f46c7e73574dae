// The source files that replays type unless others are named: fixed, from packages that anybody can
// fetch, none of them in the embedded model's training data (models/tiny/SOURCES.tsv).
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/paths.h"
#include "support/result.h"

namespace caretd::daemon::replay {

/// A file of an npm package.
struct SourceFile {
  std::string_view package;   ///< name@version
  std::string_view path;      ///< in the package
  std::string_view language;  ///< languageId
  std::string_view sha256;
};
[[nodiscard]] std::span<const SourceFile> standard_files();

struct FetchedFile {
  std::string name;
  std::string language;
  std::string text;
};

/// Runs a program and returns its exit code; ErrorKind::not_found where there is none of that name.
using RunProgram = std::function<Result<int>(const std::vector<std::string>& arguments)>;
/// On this machine, its output to stderr.
[[nodiscard]] Result<int> run_program(const std::vector<std::string>& arguments);

/// Reads `files` from `cache`; what is missing there is fetched with `npm pack` from whatever
/// registry the user has configured, and unpacked with tar. The Error names the file whose sum is
/// wrong, or the command that failed.
[[nodiscard]] Result<std::vector<FetchedFile>> fetch(std::span<const SourceFile> files,
                                                     const std::filesystem::path& cache,
                                                     const RunProgram& run);

/// $XDG_CACHE_HOME/caretd/replay, else ~/.cache/caretd/replay.
[[nodiscard]] std::filesystem::path fetched_files_folder(const Environment& environment);

[[nodiscard]] std::string sha256_of(std::string_view bytes);

}  // namespace caretd::daemon::replay

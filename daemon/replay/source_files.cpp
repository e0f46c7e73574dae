#include "daemon/replay/source_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>

#include <openssl/evp.h>
#include <spawn.h>
#include <spdlog/fmt/fmt.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace caretd::daemon::replay {

namespace {

namespace fs = std::filesystem;

constexpr SourceFile kStandardFiles[] = {
    {"node-gyp@13.1.0", "gyp/pylib/gyp/common.py", "python",
     "cbbc59947402ff878a121a6d95034e8b04016486154502beb9f9b84c4b2d8db8"},
    {"node-gyp@13.1.0", "gyp/pylib/gyp/MSVSVersion.py", "python",
     "7e3cebf3372de53182cf59c23978d6aac33f9c06b52e1338170f684804020019"},
    {"node-gyp@13.1.0", "gyp/pylib/gyp/generator/eclipse.py", "python",
     "309aaac9b59683cbfaa72f4d5906c9d9da88cc50a55164c043a240adfd53129d"},
    {"node-gyp@13.1.0", "lib/find-visualstudio.js", "javascript",
     "9356f1e312812091a796b11b729704f91247adb71c0238223640674edafb4731"},
    {"commander@15.1.0", "lib/help.js", "javascript",
     "e3c4c079a2596b233a38c1d57b52e08408da0adb258369487ce4d69b87fb7941"},
    {"rxjs@7.8.2", "src/internal/ajax/ajax.ts", "typescript",
     "81fde48e07be6fad5961d1d916a952b6ff0ea973cae0fc62ae038d57a8a8f861"},
    {"rxjs@7.8.2", "src/internal/testing/TestScheduler.ts", "typescript",
     "2281546a98d2a1c60ce3d7447dfdaa1677c1a4ca6def80c0bb615e0bd9399e36"},
    {"immer@11.2.10", "src/plugins/arrayMethods.ts", "typescript",
     "4d12e308ea3a0e670834cb5aa3874e47de925a51d8b12c3dc71d5e6c342d97c4"},
    {"argon2@0.45.1", "argon2/src/core.c", "c",
     "0f53eb2370f8971f04fcf043b8083bf81d1530c48b2ead71c0b6c4e22a01aeec"},
    {"argon2@0.45.1", "argon2/src/encoding.c", "c",
     "e20124ec0f780f88527e79cf00825e839624ed1f469c7e231596bf070f8c7b14"},
    {"re2@1.27.1", "vendor/re2/re2/nfa.cc", "cpp",
     "6c1dfe7f77cb659a9d428e66f302cd06b2193f271744613fe583a0c79c239bb8"},
    {"re2@1.27.1", "vendor/re2/re2/simplify.cc", "cpp",
     "b6e7e6f045792e35680321b0861176d0d5368c6062ec452bc194a3d01b961dd1"},
    {"cordova-plugin-file@8.1.3", "src/android/LocalFilesystem.java", "java",
     "b6054ea333d96d8c077c2816945c03457c73578f1555f39ee07996dbc6f8378d"},
    {"cordova-plugin-file@8.1.3", "src/android/Filesystem.java", "java",
     "f111708caf4731231595c141c47e0dd2caab627613745899fbf50485eb7bde9a"},
};

std::optional<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// "@scope/name@1.0.0" as one folder.
std::string folder_name(std::string_view package) {
  std::string name(package);
  std::ranges::replace(name, '/', '+');
  return name;
}

/// The archive that npm left in the folder; nothing where there is none.
std::optional<fs::path> archive_in(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".tgz") return entry.path();
  }
  return std::nullopt;
}

Result<void> run_checked(const RunProgram& run, const std::vector<std::string>& arguments) {
  auto code = run(arguments);
  if (!code) return pass_on(std::move(code));
  if (*code == 0) return {};
  return fail(ErrorKind::unavailable,
              fmt::format("'{}' failed with exit code {}; see its messages above",
                          fmt::join(arguments, " "), *code));
}

/// Unpacks a package below `folder`/package. Anything half done is begun anew.
Result<void> fetch_package(std::string_view package, const fs::path& folder,
                           const RunProgram& run) {
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(folder, error);
  if (error) return fail(ErrorKind::io, folder.string() + ": " + error.message());
  auto packed = run_checked(run, {"npm", "pack", "--silent", "--ignore-scripts",
                                  "--pack-destination", folder.string(), std::string(package)});
  if (!packed) return packed;
  const auto archive = archive_in(folder);
  if (!archive) return fail(ErrorKind::io, "npm pack left no archive in " + folder.string());
  return run_checked(run, {"tar", "-xzf", archive->string(), "-C", folder.string()});
}

}  // namespace

std::span<const SourceFile> standard_files() {
  return kStandardFiles;
}

fs::path fetched_files_folder(const Environment& environment) {
  const auto value = [&](const char* name) {
    const auto found = environment.find(name);
    return found != environment.end() ? fs::path(found->second) : fs::path();
  };
  const fs::path cache = value("XDG_CACHE_HOME");
  const fs::path home = value("HOME");
  if (cache.is_absolute()) return cache / "caretd/replay";
  return (home.is_absolute() ? home / ".cache" : fs::temp_directory_path()) / "caretd/replay";
}

std::string sha256_of(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

Result<int> run_program(const std::vector<std::string>& arguments) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers;
  for (std::string& copy : copies) pointers.push_back(copy.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  pid_t child = 0;
  const int failed =
      ::posix_spawnp(&child, pointers.front(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    return fail(ErrorKind::not_found, fmt::format("{} cannot be run ({}); install it and try again",
                                                  arguments.front(), std::strerror(failed)));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<std::vector<FetchedFile>> fetch(std::span<const SourceFile> files, const fs::path& cache,
                                       const RunProgram& run) {
  std::vector<FetchedFile> fetched;
  for (const SourceFile& file : files) {
    const fs::path folder = cache / folder_name(file.package);
    const fs::path path = folder / "package" / file.path;
    auto text = read_file(path);
    if (!text || sha256_of(*text) != file.sha256) {
      auto unpacked = fetch_package(file.package, folder, run);
      if (!unpacked) return pass_on(std::move(unpacked));
      text = read_file(path);
    }
    if (!text || sha256_of(*text) != file.sha256) {
      return fail(ErrorKind::invalid_input,
                  fmt::format("{} of {} is missing or not the file that was measured", file.path,
                              file.package));
    }
    fetched.push_back({folder_name(file.package) + "/" + std::string(file.path),
                       std::string(file.language), *std::move(text)});
  }
  return fetched;
}

}  // namespace caretd::daemon::replay

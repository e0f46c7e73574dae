#include "daemon/config/settings_watch.h"

#include <filesystem>
#include <fstream>

#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd::daemon {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

void write(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

TEST_CASE("a settings file is seen to appear, change, be replaced and go") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "later" / "config.toml";
  SettingsWatch watch;
  const auto handle = watch.watch(file);
  CHECK_FALSE(watch.changed());

  fs::create_directory(file.parent_path());
  write(file, "a");
  CHECK(watch.changed());
  CHECK_FALSE(watch.changed());

  write(file, "ab");
  CHECK(watch.changed());

  // As editors save: the same size, perhaps the same second, another file.
  write(folder.path() / "new", "cd");
  fs::rename(folder.path() / "new", file);
  CHECK(watch.changed());

  fs::remove(file);
  CHECK(watch.changed());
  CHECK_FALSE(watch.changed());
}

TEST_CASE("the file behind a symbolic link counts") {
  const TemporaryFolder folder;
  write(folder.path() / "dotfile", "a");
  fs::create_symlink(folder.path() / "dotfile", folder.path() / "config.toml");
  SettingsWatch watch;
  const auto handle = watch.watch(folder.path() / "config.toml");
  write(folder.path() / "dotfile", "abc");
  CHECK(watch.changed());
}

TEST_CASE("a file is watched for as long as somebody wants it") {
  const TemporaryFolder folder;
  SettingsWatch watch;
  auto first = watch.watch(folder.path() / "a");
  auto second = watch.watch(folder.path() / "a");
  first.reset();
  write(folder.path() / "a", "1");
  CHECK(watch.changed());
  second.reset();
  write(folder.path() / "a", "22");
  CHECK_FALSE(watch.changed());
}

}  // namespace
}  // namespace caretd::daemon

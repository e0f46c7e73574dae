#include "support/log.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST_CASE("a log file is rotated at its size, and only so many old ones are kept") {
  const TemporaryFolder folder;
  constexpr std::size_t kBytes = 2000;
  const Logger log = make_file_logger(folder.path() / "daemon.log", "info", kBytes, 2);
  for (int line = 0; line < 500; ++line) log->info("line {}", line);
  log->flush();
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    ++files;
    CHECK(entry.file_size() <= kBytes);
  }
  CHECK(files == 3);
  CHECK(text_of(folder.path() / "daemon.log").find("line 499") != std::string::npos);
}

TEST_CASE("a log holds what its level asks for") {
  const TemporaryFolder folder;
  const Logger log = make_file_logger(folder.path() / "daemon.log", "warn", 1 << 20, 1);
  log->info("too little");
  log->error("enough");
  log->flush();
  const std::string text = text_of(folder.path() / "daemon.log");
  CHECK(text.find("too little") == std::string::npos);
  CHECK(text.find("error enough") != std::string::npos);
}

TEST_CASE("a log that cannot be opened goes elsewhere and ends nothing") {
  const Logger log = make_file_logger("/proc/nowhere/daemon.log", "info", 1 << 20, 1);
  REQUIRE(log);
  log->info("still here");
}

}  // namespace
}  // namespace caretd

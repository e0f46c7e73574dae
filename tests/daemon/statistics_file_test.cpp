#include "daemon/statistics_file.h"

#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <sys/stat.h>

#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd::daemon {
namespace {

namespace fs = std::filesystem;

/// A file of statistics whose folder does not exist yet.
class Folder {
 public:
  [[nodiscard]] fs::path file() const { return folder_.path() / "state" / kStatisticsFileName; }

 private:
  test::TemporaryFolder folder_;
};

std::int64_t shown_in(const fs::path& file) {
  return read_statistics(file).value().counters.shown;
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST_CASE("statistics go on where an earlier process ended") {
  const Folder folder;
  const Logger log = make_null_logger();
  CHECK(read_statistics(folder.file()).value().empty());
  {
    const auto first = keep_statistics(folder.file(), log);
    first->count_shown("go");
    first->count_answer(lsp::AnswerSource::model, std::chrono::milliseconds(20));
  }
  const auto second = keep_statistics(folder.file(), log);
  CHECK(second->snapshot().shown == 1);
  CHECK(second->snapshot().latency_model.p50 == 20);
  struct stat info {};
  REQUIRE(::stat(folder.file().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("processes that count at the same time lose nothing") {
  const Folder folder;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&folder] {
      for (int round = 0; round < 10; ++round) {
        keep_statistics(folder.file(), make_null_logger())->count_shown("go");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(shown_in(folder.file()) == 40);
  CHECK_FALSE(fs::exists(folder.file().string() + ".new"));
}

TEST_CASE("a broken file of statistics is put aside") {
  const Folder folder;
  fs::create_directories(folder.file().parent_path());
  std::ofstream(folder.file()) << "{\"shown\": ";
  CHECK(read_statistics(folder.file()).error().message.find(kStatisticsFileName) !=
        std::string::npos);
  keep_statistics(folder.file(), make_null_logger())->count_shown("go");
  CHECK(shown_in(folder.file()) == 1);
  CHECK(fs::exists(folder.file().string() + ".broken"));
}

TEST_CASE("where nothing can be written the statistics go on in memory") {
  const test::TemporaryFolder folder;
  const fs::path log = folder.path() / "log";
  const auto statistics =
      keep_statistics("/proc/no/statistics.json", make_file_logger(log, "warn", 1 << 20, 1),
                      std::chrono::milliseconds(1));
  statistics->count_shown("go");
  // The log says that writing was tried.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (text_of(log).find("statistics are not kept") == std::string::npos) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(statistics->snapshot().shown == 1);
}

}  // namespace
}  // namespace caretd::daemon

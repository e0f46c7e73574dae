// How much memory there is, and that nobody is promised more.
#include "engine/cpu/memory.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/engine/runner/model_on_cpu.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

using namespace caretd::engine;
using caretd::test::make_runner;
using caretd::test::random_checkpoint;
using caretd::test::TemporaryFolder;

namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

}  // namespace

TEST_CASE("a container's limit counts, and that of the groups it is in") {
  const TemporaryFolder folder;
  const auto groups = folder.path() / "groups";
  const auto membership = folder.path() / "membership";
  const auto left = [&] { return memory_left_in_groups(groups, membership); };
  CHECK(left() == kUnlimitedMemory);

  write(membership, "1:name=systemd:/init.scope\n0::/user.slice/app\n");
  write(groups / "user.slice/app/memory.max", "max\n");
  write(groups / "user.slice/app/memory.current", "5000\n");
  CHECK(left() == kUnlimitedMemory);

  write(groups / "user.slice/memory.max", "10000\n");
  write(groups / "user.slice/memory.current", "7000\n");
  CHECK(left() == 3000);
  write(groups / "user.slice/memory.stat", "anon 4000\nactive_file 500\ninactive_file 1500\n");
  CHECK(left() == 5000);

  write(groups / "user.slice/app/memory.max", "5500\n");
  CHECK(left() == 500);
  write(groups / "user.slice/app/memory.max", "4000\n");
  CHECK(left() == 0);

  // Seen from within a container.
  write(membership, "0::/\n");
  CHECK(left() == kUnlimitedMemory);
  write(groups / "memory.max", "9000\n");
  write(groups / "memory.current", "1000\n");
  CHECK(left() == 8000);
}

TEST_CASE("a KV budget beyond the free memory is cut to it") {
  const auto checkpoint = random_checkpoint("small", WeightFormat::bf16);
  const auto runner = make_runner(checkpoint, {.kv_bytes = std::int64_t{1} << 42, .threads = 1});
  const RunnerInfo& info = runner->info();
  CHECK(info.pages > 0);
  CHECK(info.pages * info.page_bytes <= available_memory());
}

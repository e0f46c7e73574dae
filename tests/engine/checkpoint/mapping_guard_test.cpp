// Files that are cut short while they are mapped. Without the guard each of these ends the process.
#include "engine/checkpoint/mapping_guard.h"

#include <string>
#include <utility>

#include "engine/checkpoint/check_model.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/quantize_model.h"
#include "engine/checkpoint/tensor_table.h"
#include "tests/engine/checkpoint/written_model.h"

using namespace caretd;
using namespace caretd::engine;
using caretd::test::TemporaryFolder;
using caretd::test::write_file;
using caretd::test::WrittenModel;

namespace {

constexpr size_t kPage = 4096;

/// Cuts the weights to their first page when it is called for the first time.
std::function<void(double)> cut_off(const WrittenModel& model) {
  return [file = model.path() / kSingleFileName, done = false](double) mutable {
    if (!std::exchange(done, true)) std::filesystem::resize_file(file, kPage);
  };
}

}  // namespace

TEST_CASE("what is lost of a mapped file reads as zeros, and the file says so") {
  const TemporaryFolder folder;
  const auto shortened = folder.path() / "shortened";
  const auto other = folder.path() / "other";
  for (const auto& file : {shortened, other}) write_file(file, std::string(5 * kPage, 'a'));
  auto opened = MappedFile::open(shortened);
  const auto untouched = MappedFile::open(other);
  REQUIRE(opened);
  REQUIRE(untouched);
  CHECK(opened->bytes()[4 * kPage] == std::byte{'a'});
  CHECK(opened->intact());

  const MappedFile moved = std::move(*opened);
  std::filesystem::resize_file(shortened, 2 * kPage);
  CHECK(moved.bytes()[kPage] == std::byte{'a'});
  CHECK(moved.intact());
  CHECK(moved.bytes()[4 * kPage] == std::byte{0});
  CHECK(moved.bytes()[2 * kPage] == std::byte{0});
  CHECK(!moved.intact());
  CHECK(untouched->bytes()[4 * kPage] == std::byte{'a'});
  CHECK(untouched->intact());
  CHECK(MappedFile::open(other)->intact());
}

TEST_CASE("more mappings than can be guarded are mapped all the same") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "file";
  write_file(file, "a");
  std::vector<MappedFile> many;
  for (int count = 0; count < 1100; ++count) many.push_back(*MappedFile::open(file));
  for (const MappedFile& mapped : many) CHECK(mapped.intact());
  many.clear();
  // The places are free again.
  write_file(file, std::string(3 * kPage, 'a'));
  const auto mapped = MappedFile::open(file);
  std::filesystem::resize_file(file, kPage);
  CHECK(mapped->bytes()[2 * kPage] == std::byte{0});
  CHECK(!mapped->intact());
}

TEST_CASE("weights of a file that is shortened while they are read are not used") {
  const WrittenModel model;
  const auto checkpoint = Checkpoint::open(model.path());
  REQUIRE(checkpoint);
  CHECK((*checkpoint)->check_intact());
  std::filesystem::resize_file(model.path() / kSingleFileName, kPage);
  CHECK((*checkpoint)->weights().embedding.data[0] == std::byte{0});
  const auto intact = (*checkpoint)->check_intact();
  REQUIRE(!intact);
  CHECK(intact.error().message ==
        model.path().string() +
            ": model.safetensors was shortened while it was read; replace model files by "
            "renaming.");
}

TEST_CASE("a check and a quantization end with a message when their file is shortened") {
  SECTION("check") {
    const WrittenModel model;
    const auto report = check_model(model.path(), {.threads = 1, .progress = cut_off(model)});
    REQUIRE(!report);
    CHECK(report.error().message.find("was shortened") != std::string::npos);
  }
  SECTION("quantize") {
    const WrittenModel model;
    const TemporaryFolder folder;
    const auto target = folder.path() / "fp8";
    const auto report =
        quantize_model(model.path(), target, {.threads = 1, .progress = cut_off(model)});
    REQUIRE(!report);
    CHECK(report.error().message.find("was shortened") != std::string::npos);
    CHECK(!std::filesystem::exists(target / "config.json"));
  }
}

// Makes CPU runners for tests: of the embedded model and of small random ones.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/checkpoint_writer.h"
#include "engine/checkpoint/shapes.h"
#include "engine/cpu_runner.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd::test {

inline constexpr const char* kEmbeddedModel = "models/tiny";

inline std::shared_ptr<const engine::Checkpoint> open_checkpoint(
    const std::filesystem::path& folder) {
  auto checkpoint = engine::Checkpoint::open(folder);
  INFO((checkpoint ? std::string() : checkpoint.error().message));
  REQUIRE(checkpoint);
  return *checkpoint;
}

/// A checkpoint of random weights. The folder may go as soon as it is open: it stays mapped.
inline std::shared_ptr<const engine::Checkpoint> random_checkpoint(std::string_view shape,
                                                                   engine::WeightFormat format,
                                                                   std::uint64_t seed = 7) {
  const TemporaryFolder folder;
  const auto config = engine::shape_by_name(shape);
  REQUIRE(config);
  REQUIRE(
      engine::write_checkpoint(folder.path() / "model", *config, {.seed = seed, .format = format}));
  return open_checkpoint(folder.path() / "model");
}

inline std::unique_ptr<engine::Runner> make_runner(
    const std::shared_ptr<const engine::Checkpoint>& checkpoint,
    engine::RunnerOptions options = {.kv_bytes = 32 << 20, .threads = 2, .precise = true}) {
  auto runner = engine::make_cpu_runner(checkpoint, options, {}, {});
  INFO((runner ? std::string() : runner.error().message));
  REQUIRE(runner);
  return std::move(*runner);
}

}  // namespace caretd::test

// What the GPU tests share: a model on both runners, and a comparison of their logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/cpu_runner.h"
#include "engine/cuda_runner.h"
#include "engine/verify/sequence_driver.h"
#include "tests/helpers/catch.h"

namespace caretd::test {

inline constexpr std::int64_t kKvBytes = std::int64_t{64} << 20;

/// The CUDA module: CARETD_CUDA_MODULE, which may name that of the emulated device, or the one
/// beside the executable.
inline std::filesystem::path cuda_module() {
  const char* path = std::getenv("CARETD_CUDA_MODULE");
  return path == nullptr ? std::filesystem::path() : std::filesystem::path(path);
}

inline std::unique_ptr<engine::CudaRunner> gpu_runner(
    const std::shared_ptr<const engine::Checkpoint>& checkpoint) {
  auto runner = engine::make_cuda_runner(checkpoint, {.kv_bytes = kKvBytes}, {}, {}, cuda_module());
  INFO((runner ? std::string() : runner.error().message));
  REQUIRE(runner);
  return std::move(*runner);
}

inline std::unique_ptr<engine::Runner> cpu_runner(
    const std::shared_ptr<const engine::Checkpoint>& checkpoint) {
  auto runner =
      engine::make_cpu_runner(checkpoint, {.kv_bytes = kKvBytes, .precise = true}, {}, {});
  REQUIRE(runner);
  return std::move(*runner);
}

inline std::shared_ptr<const engine::Checkpoint> open_checkpoint(
    const std::filesystem::path& folder) {
  auto checkpoint = engine::Checkpoint::open(folder);
  INFO((checkpoint ? std::string() : checkpoint.error().message));
  REQUIRE(checkpoint);
  return *checkpoint;
}

inline std::vector<engine::TokenId> random_tokens(int count, int vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<engine::TokenId> any(0, vocabulary - 1);
  std::vector<engine::TokenId> tokens(static_cast<std::size_t>(count));
  for (auto& token : tokens) token = any(random);
  return tokens;
}

/// The logits of every token of a sequence, fed in pieces of the given sizes (the last repeats).
inline std::vector<std::vector<float>> logits_of(engine::Runner& runner,
                                                 std::span<const engine::TokenId> tokens,
                                                 const std::vector<int>& pieces) {
  engine::PageAllocator allocator(runner.info().pages);
  engine::SequenceDriver sequence(runner, allocator);
  std::vector<std::vector<float>> logits;
  for (std::size_t at = 0, i = 0; at < tokens.size(); ++i) {
    const auto wanted = static_cast<std::size_t>(pieces[std::min(i, pieces.size() - 1)]);
    const auto piece = tokens.subspan(at, std::min(wanted, tokens.size() - at));
    auto rows = sequence.append(piece, engine::Output::logits, true);
    INFO((rows ? std::string() : rows.error().message));
    REQUIRE(rows);
    REQUIRE(rows->size() == piece.size());
    for (const auto& row : *rows) logits.emplace_back(row.logits.begin(), row.logits.end());
    at += piece.size();
  }
  return logits;
}

/// ||a - b|| / ||b||; NaN never passes a bound.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * static_cast<double>(a[i] - b[i]);
    norm += b[i] * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / norm);
}

}  // namespace caretd::test

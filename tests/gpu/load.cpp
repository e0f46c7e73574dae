// Times loading a checkpoint: gpu_load FOLDER [SHAPE LAYERS]. With a shape the folder is written
// first, with random BF16 weights. The first load finds the files where writing left them, the
// second one in the page cache.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/checkpoint_writer.h"
#include "engine/checkpoint/shapes.h"
#include "engine/cuda_runner.h"

using namespace caretd;

namespace {

int fail(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) return std::fprintf(stderr, "gpu_load FOLDER [SHAPE LAYERS]\n"), 2;
  if (argc == 4) {
    const auto config = engine::shape_by_name(argv[2], std::atoi(argv[3]));
    if (!config) return fail(config.error());
    const auto begin = std::chrono::steady_clock::now();
    if (auto ok = engine::write_checkpoint(argv[1], *config, {.seed = 1}); !ok)
      return fail(ok.error());
    std::printf("written in %.1f s\n", seconds_since(begin));
  }
  for (int i = 0; i < 2; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    auto checkpoint = engine::Checkpoint::open(argv[1]);
    if (!checkpoint) return fail(checkpoint.error());
    double progress = 0;
    auto runner = engine::make_cuda_runner(*checkpoint, {.kv_bytes = std::int64_t{1} << 30},
                                           [&](double share) { progress = share; }, {});
    if (!runner) return fail(runner.error());
    const double took = seconds_since(begin);
    const auto bytes = static_cast<double>((*checkpoint)->bytes());
    std::printf("load %d: %.2f GB in %.2f s, %.2f GB/s, progress ended at %.2f\n", i + 1,
                bytes / 1e9, took, bytes / took / 1e9, progress);
  }
  return 0;
}

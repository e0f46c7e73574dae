// Times random models on the GPU: gpu_bench SHAPE[:LAYERS] [bf16|fp8] [json file or -]
// [quick|decode|prefill]; a cut of `caretd bench --random` that needs no other library.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include "engine/bench/cuda_bench.h"
#include "engine/bench/cuda_bench_report.h"
#include "engine/checkpoint/shapes.h"

using namespace caretd;

int main(int argc, char** argv) {
  std::string shape = argc > 1 ? argv[1] : "lite";
  int layers = 0;
  if (const auto colon = shape.find(':'); colon != std::string::npos) {
    layers = std::atoi(shape.c_str() + colon + 1);
    shape.resize(colon);
  }
  const bool fp8 = argc > 2 && std::strcmp(argv[2], "fp8") == 0;
  const auto config = engine::shape_by_name(shape, layers);
  if (!config) return std::fprintf(stderr, "%s\n", config.error().message.c_str()), 1;
  auto runner =
      engine::make_random_cuda_runner({*config, fp8, 1}, {.kv_bytes = std::int64_t{2} << 30}, {});
  if (!runner) return std::fprintf(stderr, "%s\n", runner.error().message.c_str()), 1;
  engine::CudaBenchPlan plan;
  plan.profile = true;
  plan.on_figure = [](const engine::CudaFigure& figure) {
    std::fprintf(stderr, "%s at %d, %d tokens: %.3f ms\n", figure.name.c_str(), figure.context,
                 figure.tokens, figure.seconds * 1e3);
  };
  if (argc > 4 && std::strcmp(argv[4], "quick") == 0) plan.prefills = {1024};
  if (argc > 4 && std::strcmp(argv[4], "decode") == 0) {
    plan.contexts = {2048};
    plan.appends = {2, 4};
    plan.batches = plan.prefills = {};
  }
  if (argc > 4 && std::strcmp(argv[4], "prefill") == 0) {
    plan.contexts = plan.appends = plan.batches = {};
    plan.prefills = {64, 256, 512, 1024, 2048, 4096, 8192};
  }
  const auto report = engine::run_cuda_bench(**runner, plan, *config, SteadyClock());
  if (!report) return std::fprintf(stderr, "%s\n", report.error().message.c_str()), 1;
  std::cout << engine::cuda_bench_table(*report, (*runner)->info());
  if (argc > 3 && std::strcmp(argv[3], "-") != 0) {
    std::ofstream(argv[3]) << engine::cuda_bench_json(*report, (*runner)->info());
  }
  return 0;
}

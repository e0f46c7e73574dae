#include "daemon/engines/model_loading.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

constexpr std::int64_t kGibibyte = 1LL << 30;

std::vector<engine::CudaDevice> one_gpu(std::int64_t free_gibibytes) {
  engine::CudaDevice device;
  device.name = "GPU";
  device.compute_major = 9;
  device.free_bytes = free_gibibytes * kGibibyte;
  return {device};
}

ModelSettings on(const char* device, std::vector<std::int64_t> gpus = {}) {
  ModelSettings settings;
  settings.device = device;
  settings.gpus = std::move(gpus);
  return settings;
}

TEST_CASE("auto takes a GPU that fits, else the CPU with the reason") {
  const auto fits = choose_device(on("auto"), one_gpu(40), 32 * kGibibyte);
  REQUIRE(fits.has_value());
  CHECK(fits->cuda);

  const auto small = choose_device(on("auto"), one_gpu(8), 32 * kGibibyte);
  REQUIRE(small.has_value());
  CHECK_FALSE(small->cuda);
  CHECK(small->reason ==
        "running on the CPU: GPU 0 (GPU) has 8.0 GiB free and the model needs 32.0 GiB there");

  const auto none = choose_device(on("auto"), fail(ErrorKind::unavailable, "no driver"), kGibibyte);
  REQUIRE(none.has_value());
  CHECK(none->reason == "running on the CPU: no driver");
}

TEST_CASE("after a fault that only a restart mends, auto does not go on on the CPU") {
  const auto choice =
      choose_device(on("auto"), fail(ErrorKind::device_fault, "restart caretd"), kGibibyte);
  REQUIRE_FALSE(choice.has_value());
  CHECK(choice.error().message == "restart caretd");
}

TEST_CASE("where no GPU is named, the first that will do is taken") {
  auto gpus = one_gpu(4);  // draws the desktop
  gpus.push_back(one_gpu(80).front());
  gpus[1].ordinal = 1;
  gpus[1].compute_major = 7;
  gpus.push_back(one_gpu(48).front());
  gpus[2].ordinal = 2;
  for (const char* device : {"auto", "cuda"}) {
    const auto choice = choose_device(on(device), gpus, 32 * kGibibyte);
    REQUIRE(choice.has_value());
    CHECK(choice->cuda);
    CHECK(choice->ordinal == 2);
    CHECK(choice->reason == "running on GPU 2 (GPU)");
  }
  CHECK(choose_device(on("auto"), gpus, 3 * kGibibyte)->ordinal == 0);
  CHECK(choose_device(on("auto"), gpus, 64 * kGibibyte)->reason ==
        "running on the CPU: GPU 0 (GPU) has 4.0 GiB free and the model needs 64.0 GiB there");
  CHECK(choose_device(on("cuda", {1}), gpus, kGibibyte).error().message ==
        "GPU 1 (GPU) is of compute capability 7.0 and caretd needs 8.0 or newer");
}

TEST_CASE("cuda insists, cpu does not ask") {
  CHECK_FALSE(choose_device(on("cuda"), one_gpu(8), 32 * kGibibyte).has_value());
  CHECK_FALSE(
      choose_device(on("cuda"), fail(ErrorKind::unavailable, "no driver"), kGibibyte).has_value());
  CHECK_FALSE(choose_device(on("cuda", {3}), one_gpu(80), kGibibyte).has_value());
  CHECK_FALSE(choose_device(on("cpu"), one_gpu(80), kGibibyte)->cuda);
}

TEST_CASE("a model runs on the one GPU that is named, and several are refused") {
  auto gpus = one_gpu(20);
  gpus.push_back(gpus.front());
  gpus.back().ordinal = 1;
  CHECK(choose_device(on("auto", {1}), gpus, 16 * kGibibyte)->reason == "running on GPU 1 (GPU)");
  // Both together would hold it.
  CHECK_FALSE(choose_device(on("cuda", {1}), gpus, 32 * kGibibyte).has_value());
  for (const char* device : {"auto", "cuda"}) {
    const auto choice = choose_device(on(device, {0, 1}), gpus, 16 * kGibibyte);
    REQUIRE_FALSE(choice.has_value());
    CHECK(choice.error().message ==
          "model.gpus names 2 GPUs, but this version runs a model on one; name one of them");
  }
  CHECK(choose_device(on("cpu", {0, 1}), gpus, 16 * kGibibyte).has_value());
}

}  // namespace
}  // namespace caretd::daemon

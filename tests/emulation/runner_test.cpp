// What the CUDA runner does about threads, faults and odd checkpoints, on the emulated device.
#include <cstdlib>
#include <future>
#include <string>

#include "engine/checkpoint/shapes.h"
#include "tests/gpu/gpu_fixture.h"

using namespace caretd::engine;
using namespace caretd::test;

namespace {

/// An environment variable of the emulated device, for as long as this lives.
class DeviceSetting {
 public:
  DeviceSetting(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~DeviceSetting() { unsetenv(name_); }
  DeviceSetting(const DeviceSetting&) = delete;
  DeviceSetting& operator=(const DeviceSetting&) = delete;

 private:
  const char* name_;
};

std::unique_ptr<CudaRunner> small_runner(std::vector<int> devices = {}) {
  const auto config = shape_by_name("small");
  REQUIRE(config);
  auto runner = make_random_cuda_runner(
      {*config, false, 3}, {.kv_bytes = kKvBytes, .devices = std::move(devices)}, cuda_module());
  INFO((runner ? std::string() : runner.error().message));
  REQUIRE(runner);
  return *std::move(runner);
}

/// What goes wrong with `tokens` tokens; empty: nothing.
std::string step(Runner& runner, int tokens) {
  const std::vector<TokenId> ids(static_cast<std::size_t>(tokens), 7);
  const std::vector<PageId> pages{0, 1};
  const TokenRun run{.tokens = ids, .pages = pages};
  const auto rows = runner.forward(std::span(&run, 1));
  return rows ? std::string() : rows.error().message;
}

template <typename Call>
auto on_another_thread(Call&& call) {
  return std::async(std::launch::async, std::forward<Call>(call)).get();
}

}  // namespace

TEST_CASE("a model on the second GPU may be used by any thread", "[emulated][steps]") {
  const DeviceSetting devices("CARETD_EMULATED_DEVICES", "2");
  const auto runner = small_runner({1});
  std::vector<std::byte> page(static_cast<std::size_t>(runner->info().page_bytes));
  CHECK(step(*runner, 3).empty());
  CHECK(on_another_thread([&] { return step(*runner, 3); }).empty());
  CHECK(on_another_thread([&] { return step(*runner, 70); }).empty());
  CHECK(on_another_thread([&] { return runner->copy_page(0, 1, 3).has_value(); }));
  CHECK(on_another_thread([&] { return runner->read_page(0, page).has_value(); }));
  CHECK(on_another_thread([&] { return runner->write_page(0, page).has_value(); }));
  CHECK(on_another_thread([&] { return runner->measure_read_bandwidth(1 << 20).has_value(); }));
}

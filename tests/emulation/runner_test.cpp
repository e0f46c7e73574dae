// What the CUDA runner does about threads, faults and odd checkpoints, on the emulated device.
#include <array>
#include <cstdlib>
#include <future>
#include <string>

#include "engine/checkpoint/shapes.h"
#include "tests/engine/checkpoint/written_model.h"
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

/// Gives every element of a block-wise scaled model the block's scale for its own.
void scale_each_element(WrittenModel& model) {
  model.edit_tensors([](nlohmann::json& header, std::string& data) {
    SafetensorsBuilder finer;
    const auto bytes_of = [&](const nlohmann::json& tensor) {
      const auto range = tensor["data_offsets"].get<std::array<std::size_t, 2>>();
      return data.substr(range[0], range[1] - range[0]);
    };
    for (const auto& [name, tensor] : header.items()) {
      if (name == "__metadata__") continue;
      const std::string bytes = bytes_of(tensor);
      const std::string suffix = "_scale_inv";
      if (!name.ends_with(suffix)) {
        finer.add(name, tensor["dtype"], tensor["shape"], bytes);
        continue;
      }
      const nlohmann::json& scaled = header[name.substr(0, name.size() - suffix.size())];
      const auto shape = scaled["shape"].get<std::vector<std::int64_t>>();
      const std::int64_t scale_cols = tensor["shape"][1];
      std::string scales;
      for (std::int64_t row = 0; row < shape[0]; ++row) {
        for (std::int64_t col = 0; col < shape[1]; ++col) {
          const std::int64_t block = row / 128 * scale_cols + col / 128;
          scales += bytes.substr(static_cast<std::size_t>(block) * sizeof(float), sizeof(float));
        }
      }
      finer.add(name, "F32", shape, scales);
    }
    header = finer.header();
    data = finer.data();
  });
  model.edit_json("config.json", [](nlohmann::json& config) {
    config["quantization_config"]["weight_block_size"] = {1, 1};
  });
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

TEST_CASE("a fault of the device is remembered with what to do about it", "[emulated][steps]") {
  const auto runner = small_runner();
  REQUIRE(step(*runner, 1).empty());
  std::string told;
  {
    const DeviceSetting fault("CARETD_EMULATED_FAULT", "700");  // cudaErrorIllegalAddress
    told = step(*runner, 1);
    CHECK(told ==
          "the GPU failed while selecting the GPU: an error of the emulated device; no program can "
          "use the GPU again after that, so restart caretd (caretd daemon restart)");
    // Whoever loads the model again is told the same.
    const auto devices = list_cuda_devices(cuda_module());
    REQUIRE_FALSE(devices);
    CHECK(devices.error().kind == caretd::ErrorKind::device_fault);
    CHECK(devices.error().message.find("restart caretd") != std::string::npos);
  }
  CHECK(step(*runner, 1) == told);
  std::vector<std::byte> page(static_cast<std::size_t>(runner->info().page_bytes));
  CHECK(runner->read_page(0, page).error().message == told);
}

TEST_CASE("a driver that does not work is no missing GPU", "[emulated][steps]") {
  const auto told = [](const char* error) {
    const DeviceSetting fault("CARETD_EMULATED_FAULT", error);
    const auto devices = list_cuda_devices(cuda_module());
    return devices ? std::string() : devices.error().message;
  };
  CHECK(told("0").empty());
  CHECK(told("100") == "this machine has no NVIDIA GPU");
  CHECK(told("35").starts_with("the NVIDIA driver is missing or too old"));
  const std::string broken = "the NVIDIA driver does not answer: an error of the emulated device";
  CHECK(told("802") == broken);  // cudaErrorSystemNotReady
  CHECK(told("803") == broken + "; after an update of the driver the machine has to be restarted");
}

TEST_CASE("values that are not finite are an error instead of a token", "[emulated][steps]") {
  const char* const damaged = GENERATE("model.norm.weight", "lm_head.weight");
  CAPTURE(damaged);
  WrittenModel model;
  model.edit_tensors([&](nlohmann::json& header, std::string& data) {
    const auto at = header[damaged]["data_offsets"][0].get<std::size_t>();
    data.replace(at, 2, "\xC0\x7F");  // NaN in BF16
  });
  const auto runner = gpu_runner(open_checkpoint(model.path()));
  for (int tokens : {1, 70}) {
    CHECK(step(*runner, tokens) ==
          "The model computed values that are not finite; its weights are damaged or it does not "
          "fit its config.json.");
  }
}

TEST_CASE("scales of small blocks are sent with the rows that need them", "[emulated][steps]") {
  auto config = *shape_by_name("small");
  config.layers = 2;
  config.dense_intermediate = 12288;  // more bytes of scales than a thread's buffer has
  WrittenModel model(config, WeightFormat::fp8_block);
  const auto tokens = random_tokens(3, config.vocab_size, 1);
  const auto expected = logits_of(*cpu_runner(open_checkpoint(model.path())), tokens, {3});
  scale_each_element(model);
  const auto found = logits_of(*gpu_runner(open_checkpoint(model.path())), tokens, {3});
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(relative_error(found[i], expected[i]) < 0.03);
  }
}

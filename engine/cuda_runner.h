// The CUDA runner, a module of its own (caretd_cuda.so) that is loaded at run time: the caretd
// binary links no CUDA library and runs on machines without a driver.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/runner.h"

namespace caretd::engine {

/// One GPU as the driver describes it.
struct CudaDevice {
  int ordinal = 0;
  std::string name;
  int compute_major = 0;
  int compute_minor = 0;
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;
};

/// What the latest forward() moved and how long the device was busy with it.
struct CudaStepStatistics {
  double device_seconds = 0;      ///< 0 unless it is timed
  double host_seconds = 0;        ///< from the call of forward() to the last launch
  std::int64_t weight_bytes = 0;  ///< of the experts really read and everything else
  std::int64_t kv_bytes = 0;
  std::int64_t distinct_experts = 0;  ///< over all layers and launches
  int launches = 0;
};

/// One operation of a step and the device time it took, the wait at its end included.
struct CudaOperationTime {
  std::string name;
  double seconds = 0;
  int count = 0;
};

/// A Runner with what benchmarks need beyond it.
class CudaRunner : public Runner {
 public:
  [[nodiscard]] virtual const CudaStepStatistics& statistics() const = 0;
  /// Not 0: experts are chosen uniformly at random instead of by their probability (random weights
  /// may route neighbouring tokens alike).
  virtual void force_routing(std::uint32_t seed) = 0;
  /// Times the device's part of every forward() from now on, which makes it 4 microseconds longer.
  virtual void enable_timing(bool enabled) = 0;
  /// Records where the time of the next steps goes; profile() adds up to the latest step, which has
  /// to be timed.
  virtual void enable_profile(bool enabled) = 0;
  [[nodiscard]] virtual std::vector<CudaOperationTime> profile() const = 0;
  /// Bytes per second of a read-only stream over `bytes` of device memory, the best of several.
  [[nodiscard]] virtual Result<double> measure_read_bandwidth(std::int64_t bytes) = 0;
};

/// The GPUs of this machine. ErrorKind::unavailable with one sentence where there is no driver,
/// the driver is too old, or the module is not installed; ErrorKind::device_fault after a fault
/// that this process cannot get over. `module` empty: beside the executable
/// (../lib/caretd/caretd_cuda.so).
[[nodiscard]] Result<std::vector<CudaDevice>> list_cuda_devices(
    const std::filesystem::path& module = {});

/// Loads the weights onto the GPUs named in `options.devices`. ErrorKind::out_of_memory names the
/// memory needed and the memory available.
[[nodiscard]] Result<std::unique_ptr<CudaRunner>> make_cuda_runner(
    std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options,
    const Progress& progress, std::stop_token stop, const std::filesystem::path& module = {});

/// A model of random weights that are made on the device: for benchmarks at true shapes.
struct RandomModel {
  ModelConfig config;
  bool fp8 = false;  ///< FP8 projections, otherwise BF16
  std::uint64_t seed = 1;
};
[[nodiscard]] Result<std::unique_ptr<CudaRunner>> make_random_cuda_runner(
    const RandomModel& model, const RunnerOptions& options,
    const std::filesystem::path& module = {});

}  // namespace caretd::engine

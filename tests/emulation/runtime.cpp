// The CUDA runtime's functions that caretd calls, on the emulated device: its memory is the
// program's, and everything has happened when a call returns.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include "tests/emulation/device.h"

namespace {

constexpr int kCapability = CARETD_DEVICE_CAPABILITY;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;

int setting(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  const int value = text == nullptr ? 0 : std::atoi(text);
  return value > 0 ? value : otherwise;
}
int multiprocessors() {
  return setting("CARETD_EMULATED_MULTIPROCESSORS", 4);
}
int devices() {
  return setting("CARETD_EMULATED_DEVICES", 1);
}
/// What a device that failed answers to whatever it is asked.
cudaError_t fault() {
  return static_cast<cudaError_t>(setting("CARETD_EMULATED_FAULT", cudaSuccess));
}

/// Allocations end at a page that may not be touched and hold NaN at first.
class Memory {
 public:
  void* allocate(std::size_t bytes) {
    const std::size_t used = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const std::size_t whole = (used + kPage - 1) / kPage * kPage;
    void* pages =
        mmap(nullptr, whole + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return nullptr;
    mprotect(static_cast<std::byte*>(pages) + whole, kPage, PROT_NONE);
    std::byte* data = static_cast<std::byte*>(pages) + (whole - used);
    std::memset(data, 0xFF, used);
    const std::scoped_lock lock(mutex_);
    pages_[data] = {pages, whole + kPage};
    return data;
  }
  void release(void* data) {
    if (data == nullptr) return;
    const std::scoped_lock lock(mutex_);
    const auto found = pages_.find(data);
    if (found == pages_.end()) caretd::emulation::stop("memory is freed that was not allocated");
    munmap(found->second.first, found->second.second);
    pages_.erase(found);
  }

 private:
  std::mutex mutex_;
  std::map<void*, std::pair<void*, std::size_t>> pages_;
};

Memory& memory() {
  static Memory memory;
  return memory;
}

using caretd::emulation::current_device;

struct Event {
  int device;
  std::chrono::steady_clock::time_point at;
};
Event& as_event(cudaEvent_t event) {
  return *reinterpret_cast<Event*>(event);
}
caretd::emulation::Stream& as_stream(cudaStream_t stream) {
  return *reinterpret_cast<caretd::emulation::Stream*>(stream);
}

}  // namespace

extern "C" {

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the emulated device";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = fault() == cudaSuccess ? devices() : 0;
  return fault();
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices()) return cudaErrorInvalidDevice;
  current_device = device;
  return fault();
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  properties->major = kCapability / 100;
  properties->minor = kCapability / 10 % 10;
  properties->multiProcessorCount = multiprocessors();
  properties->sharedMemPerBlockOptin = caretd::emulation::max_shared_bytes(kCapability);
  properties->totalGlobalMem = std::size_t{16} << 30;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? kCapability / 100 : multiprocessors();
  return cudaSuccess;
}
/// Tensor copies are not emulated: prefill takes the kernels of older devices.
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void**, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  *result = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = *total = std::size_t{16} << 30;
  return fault();
}
cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  *data = memory().allocate(bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  memory().release(data);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  return cudaMalloc(data, bytes);
}
cudaError_t cudaFreeHost(void* data) {
  return cudaFree(data);
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  const cudaError_t error = fault();
  return error == cudaSuccess ? cudaMemcpy(to, from, bytes, kind) : error;
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind, cudaStream_t) {
  for (std::size_t row = 0; row < height; ++row) {
    std::memmove(static_cast<std::byte*>(to) + row * to_pitch,
                 static_cast<const std::byte*>(from) + row * from_pitch, width);
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = reinterpret_cast<cudaStream_t>(new caretd::emulation::Stream{current_device});
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete &as_stream(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return fault();
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = reinterpret_cast<cudaEvent_t>(new Event{current_device, {}});
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete &as_event(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (as_event(event).device != as_stream(stream).device) return cudaErrorInvalidResourceHandle;
  as_event(event).at = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds =
      std::chrono::duration<float, std::milli>(as_event(end).at - as_event(begin).at).count();
  return cudaSuccess;
}

}  // extern "C"

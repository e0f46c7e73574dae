// Owners of device and pinned host memory, streams and events. Move-only; freed on destruction.
#pragma once

#include <cstddef>
#include <memory>

#include <cuda_runtime_api.h>

#include "kernels/cuda/check.h"
#include "support/result.h"

namespace caretd::kernels::cuda {

/// What Memory::allocate() gave, which Memory::release() takes back.
template <typename Memory>
class Buffer {
 public:
  Buffer() = default;

  [[nodiscard]] static Result<Buffer> allocate(std::size_t bytes, const char* what) {
    Buffer buffer;
    void* data = nullptr;
    if (bytes > 0) {
      if (auto ok = check(Memory::allocate(&data, bytes), what); !ok) return pass_on(std::move(ok));
    }
    buffer.data_.reset(data);
    buffer.bytes_ = bytes;
    return buffer;
  }
  /// Replaces the memory by a larger one when `bytes` do not fit; the content is lost then.
  [[nodiscard]] Result<void> reserve(std::size_t bytes, const char* what) {
    if (bytes <= bytes_) return {};
    *this = Buffer();
    auto grown = allocate(bytes, what);
    if (!grown) return pass_on(std::move(grown));
    *this = *std::move(grown);
    return {};
  }

  [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(data_.get()); }
  template <typename T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(data_.get());
  }
  [[nodiscard]] std::size_t size() const { return bytes_; }

 private:
  struct Release {
    void operator()(void* data) const { Memory::release(data); }
  };
  std::unique_ptr<void, Release> data_;
  std::size_t bytes_ = 0;
};

struct DeviceMemory {
  static cudaError_t allocate(void** data, std::size_t bytes) { return cudaMalloc(data, bytes); }
  static void release(void* data) { cudaFree(data); }
};
struct PinnedMemory {
  static cudaError_t allocate(void** data, std::size_t bytes) {
    return cudaHostAlloc(data, bytes, cudaHostAllocMapped | cudaHostAllocPortable);
  }
  static void release(void* data) { cudaFreeHost(data); }
};

/// Memory on the current device.
using DeviceBuffer = Buffer<DeviceMemory>;
/// Page-locked host memory that the device can read and write under the same address.
using PinnedBuffer = Buffer<PinnedMemory>;

class Stream {
 public:
  [[nodiscard]] static Result<Stream> create() {
    Stream stream;
    cudaStream_t raw = nullptr;
    if (auto ok =
            check(cudaStreamCreateWithFlags(&raw, cudaStreamNonBlocking), "creating a stream");
        !ok) {
      return pass_on(std::move(ok));
    }
    stream.stream_.reset(raw);
    return stream;
  }
  [[nodiscard]] cudaStream_t get() const { return stream_.get(); }
  [[nodiscard]] Result<void> synchronize(const char* what) const {
    return check(cudaStreamSynchronize(stream_.get()), what);
  }

 private:
  struct Destroy {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  std::unique_ptr<CUstream_st, Destroy> stream_;
};

class Event {
 public:
  [[nodiscard]] static Result<Event> create() {
    Event event;
    cudaEvent_t raw = nullptr;
    if (auto ok = check(cudaEventCreate(&raw), "creating an event"); !ok) {
      return pass_on(std::move(ok));
    }
    event.event_.reset(raw);
    return event;
  }
  [[nodiscard]] cudaEvent_t get() const { return event_.get(); }

 private:
  struct Destroy {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  };
  std::unique_ptr<CUevent_st, Destroy> event_;
};

}  // namespace caretd::kernels::cuda

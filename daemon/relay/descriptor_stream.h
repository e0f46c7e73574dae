// A Stream over a plain socket.
#pragma once

#include "daemon/process/unique_fd.h"
#include "daemon/relay/stream.h"

namespace caretd::daemon {

class DescriptorStream final : public Stream {
 public:
  /// Takes a connected socket and makes it non-blocking.
  explicit DescriptorStream(UniqueFd socket);

  [[nodiscard]] int descriptor() const override { return socket_.get(); }
  [[nodiscard]] Transfer read(std::span<char> into) override;
  [[nodiscard]] Transfer write(std::span<const char> from) override;
  void finish_writing() override;

 private:
  UniqueFd socket_;
};

}  // namespace caretd::daemon

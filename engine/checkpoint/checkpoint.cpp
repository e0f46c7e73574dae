#include "engine/checkpoint/checkpoint.h"

#include "engine/checkpoint/tensor_table.h"
#include "engine/checkpoint/weight_binder.h"

namespace caretd::engine {

Result<void> check_model_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto status = std::filesystem::status(folder, ignored);
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorKind::not_found, folder.string() + ": there is no such model folder.");
  }
  if (status.type() != std::filesystem::file_type::regular) return {};
  const bool gguf = folder.extension() == ".gguf";
  return fail(ErrorKind::invalid_input,
              folder.string() +
                  ": is a file; a model is a folder with config.json, tokenizer.json and " +
                  (gguf ? "safetensors files, GGUF is not read." : "safetensors files."));
}

struct Checkpoint::Impl {
  std::filesystem::path folder;
  ModelConfig config;
  TensorTable table;
  BoundWeights bound;
};

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open(const std::filesystem::path& folder) {
  if (auto there = check_model_folder(folder); !there) return pass_on(std::move(there));
  auto config = read_model_config(folder / "config.json");
  if (!config) return pass_on(std::move(config));
  auto table = TensorTable::open(folder);
  if (!table) return pass_on(std::move(table));
  auto bound = bind_weights(*config, *table);
  if (!bound) return pass_on(std::move(bound), folder.string());
  config->tied_embeddings = bound->tied_embeddings;
  auto impl = std::make_unique<Impl>(
      Impl{folder, std::move(*config), std::move(*table), std::move(*bound)});
  return std::shared_ptr<const Checkpoint>(new Checkpoint(std::move(impl)));
}

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

const std::filesystem::path& Checkpoint::folder() const {
  return impl_->folder;
}
const ModelConfig& Checkpoint::config() const {
  return impl_->config;
}
const ModelWeights& Checkpoint::weights() const {
  return impl_->bound.weights;
}
std::int64_t Checkpoint::bytes() const {
  return impl_->table.bytes();
}

Result<void> Checkpoint::check_intact() const {
  auto intact = impl_->table.check_intact();
  if (!intact) return pass_on(std::move(intact), impl_->folder.string());
  return intact;
}

void Checkpoint::release(std::span<const std::byte> bytes) const {
  impl_->table.release(bytes);
}

}  // namespace caretd::engine

#include "engine/checkpoint/inspect.h"

#include <algorithm>
#include <map>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/tensor_table.h"

namespace caretd::engine {
namespace {

constexpr std::int64_t kBytesOfBf16 = 2;

std::vector<DTypeShare> dtype_shares(const TensorTable& table) {
  std::map<std::string, DTypeShare> by_type;
  for (const Tensor& tensor : table.tensors()) {
    DTypeShare& share = by_type[tensor.dtype_name];
    share.dtype = tensor.dtype_name;
    share.tensors += 1;
    share.elements += tensor.elements();
    share.bytes += static_cast<std::int64_t>(tensor.data.size());
  }
  std::vector<DTypeShare> shares;
  for (auto& [name, share] : by_type) shares.push_back(std::move(share));
  std::ranges::stable_sort(shares, std::greater(), &DTypeShare::bytes);
  return shares;
}

std::vector<ModelFile> model_files(const std::filesystem::path& folder, const TensorTable& table) {
  std::vector<ModelFile> files;
  for (const std::string& name : table.files()) {
    std::error_code ignored;
    const auto bytes = std::filesystem::file_size(folder / name, ignored);
    const auto tensors = std::ranges::count(table.tensors(), name, &Tensor::file);
    files.push_back({name, tensors, static_cast<std::int64_t>(bytes)});
  }
  return files;
}

/// Named after the attention output of the first layer: the projections share one format.
std::string weight_format(const ModelWeights& weights) {
  const MatrixView& matrix = weights.layers.front().attention.o;
  if (matrix.dtype != DType::f8_e4m3) return std::string(to_string(matrix.dtype));
  if (matrix.block_rows == matrix.rows && matrix.block_cols == matrix.cols) {
    return "FP8 per tensor";
  }
  return "FP8 block-wise (" + std::to_string(matrix.block_rows) + " x " +
         std::to_string(matrix.block_cols) + ")";
}

}  // namespace

Result<ModelSummary> summarize_model(const std::filesystem::path& folder) {
  auto checkpoint = Checkpoint::open(folder);
  if (!checkpoint) return pass_on(std::move(checkpoint));
  auto table = TensorTable::open(folder);
  if (!table) return pass_on(std::move(table));
  const ModelConfig& config = (*checkpoint)->config();
  ModelSummary summary;
  summary.folder = folder;
  summary.config = config;
  summary.weight_format = weight_format((*checkpoint)->weights());
  summary.parameters = config.parameters();
  summary.active_parameters = config.active_parameters();
  summary.tensor_bytes = table->bytes();
  summary.kv_bytes_per_token = config.layers * config.kv_width() * kBytesOfBf16;
  summary.dtypes = dtype_shares(*table);
  summary.files = model_files(folder, *table);
  return summary;
}

}  // namespace caretd::engine

#include "engine/checkpoint/quantize_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/checkpoint/byte_progress.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/parallel_for.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/weight_layout.h"
#include "kernels/cpu/numeric_formats.h"

namespace caretd::engine {
namespace {

constexpr std::int64_t kBlock = 128;
constexpr std::int64_t kCopyBytes = std::int64_t{4} << 20;
constexpr size_t kMaxJsonBytes = size_t{4} << 20;

/// Files beside the weights that make the new folder usable on its own.
constexpr std::array<const char*, 8> kCompanions{"tokenizer.json",
                                                 "tokenizer_config.json",
                                                 "chat_template.jinja",
                                                 "special_tokens_map.json",
                                                 "generation_config.json",
                                                 "README.md",
                                                 "LICENSE",
                                                 "LICENSE-MODEL"};

std::int64_t blocks(std::int64_t extent) {
  return (extent + kBlock - 1) / kBlock;
}

/// One tensor on its way: the view it is read from and its numbers in the output.
struct Job {
  const MatrixView* matrix = nullptr;  ///< set when it is to be quantized
  std::span<const std::byte> bytes;    ///< to be copied otherwise
  size_t output = 0;                   ///< number of the tensor in the plan; scales follow it
};

/// A unit of work: a band of 128 rows to quantize, or a stretch of bytes to copy.
struct RowRange {
  size_t job = 0;
  std::int64_t first = 0;  ///< row or byte
  std::int64_t count = 0;
};

/// Error sums of one matrix.
struct ErrorSums {
  double squared_error = 0.0;
  double squared_weight = 0.0;
  double largest_error = 0.0;
  double largest_weight = 0.0;

  void add(const ErrorSums& other) {
    squared_error += other.squared_error;
    squared_weight += other.squared_weight;
    largest_error = std::max(largest_error, other.largest_error);
    largest_weight = std::max(largest_weight, other.largest_weight);
  }
};

/// 128 rows (fewer at the end) in the new format.
struct QuantizedBand {
  std::vector<std::uint8_t> values;
  std::vector<float> scales;
  ErrorSums errors;
};

/// Quantizes one block of a band in place: columns [begin, end) of every row.
void quantize_block(std::span<const float> weights, std::int64_t cols, std::int64_t begin,
                    std::int64_t end, QuantizedBand& band) {
  const auto rows = static_cast<std::int64_t>(weights.size()) / cols;
  float largest = 0.0F;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = begin; col < end; ++col) {
      largest = std::max(largest, std::abs(weights[static_cast<size_t>(row * cols + col)]));
    }
  }
  // A scale below float32's normal range would lose digits of its own; such weights become zero.
  const float scale =
      std::max(largest / kernels::kLargestF8E4M3, std::numeric_limits<float>::min());
  ErrorSums errors;
  errors.largest_weight = largest;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = begin; col < end; ++col) {
      const auto at = static_cast<size_t>(row * cols + col);
      const std::uint8_t code = kernels::float_to_f8_e4m3(weights[at] / scale);
      const double error = double{weights[at]} - double{kernels::f8_e4m3_to_float(code)} * scale;
      band.values[at] = code;
      errors.squared_error += error * error;
      errors.squared_weight += double{weights[at]} * weights[at];
      errors.largest_error = std::max(errors.largest_error, std::abs(error));
    }
  }
  band.scales.push_back(scale);
  band.errors.add(errors);
}

Result<QuantizedBand> quantize_band(const MatrixView& matrix, std::int64_t first_row,
                                    std::int64_t rows) {
  std::vector<float> weights(static_cast<size_t>(rows * matrix.cols));
  for (std::int64_t row = 0; row < rows; ++row) {
    dequantize_row(matrix, first_row + row,
                   std::span(weights).subspan(static_cast<size_t>(row * matrix.cols),
                                              static_cast<size_t>(matrix.cols)));
  }
  if (!std::ranges::all_of(weights, [](float weight) { return std::isfinite(weight); })) {
    return fail(ErrorKind::invalid_input,
                "tensor \"" + matrix.name +
                    "\" holds values that are not finite; `caretd models check` lists them all.");
  }
  QuantizedBand band;
  band.values.resize(weights.size());
  for (std::int64_t col = 0; col < matrix.cols; col += kBlock) {
    quantize_block(weights, matrix.cols, col, std::min(col + kBlock, matrix.cols), band);
  }
  return band;
}

/// What is to be written, from the opened source.
class Plan {
 public:
  explicit Plan(const Checkpoint& source) : weights_(source.weights()) {
    for (const WeightSlot& slot : weight_slots(source.config(), weights_)) add(slot);
  }

  [[nodiscard]] std::span<const OutputTensor> tensors() const { return tensors_; }
  [[nodiscard]] std::span<const Job> jobs() const { return jobs_; }
  [[nodiscard]] std::span<const RowRange> pieces() const { return pieces_; }
  [[nodiscard]] std::int64_t bytes_to_read() const { return bytes_to_read_; }

 private:
  void add(const WeightSlot& slot) {
    const TensorSpec& spec = slot.spec;
    if (spec.role == TensorRole::linear) return add_quantized(spec, *slot.matrix);
    const DType dtype = slot.matrix != nullptr ? slot.matrix->dtype : slot.vector->dtype;
    const std::byte* data = slot.matrix != nullptr ? slot.matrix->data : slot.vector->data;
    const std::int64_t bytes = spec.elements() * size_of(dtype);
    jobs_.push_back({nullptr, std::span(data, static_cast<size_t>(bytes)), tensors_.size()});
    tensors_.push_back({spec.name, dtype, spec.shape()});
    bytes_to_read_ += bytes;
    cut(bytes, kCopyBytes);
  }

  void add_quantized(const TensorSpec& spec, const MatrixView& matrix) {
    jobs_.push_back({&matrix, {}, tensors_.size()});
    tensors_.push_back({spec.name, DType::f8_e4m3, spec.shape()});
    tensors_.push_back(
        {spec.name + "_scale_inv", DType::f32, {blocks(spec.rows), blocks(spec.cols)}});
    bytes_to_read_ += matrix.bytes();
    cut(spec.rows, kBlock);
  }

  void cut(std::int64_t whole, std::int64_t step) {
    for (std::int64_t first = 0; first < whole; first += step) {
      pieces_.push_back({jobs_.size() - 1, first, std::min(step, whole - first)});
    }
  }

  ModelWeights weights_;  ///< the views that jobs_ point to
  std::vector<OutputTensor> tensors_;
  std::vector<Job> jobs_;
  std::vector<RowRange> pieces_;
  std::int64_t bytes_to_read_ = 0;
};

/// Runs the pieces of a plan into a folder.
class Quantizer {
 public:
  Quantizer(const Checkpoint& source, const Plan& plan, const CheckpointFolder& output,
            const QuantizeOptions& options)
      : source_(source),
        plan_(plan),
        output_(output),
        options_(options),
        progress_(plan.bytes_to_read(), options.progress),
        sums_(plan.jobs().size()) {}

  Result<void> run() {
    return parallel_for(plan_.pieces().size(), {options_.threads, {}, options_.stop},
                        [this](size_t i) { return run_piece(plan_.pieces()[i]); });
  }

  [[nodiscard]] std::vector<QuantizationError> errors() const {
    std::vector<QuantizationError> errors;
    for (size_t i = 0; i < sums_.size(); ++i) {
      const MatrixView* matrix = plan_.jobs()[i].matrix;
      if (matrix == nullptr) continue;
      const ErrorSums& sums = sums_[i];
      const bool zero = sums.squared_weight == 0.0;
      errors.push_back({matrix->name,
                        zero ? 0.0 : std::sqrt(sums.squared_error / sums.squared_weight),
                        zero ? 0.0 : sums.largest_error / sums.largest_weight});
    }
    return errors;
  }

 private:
  Result<void> run_piece(const RowRange& piece) {
    const Job& job = plan_.jobs()[piece.job];
    return job.matrix != nullptr ? quantize(piece, job) : copy(piece, job);
  }

  Result<void> copy(const RowRange& piece, const Job& job) {
    const auto stretch =
        job.bytes.subspan(static_cast<size_t>(piece.first), static_cast<size_t>(piece.count));
    // Through memory of our own: to write() pages that the file has lost are just a bad address.
    const std::vector<std::byte> held(stretch.begin(), stretch.end());
    if (auto written = output_.write(job.output, piece.first, held); !written) return written;
    finish(stretch);
    return {};
  }

  Result<void> quantize(const RowRange& piece, const Job& job) {
    const MatrixView& matrix = *job.matrix;
    auto band = quantize_band(matrix, piece.first, piece.count);
    if (!band) return pass_on(std::move(band));
    const auto values = std::as_bytes(std::span<const std::uint8_t>(band->values));
    auto written = output_.write(job.output, piece.first * matrix.cols, values);
    if (!written) return written;
    const auto scales = std::as_bytes(std::span<const float>(band->scales));
    const std::int64_t scale_row = piece.first / kBlock * static_cast<std::int64_t>(scales.size());
    written = output_.write(job.output + 1, scale_row, scales);
    if (!written) return written;
    {
      const std::lock_guard lock(mutex_);
      sums_[piece.job].add(band->errors);
    }
    const std::int64_t row_bytes = matrix.cols * size_of(matrix.dtype);
    finish({matrix.data + piece.first * row_bytes, static_cast<size_t>(piece.count * row_bytes)});
    return {};
  }

  void finish(std::span<const std::byte> read) {
    source_.release(read);
    progress_.add(static_cast<std::int64_t>(read.size()));
  }

  const Checkpoint& source_;
  const Plan& plan_;
  const CheckpointFolder& output_;
  const QuantizeOptions& options_;
  ByteProgress progress_;
  std::mutex mutex_;
  std::vector<ErrorSums> sums_;  ///< one for each job
};

/// The source's config.json with the quantization announced and everything else as it was.
Result<std::string> quantized_config(const std::filesystem::path& file) {
  auto text = read_text_file(file, kMaxJsonBytes);
  if (!text) return pass_on(std::move(text));
  auto config = nlohmann::ordered_json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return fail(ErrorKind::invalid_input, file.string() + ": is not a JSON object.");
  }
  config["quantization_config"] = {{"quant_method", "fp8"},
                                   {"fmt", "e4m3"},
                                   {"activation_scheme", "dynamic"},
                                   {"weight_block_size", {kBlock, kBlock}}};
  return config.dump(2) + "\n";
}

Result<std::vector<std::string>> copy_companions(const std::filesystem::path& source,
                                                 CheckpointFolder& output) {
  std::vector<std::string> copied;
  for (const char* name : kCompanions) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(source / name, ignored)) continue;
    if (auto done = output.take_along(source / name); !done) return pass_on(std::move(done));
    copied.emplace_back(name);
  }
  return copied;
}

bool is_quantized(const ModelConfig& config, const ModelWeights& weights) {
  ModelWeights views = weights;
  return std::ranges::any_of(weight_slots(config, views), [](const WeightSlot& slot) {
    return slot.matrix != nullptr && slot.matrix->dtype == DType::f8_e4m3;
  });
}

}  // namespace

Result<QuantizeReport> quantize_model(const std::filesystem::path& source,
                                      const std::filesystem::path& target,
                                      const QuantizeOptions& options) {
  auto checkpoint = Checkpoint::open(source);
  if (!checkpoint) return pass_on(std::move(checkpoint));
  if (is_quantized((*checkpoint)->config(), (*checkpoint)->weights())) {
    return fail(ErrorKind::unsupported,
                source.string() + ": the model is FP8 already; quantize the BF16 original.");
  }
  auto config = quantized_config(source / "config.json");
  if (!config) return pass_on(std::move(config));
  const Plan plan(**checkpoint);
  auto output = CheckpointFolder::create(target, plan_shards(plan.tensors(), options.shard_bytes));
  if (!output) return pass_on(std::move(output));
  Quantizer quantizer(**checkpoint, plan, *output, options);
  if (auto done = quantizer.run(); !done) return pass_on(std::move(done));
  if (auto intact = (*checkpoint)->check_intact(); !intact) return pass_on(std::move(intact));
  auto copied = copy_companions(source, *output);
  if (!copied) return pass_on(std::move(copied));
  if (auto done = output->finish(*config); !done) return pass_on(std::move(done));
  QuantizeReport report{quantizer.errors(), (*checkpoint)->bytes(), 0, std::move(*copied)};
  for (const OutputTensor& tensor : plan.tensors()) report.bytes_after += tensor.bytes();
  return report;
}

}  // namespace caretd::engine

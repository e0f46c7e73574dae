#include "engine/checkpoint/check_model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <utility>

#include "engine/checkpoint/byte_progress.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/checksum.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/parallel_for.h"
#include "engine/checkpoint/tensor_table.h"
#include "engine/checkpoint/weight_binder.h"

namespace caretd::engine {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;
constexpr size_t kMaxSumsBytes = size_t{1} << 20;

/// What a tensor's values amount to, added up by several threads.
struct ValueTally {
  std::atomic<std::int64_t> not_finite{0};
  std::atomic<bool> any_nonzero{false};
};

/// `all_ones`: the exponent (for E4M3 the whole magnitude) of a value that is not finite.
template <typename Bits>
void tally(std::span<const std::byte> data, Bits all_ones, Bits magnitude_mask, ValueTally& total) {
  std::int64_t not_finite = 0;
  Bits any = 0;
  for (size_t at = 0; at + sizeof(Bits) <= data.size(); at += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, data.data() + at, sizeof bits);
    any |= static_cast<Bits>(bits & magnitude_mask);
    not_finite += (bits & all_ones) == all_ones ? 1 : 0;
  }
  total.not_finite += not_finite;
  if (any != 0) total.any_nonzero = true;
}

void tally(DType dtype, std::span<const std::byte> data, ValueTally& total) {
  switch (dtype) {
    case DType::f32:
      return tally<std::uint32_t>(data, 0x7f800000U, 0x7fffffffU, total);
    case DType::f16:
      return tally<std::uint16_t>(data, 0x7c00U, 0x7fffU, total);
    case DType::bf16:
      return tally<std::uint16_t>(data, 0x7f80U, 0x7fffU, total);
    case DType::f8_e4m3:
      return tally<std::uint8_t>(data, 0x7fU, 0x7fU, total);
  }
}

struct TensorPart {
  size_t tensor;
  std::span<const std::byte> data;
};

std::vector<TensorPart> cut_into_pieces(std::span<const Tensor> tensors) {
  std::vector<TensorPart> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].dtype) continue;  // no weights; opening judges whether they may be there
    std::span<const std::byte> rest = tensors[i].data;
    while (!rest.empty()) {
      const auto piece = rest.first(std::min(kPieceBytes, rest.size()));
      pieces.push_back({i, piece});
      rest = rest.subspan(piece.size());
    }
  }
  return pieces;
}

class Check {
 public:
  Check(const std::filesystem::path& folder, const CheckOptions& options, const TensorTable& table,
        std::vector<ListedSum> sums)
      : folder_(folder),
        options_(options),
        table_(table),
        sums_(std::move(sums)),
        progress_(bytes_to_read(), options.progress) {}

  Result<CheckReport> run(const ModelConfig& config) {
    report_.tensors = static_cast<std::int64_t>(table_.tensors().size());
    report_.bytes = table_.bytes();
    for (const Error& fault : find_weight_faults(config, table_)) {
      report_.findings.push_back({"", "", fault.message});
    }
    if (auto done = check_values(); !done) return pass_on(std::move(done));
    if (auto done = compare_sums(); !done) return pass_on(std::move(done));
    if (auto intact = table_.check_intact(); !intact) return pass_on(std::move(intact));
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::int64_t bytes_to_read() const {
    std::int64_t total = table_.bytes();
    for (const ListedSum& sum : sums_) {
      std::error_code error;
      const auto size = std::filesystem::file_size(folder_ / sum.file, error);
      if (!error) total += static_cast<std::int64_t>(size);
    }
    return total;
  }

  [[nodiscard]] ParallelOptions parallel() const { return {options_.threads, {}, options_.stop}; }

  Result<void> check_values() {
    const auto tensors = table_.tensors();
    const std::vector<TensorPart> pieces = cut_into_pieces(tensors);
    std::deque<ValueTally> tallies(tensors.size());
    auto done = parallel_for(pieces.size(), parallel(), [&](size_t i) -> Result<void> {
      const TensorPart& piece = pieces[i];
      tally(*tensors[piece.tensor].dtype, piece.data, tallies[piece.tensor]);
      drop_pages(piece.data);
      progress_.add(static_cast<std::int64_t>(piece.data.size()));
      return {};
    });
    if (!done) return done;
    for (size_t i = 0; i < tensors.size(); ++i) add_value_findings(tensors[i], tallies[i]);
    return {};
  }

  void add_value_findings(const Tensor& tensor, const ValueTally& values) {
    report_.values += tensor.elements();
    if (!tensor.dtype) return;
    if (values.not_finite > 0) {
      report_.findings.push_back(
          {tensor.file, tensor.name,
           "holds " + std::to_string(values.not_finite) + " values that are not finite"});
    }
    if (!values.any_nonzero && tensor.elements() > 0) {
      report_.findings.push_back({tensor.file, tensor.name, "holds nothing but zeros"});
    }
  }

  Result<void> compare_sums() {
    std::vector<std::string> problems(sums_.size());
    auto done = parallel_for(sums_.size(), parallel(), [&](size_t i) -> Result<void> {
      const auto mapped = MappedFile::open(folder_ / sums_[i].file);
      if (!mapped) {
        problems[i] = "is in the list of sums but cannot be read";
        return {};
      }
      auto sum = sha256_of(
          mapped->bytes(), [&](size_t bytes) { progress_.add(static_cast<std::int64_t>(bytes)); },
          options_.stop);
      if (!sum) return pass_on(std::move(sum));
      if (*sum != sums_[i].sha256) problems[i] = "has another SHA-256 sum than the list: " + *sum;
      return {};
    });
    if (!done) return done;
    for (size_t i = 0; i < sums_.size(); ++i) {
      ++report_.sums_compared;
      if (!problems[i].empty()) report_.findings.push_back({sums_[i].file, "", problems[i]});
    }
    return {};
  }

  const std::filesystem::path& folder_;
  const CheckOptions& options_;
  const TensorTable& table_;
  const std::vector<ListedSum> sums_;
  ByteProgress progress_;
  CheckReport report_;
};

Result<std::vector<ListedSum>> read_sums(const std::filesystem::path& file) {
  if (file.empty()) return std::vector<ListedSum>();
  auto text = read_text_file(file, kMaxSumsBytes);
  if (!text) return pass_on(std::move(text));
  auto sums = parse_sums(*text);
  if (!sums) return pass_on(std::move(sums), file.string());
  return sums;
}

}  // namespace

Result<CheckReport> check_model(const std::filesystem::path& folder, const CheckOptions& options) {
  if (auto there = check_model_folder(folder); !there) return pass_on(std::move(there));
  auto config = read_model_config(folder / "config.json");
  if (!config) return pass_on(std::move(config));
  auto table = TensorTable::open(folder);
  if (!table) return pass_on(std::move(table));
  auto sums = read_sums(options.sums);
  if (!sums) return pass_on(std::move(sums));
  return Check(folder, options, *table, std::move(*sums)).run(*config);
}

}  // namespace caretd::engine

#include "engine/checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <numeric>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "engine/checkpoint/tensor_table.h"

namespace caretd::engine {
namespace {

constexpr size_t kHeaderAlignment = 64;

tl::unexpected<Error> write_failure(const std::filesystem::path& file, int code) {
  return fail(ErrorKind::io, file.string() + ": cannot be written: " +
                                 std::generic_category().message(code) + ".");
}

std::string header_text(const nlohmann::json& tensors) {
  std::string json = tensors.dump();
  json.append((kHeaderAlignment - (8 + json.size()) % kHeaderAlignment) % kHeaderAlignment, ' ');
  std::string header;
  for (size_t i = 0; i < 8; ++i) header += static_cast<char>(json.size() >> (8 * i) & 0xff);
  return header + json;
}

std::string shard_name(size_t shard, size_t count) {
  if (count == 1) return kSingleFileName;
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, count);
  return name;
}

/// Numbers of the tensors of each shard.
std::vector<std::vector<size_t>> assign(std::span<const OutputTensor> tensors,
                                        std::int64_t shard_bytes) {
  std::vector<std::vector<size_t>> shards(1);
  std::int64_t filled = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::int64_t bytes = tensors[i].bytes();
    if (filled > 0 && filled + bytes > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(i);
    filled += bytes;
  }
  return shards;
}

ShardPlan::Shard lay_out(std::span<const OutputTensor> tensors, std::vector<size_t> members,
                         size_t shard, std::vector<TensorPlace>& places) {
  std::ranges::stable_sort(members, std::greater(),
                           [&](size_t i) { return size_of(tensors[i].dtype); });
  nlohmann::json header{{"__metadata__", {{"format", "pt"}}}};
  std::int64_t offset = 0;
  for (const size_t i : members) {
    places[i] = {shard, offset};
    header[tensors[i].name] = {{"dtype", to_string(tensors[i].dtype)},
                               {"shape", tensors[i].shape},
                               {"data_offsets", {offset, offset + tensors[i].bytes()}}};
    offset += tensors[i].bytes();
  }
  ShardPlan::Shard result;
  result.header = header_text(header);
  const auto header_bytes = static_cast<std::int64_t>(result.header.size());
  for (const size_t i : members) places[i].offset += header_bytes;
  result.bytes = header_bytes + offset;
  return result;
}

std::string index_text(std::span<const OutputTensor> tensors, const ShardPlan& plan) {
  std::int64_t total = 0;
  nlohmann::json weight_map = nlohmann::json::object();
  for (size_t i = 0; i < tensors.size(); ++i) {
    weight_map[tensors[i].name] = plan.shards[plan.places[i].shard].file;
    total += tensors[i].bytes();
  }
  const nlohmann::json index{{"metadata", {{"total_size", total}}},
                             {"weight_map", std::move(weight_map)}};
  return index.dump(2) + "\n";
}

Result<void> write_text(const std::filesystem::path& path, const std::string& text) {
  auto file = OutputFile::create(path, static_cast<std::int64_t>(text.size()));
  if (!file) return pass_on(std::move(file));
  if (auto written = file->write(0, std::as_bytes(std::span(text))); !written) return written;
  return file->close();
}

Result<void> check_free_space(const std::filesystem::path& folder, std::int64_t bytes) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (error || space.available >= static_cast<std::uintmax_t>(bytes)) return {};
  return fail(ErrorKind::io, folder.string() + ": the checkpoint needs " +
                                 std::to_string(bytes >> 20) + " MiB but only " +
                                 std::to_string(space.available >> 20) + " MiB are free.");
}

Result<void> check_no_model(const std::filesystem::path& folder) {
  for (const char* name : {"config.json", kSingleFileName, kIndexFileName}) {
    std::error_code ignored;
    if (std::filesystem::exists(folder / name, ignored)) {
      return fail(ErrorKind::invalid_input,
                  (folder / name).string() + ": exists already; choose an empty folder.");
    }
  }
  return {};
}

}  // namespace

std::int64_t OutputTensor::bytes() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{size_of(dtype)},
                         std::multiplies());
}

std::int64_t ShardPlan::bytes() const {
  std::int64_t total = 0;
  for (const Shard& shard : shards) total += shard.bytes;
  return total;
}

ShardPlan plan_shards(std::span<const OutputTensor> tensors, std::int64_t shard_bytes) {
  ShardPlan plan;
  plan.places.resize(tensors.size());
  std::vector<std::vector<size_t>> shards = assign(tensors, shard_bytes);
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    plan.shards.push_back(lay_out(tensors, std::move(shards[shard]), shard, plan.places));
    plan.shards.back().file = shard_name(shard, shards.size());
  }
  if (plan.shards.size() > 1) plan.index = index_text(tensors, plan);
  return plan;
}

Result<OutputFile> OutputFile::create(const std::filesystem::path& file, std::int64_t bytes) {
  OutputFile result(file, ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (result.descriptor_ < 0 || ::ftruncate(result.descriptor_, bytes) != 0) {
    return write_failure(file, errno);
  }
  return result;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> OutputFile::write(std::int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return write_failure(file_, written == 0 ? EIO : errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += written;
  }
  return {};
}

Result<void> OutputFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) return write_failure(file_, errno);
  return {};
}

Result<CheckpointFolder> CheckpointFolder::create(std::filesystem::path folder, ShardPlan plan) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return write_failure(folder, error.value());
  if (auto empty = check_no_model(folder); !empty) return pass_on(std::move(empty));
  if (auto fits = check_free_space(folder, plan.bytes()); !fits) return pass_on(std::move(fits));
  CheckpointFolder result(std::move(folder), std::move(plan));
  for (const ShardPlan::Shard& shard : result.plan_.shards) {
    const auto path = result.folder_ / shard.file;
    auto file = OutputFile::create(path, shard.bytes);
    if (!file) return pass_on(std::move(file));
    result.created_.push_back(path);
    result.files_.push_back(std::move(*file));
    auto written = result.files_.back().write(0, std::as_bytes(std::span(shard.header)));
    if (!written) return pass_on(std::move(written));
  }
  return result;
}

CheckpointFolder::~CheckpointFolder() {
  std::error_code ignored;
  for (const auto& path : created_) std::filesystem::remove(path, ignored);
}

Result<void> CheckpointFolder::write(size_t tensor, std::int64_t offset,
                                     std::span<const std::byte> bytes) const {
  const TensorPlace& place = plan_.places[tensor];
  return files_[place.shard].write(place.offset + offset, bytes);
}

Result<void> CheckpointFolder::take_along(const std::filesystem::path& file) {
  const auto copy = folder_ / file.filename();
  std::error_code error;
  if (std::filesystem::exists(copy, error)) return {};
  created_.push_back(copy);
  std::filesystem::copy_file(file, copy, error);
  if (error) return write_failure(copy, error.value());
  return {};
}

Result<void> CheckpointFolder::finish(const std::string& config_json) {
  for (OutputFile& file : files_) {
    if (auto closed = file.close(); !closed) return closed;
  }
  std::vector<std::pair<const char*, const std::string&>> texts;
  if (!plan_.index.empty()) texts.emplace_back(kIndexFileName, plan_.index);
  texts.emplace_back("config.json", config_json);
  for (const auto& [name, text] : texts) {
    created_.push_back(folder_ / name);
    if (auto written = write_text(folder_ / name, text); !written) return written;
  }
  created_.clear();
  return {};
}

}  // namespace caretd::engine

#include "engine/checkpoint/tensor_table.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/checkpoint/safetensors.h"

namespace caretd::engine {
namespace {

constexpr size_t kMaxIndexBytes = 100'000'000;

std::optional<DType> weight_dtype(std::string_view name) {
  if (name == "F32") return DType::f32;
  if (name == "F16") return DType::f16;
  if (name == "BF16") return DType::bf16;
  if (name == "F8_E4M3") return DType::f8_e4m3;
  return std::nullopt;
}

/// A name that stays inside the folder when appended to it. Symbolic links are the user's own
/// business (model hubs' caches consist of them); a path in the index is not.
bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\\') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// Parses JSON and refuses an object that holds the same key twice. Discarded where invalid.
nlohmann::json parse_without_duplicates(const std::string& text, std::string& duplicate) {
  std::vector<std::set<std::string>> keys;
  using Event = nlohmann::json::parse_event_t;
  const auto watch = [&](int, Event event, nlohmann::json& parsed) {
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  return nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
}

}  // namespace

std::int64_t Tensor::elements() const {
  std::int64_t count = 1;  // the product was checked against overflow when the header was read
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

Result<std::unordered_map<std::string, std::string>> parse_shard_index(const std::string& json) {
  std::string duplicate;
  const nlohmann::json index = parse_without_duplicates(json, duplicate);
  if (index.is_discarded()) return fail(ErrorKind::invalid_input, "is not valid JSON.");
  if (!duplicate.empty()) {
    return fail(ErrorKind::invalid_input, "has the key " + quote_name(duplicate) + " twice.");
  }
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object() || weight_map->empty()) {
    return fail(ErrorKind::invalid_input, "has no weight_map that names the shard of each tensor.");
  }
  std::unordered_map<std::string, std::string> shards;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      return fail(ErrorKind::invalid_input,
                  "tensor " + quote_name(tensor) + " is mapped to " +
                      quote_name(file.dump(-1, ' ', true)) +
                      ", which is not the name of a file in the model folder.");
    }
    shards.emplace(tensor, file.get<std::string>());
  }
  return shards;
}

Result<TensorTable> TensorTable::open(const std::filesystem::path& folder) {
  std::error_code ignored;
  TensorTable table;
  Result<void> added;
  if (std::filesystem::exists(folder / kSingleFileName, ignored)) {
    added = table.add_file(folder, kSingleFileName);
  } else if (std::filesystem::exists(folder / kIndexFileName, ignored)) {
    added = table.add_shards(folder);
  } else if (!std::filesystem::is_directory(folder, ignored)) {
    return fail(ErrorKind::not_found, folder.string() + ": there is no such model folder.");
  } else {
    return fail(ErrorKind::not_found, folder.string() + ": has neither " + kSingleFileName +
                                          " nor " + kIndexFileName +
                                          "; caretd reads models in the safetensors format.");
  }
  if (!added) return pass_on(std::move(added));
  if (auto indexed = table.index_names(); !indexed) return pass_on(std::move(indexed));
  return table;
}

Result<void> TensorTable::add_file(const std::filesystem::path& folder, const std::string& name) {
  auto mapped = MappedFile::open(folder / name);
  if (!mapped) return pass_on(std::move(mapped));
  auto sections = split_safetensors(mapped->bytes());
  if (!sections) return pass_on(std::move(sections), (folder / name).string());
  auto entries =
      parse_safetensors_header(sections->header, static_cast<std::int64_t>(sections->data.size()));
  if (!entries) return pass_on(std::move(entries), (folder / name).string());
  for (TensorEntry& entry : *entries) {
    const auto data = sections->data.subspan(static_cast<size_t>(entry.begin),
                                             static_cast<size_t>(entry.end - entry.begin));
    const auto dtype = weight_dtype(entry.dtype);
    tensors_.push_back(
        {std::move(entry.name), name, std::move(entry.dtype), dtype, std::move(entry.shape), data});
  }
  mappings_.push_back(std::move(*mapped));
  files_.push_back(name);
  return {};
}

Result<void> TensorTable::add_shards(const std::filesystem::path& folder) {
  const auto index_path = folder / kIndexFileName;
  auto text = read_text_file(index_path, kMaxIndexBytes);
  if (!text) return pass_on(std::move(text));
  auto shards = parse_shard_index(*text);
  if (!shards) return pass_on(std::move(shards), index_path.string());
  std::set<std::string> files;
  for (const auto& [tensor, file] : *shards) files.insert(file);
  for (const std::string& file : files) {
    if (auto added = add_file(folder, file); !added) return added;
  }
  for (const Tensor& tensor : tensors_) {
    const auto listed = shards->find(tensor.name);
    if (listed == shards->end() || listed->second != tensor.file) {
      return fail(ErrorKind::invalid_input, (folder / tensor.file).string() + ": tensor " +
                                                quote_name(tensor.name) +
                                                " is here but the index does not say so.");
    }
    shards->erase(listed);
  }
  if (shards->empty()) return {};
  const auto& [tensor, file] = *shards->begin();
  return fail(ErrorKind::invalid_input, (folder / file).string() + ": tensor " +
                                            quote_name(tensor) +
                                            " is missing although the index lists it here.");
}

Result<void> TensorTable::index_names() {
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!by_name_.emplace(tensors_[i].name, i).second) {
      return fail(ErrorKind::invalid_input, tensors_[i].file + ": tensor " +
                                                quote_name(tensors_[i].name) +
                                                " is in another shard as well.");
    }
  }
  return {};
}

const Tensor* TensorTable::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::int64_t TensorTable::bytes() const {
  std::int64_t total = 0;
  for (const Tensor& tensor : tensors_) total += static_cast<std::int64_t>(tensor.data.size());
  return total;
}

Result<void> TensorTable::check_intact() const {
  for (size_t i = 0; i < mappings_.size(); ++i) {
    if (mappings_[i].intact()) continue;
    return fail(ErrorKind::io,
                files_[i] + " was shortened while it was read; replace model files by renaming.");
  }
  return {};
}

void TensorTable::release(std::span<const std::byte> bytes) const {
  const std::less_equal<const std::byte*> not_after;
  for (const MappedFile& mapping : mappings_) {
    const auto file = mapping.bytes();
    if (not_after(file.data(), bytes.data()) &&
        not_after(bytes.data() + bytes.size(), file.data() + file.size())) {
      drop_pages(bytes);
    }
  }
}

}  // namespace caretd::engine

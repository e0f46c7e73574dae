#include "engine/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

namespace caretd::engine {
namespace {

constexpr size_t kMaxRank = 8;
constexpr size_t kMaxNameBytes = 1024;

struct ElementType {
  std::string_view name;
  int bits;
};
constexpr std::array<ElementType, 22> kElementTypes{{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};

std::optional<int> element_bits(std::string_view dtype) {
  const auto* found = std::find_if(kElementTypes.begin(), kElementTypes.end(),
                                   [&](const ElementType& type) { return type.name == dtype; });
  if (found == kElementTypes.end()) return std::nullopt;
  return found->bits;
}

/// Receives the header as parse events: memory stays proportional to the tensors found, and
/// nesting that the format does not have ends the parse at once.
class HeaderHandler {
 public:
  // The names below are those of nlohmann's SAX interface.
  bool null() { return reject("holds a null"); }
  bool boolean(bool) { return reject("holds a boolean"); }
  bool number_float(double, const std::string&) { return reject("holds a fractional number"); }
  bool binary(nlohmann::json::binary_t&) { return reject("holds binary data"); }
  bool number_integer(std::int64_t) { return reject("holds a negative number"); }

  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return reject("holds a number beyond 2^63");
    }
    if (place_ == Place::shape) {
      if (tensor_.shape.size() == kMaxRank) return reject("has more than 8 dimensions");
      tensor_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::offsets) {
      if (offsets_seen_ == 2) return reject("has more than two data_offsets");
      (offsets_seen_++ == 0 ? tensor_.begin : tensor_.end) = static_cast<std::int64_t>(value);
      return true;
    }
    return reject("holds a number in an unexpected place");
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata) return true;
    if (place_ != Place::field || field_ != "dtype") return reject("holds a string out of place");
    tensor_.dtype = std::move(value);
    place_ = Place::tensor;
    return true;
  }

  bool start_object(size_t) {
    switch (place_) {
      case Place::document:
        place_ = Place::names;
        return true;
      case Place::name:
        place_ = tensor_.name == "__metadata__" ? Place::metadata : Place::tensor;
        return true;
      default:
        return reject("holds an object out of place");
    }
  }

  bool key(std::string& key) {
    if (place_ == Place::metadata) return true;
    if (place_ == Place::tensor) {
      if ((field_seen(key)) != 0) return reject("has its " + quote_name(key) + " twice");
      field_ = key;
      place_ = Place::field;
      return true;
    }
    if (key.empty() || key.size() > kMaxNameBytes) return reject("has a name of bad length");
    tensor_ = TensorEntry();
    tensor_.name = std::move(key);
    fields_seen_ = {};
    offsets_seen_ = 0;
    place_ = Place::name;
    return true;
  }

  bool end_object() {
    if (place_ == Place::tensor) {
      if (tensor_.dtype.empty() || !fields_seen_[1] || offsets_seen_ != 2) {
        return reject("lacks dtype, shape or its two data_offsets");
      }
      tensors_.push_back(std::move(tensor_));
      tensor_ = TensorEntry();
    }
    place_ = Place::names;
    return true;
  }

  bool start_array(size_t) {
    if (place_ == Place::field && field_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::field && field_ == "data_offsets") {
      place_ = Place::offsets;
    } else {
      return reject("holds an array out of place");
    }
    return true;
  }

  bool end_array() {
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
    if (error_.empty()) {
      error_ = "the header is not valid JSON at its byte " + std::to_string(position) + ".";
    }
    return false;
  }

  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::vector<TensorEntry> take_tensors() { return std::move(tensors_); }

 private:
  enum class Place : std::uint8_t {
    document,
    names,
    name,
    metadata,
    tensor,
    field,
    shape,
    offsets
  };

  /// Notes a field and returns how often it was there before. Unknown fields are not noted: their
  /// value is refused by the caller's place.
  int field_seen(const std::string& key) {
    static constexpr std::array<std::string_view, 3> kFields{"dtype", "shape", "data_offsets"};
    for (size_t i = 0; i < kFields.size(); ++i) {
      if (kFields[i] == key) return std::exchange(fields_seen_[i], true) ? 1 : 0;
    }
    return 0;
  }

  bool reject(const std::string& reason) {
    error_ = tensor_.name.empty() ? "the header " + reason + "."
                                  : "tensor " + quote_name(tensor_.name) + " " + reason + ".";
    return false;
  }

  Place place_ = Place::document;
  TensorEntry tensor_;
  std::string field_;
  std::array<bool, 3> fields_seen_{};
  int offsets_seen_ = 0;
  std::vector<TensorEntry> tensors_;
  std::string error_;
};

/// Bytes of a tensor, or nothing where the product overflows or ends inside a byte.
std::optional<std::int64_t> tensor_bytes(const TensorEntry& tensor, int bits) {
  std::int64_t size_in_bits = bits;
  for (const std::int64_t extent : tensor.shape) {
    if (__builtin_mul_overflow(size_in_bits, extent, &size_in_bits)) return std::nullopt;
  }
  if (size_in_bits % 8 != 0) return std::nullopt;
  return size_in_bits / 8;
}

/// What is wrong with a tensor taken by itself; empty where nothing is.
std::string fault_of(const TensorEntry& tensor, std::int64_t data_bytes) {
  const auto bits = element_bits(tensor.dtype);
  if (!bits) return "has the unknown dtype " + quote_name(tensor.dtype);
  const auto bytes = tensor_bytes(tensor, *bits);
  if (!bytes) return "has a shape of impossible size";
  if (tensor.begin > tensor.end) return "ends before it begins";
  if (tensor.end > data_bytes) {
    return "ends at byte " + std::to_string(tensor.end) + " of a data section of " +
           std::to_string(data_bytes) + " bytes; the file is truncated or damaged";
  }
  if (tensor.end - tensor.begin != *bytes) {
    return "has " + std::to_string(tensor.end - tensor.begin) +
           " bytes where its dtype and shape need " + std::to_string(*bytes);
  }
  return {};
}

tl::unexpected<Error> bad_tensor(const TensorEntry& tensor, const std::string& fault) {
  return fail(ErrorKind::invalid_input, "tensor " + quote_name(tensor.name) + " " + fault + ".");
}

/// The format allows neither overlaps nor holes nor bytes after the last tensor.
Result<void> check_coverage(const std::vector<TensorEntry>& tensors, std::int64_t data_bytes) {
  std::int64_t covered = 0;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin < covered) return bad_tensor(tensor, "overlaps the tensor before it");
    if (tensor.begin > covered) return bad_tensor(tensor, "leaves a hole before its first byte");
    covered = tensor.end;
  }
  if (covered != data_bytes) {
    return fail(ErrorKind::invalid_input,
                "the tensors end at byte " + std::to_string(covered) + " of a data section of " +
                    std::to_string(data_bytes) + " bytes; the file is damaged.");
  }
  return {};
}

Result<void> check_names(const std::vector<TensorEntry>& tensors) {
  std::vector<const TensorEntry*> by_name;
  by_name.reserve(tensors.size());
  for (const TensorEntry& tensor : tensors) by_name.push_back(&tensor);
  const auto name_of = [](const TensorEntry* tensor) -> const std::string& { return tensor->name; };
  std::ranges::sort(by_name, {}, name_of);
  const auto twin = std::ranges::adjacent_find(by_name, {}, name_of);
  if (twin != by_name.end()) return bad_tensor(**twin, "is there twice");
  return {};
}

}  // namespace

std::string quote_name(std::string_view text) {
  constexpr size_t kShown = 120;
  size_t length = std::min(text.size(), kShown);
  // Never cut inside a UTF-8 character: step back over continuation bytes.
  while (length < text.size() && length > 0 &&
         (static_cast<unsigned char>(text[length]) >> 6) == 2) {
    --length;
  }
  std::string result = "\"";
  for (const char character : text.substr(0, length)) {
    const auto byte = static_cast<unsigned char>(character);
    result += byte < 0x20 || byte == 0x7f ? '?' : character;
  }
  result += length < text.size() ? "...\"" : "\"";
  return result;
}

Result<std::vector<TensorEntry>> parse_safetensors_header(std::string_view json,
                                                          std::int64_t data_bytes) {
  HeaderHandler handler;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) {
    return fail(ErrorKind::invalid_input, handler.error());
  }
  std::vector<TensorEntry> tensors = handler.take_tensors();
  for (const TensorEntry& tensor : tensors) {
    const std::string fault = fault_of(tensor, data_bytes);
    if (!fault.empty()) return bad_tensor(tensor, fault);
  }
  if (auto names = check_names(tensors); !names) return pass_on(std::move(names));
  std::ranges::sort(tensors, {},
                    [](const TensorEntry& tensor) { return std::pair(tensor.begin, tensor.end); });
  if (auto coverage = check_coverage(tensors, data_bytes); !coverage) {
    return pass_on(std::move(coverage));
  }
  return tensors;
}

Result<SafetensorsSections> split_safetensors(std::span<const std::byte> file) {
  constexpr size_t kLengthBytes = 8;
  if (file.size() < kLengthBytes) {
    return fail(ErrorKind::invalid_input, "the file is too short for a safetensors header.");
  }
  std::uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  }
  if (length > kMaxSafetensorsHeader) {
    return fail(ErrorKind::invalid_input, "the header claims " + std::to_string(length) +
                                              " bytes, more than the " +
                                              std::to_string(kMaxSafetensorsHeader) +
                                              " the format allows; is this a safetensors file?");
  }
  if (length > file.size() - kLengthBytes) {
    return fail(ErrorKind::invalid_input,
                "the header claims " + std::to_string(length) + " bytes but the file ends after " +
                    std::to_string(file.size() - kLengthBytes) + "; the file is truncated.");
  }
  const auto header = file.subspan(kLengthBytes, length);
  return SafetensorsSections{
      std::string_view(reinterpret_cast<const char*>(header.data()), header.size()),
      file.subspan(kLengthBytes + length)};
}

}  // namespace caretd::engine

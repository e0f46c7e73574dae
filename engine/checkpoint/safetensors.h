// The safetensors container: an 8-byte little-endian header length, a JSON header that names each
// tensor's dtype, shape and byte range, and the bytes. Format as the safetensors project's README
// specifies it ("Format"). The header is untrusted input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/mapped_file.h"
#include "support/result.h"

namespace caretd::engine {

/// The reference implementation's bound on the header, in bytes.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

/// One tensor as a header describes it, already checked: the byte range lies inside the data
/// section and has exactly the size that dtype and shape ask for.
struct TensorEntry {
  std::string name;
  std::string dtype;                ///< as written, for example "BF16"; any type the format knows
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::int64_t begin = 0;           ///< first byte, counted from the start of the data section
  std::int64_t end = 0;             ///< one past the last byte
};

/// Parses and validates the JSON of a header for a data section of `data_bytes`. Tensors come
/// back in the order of their bytes. Overlaps, holes, duplicate names, negative or overflowing
/// shapes and unknown dtypes are errors that name the tensor.
[[nodiscard]] Result<std::vector<TensorEntry>> parse_safetensors_header(std::string_view json,
                                                                        std::int64_t data_bytes);

/// Where header and data lie in a whole file.
struct SafetensorsSections {
  std::string_view header;
  std::span<const std::byte> data;
};
[[nodiscard]] Result<SafetensorsSections> split_safetensors(std::span<const std::byte> file);

/// `text` between quotes, shortened and without control characters: names in messages come from
/// files and may hold anything.
[[nodiscard]] std::string quote_name(std::string_view text);

}  // namespace caretd::engine

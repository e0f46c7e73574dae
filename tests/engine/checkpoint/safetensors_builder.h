// Safetensors files for tests, correct or deliberately wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace caretd::test {

/// Length field and header, without data.
inline std::string with_length(std::string_view header, std::uint64_t claimed) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(claimed >> (8 * i) & 0xff);
  return file.append(header);
}
inline std::string with_length(std::string_view header) {
  return with_length(header, header.size());
}

/// Collects tensors back to back and renders the file.
class SafetensorsBuilder {
 public:
  SafetensorsBuilder& add(const std::string& name, const std::string& dtype,
                          const std::vector<std::int64_t>& shape, const std::string& bytes) {
    header_[name] = {{"dtype", dtype},
                     {"shape", shape},
                     {"data_offsets", {data_.size(), data_.size() + bytes.size()}}};
    data_ += bytes;
    return *this;
  }
  [[nodiscard]] std::string build() const { return with_length(header_.dump()) + data_; }

  /// For tests that bend what add() made.
  nlohmann::ordered_json& header() { return header_; }
  std::string& data() { return data_; }

 private:
  nlohmann::ordered_json header_ = nlohmann::ordered_json::object();
  std::string data_;
};

inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace caretd::test

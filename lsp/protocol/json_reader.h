// Reading typed values out of JSON: no exceptions, and the first mismatch is named by its path.
//
// A type T is readable when there is `bool read(const Json&, T&, const JsonPath&)`.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/protocol/json.h"

namespace caretd::lsp {

/// Where a value stands in its message. Lives on the stack of the readers; a child points at its
/// parent.
class JsonPath {
 public:
  /// The root. The first failure is written to `fault`.
  explicit JsonPath(std::string& fault) : fault_(fault) {}

  [[nodiscard]] JsonPath field(std::string_view name) const { return {*this, name, 0}; }
  [[nodiscard]] JsonPath element(std::size_t index) const { return {*this, {}, index}; }

  /// Records "textDocument.uri: expected a string"; returns false for `return path.expected(..)`.
  bool expected(std::string_view what) const;

 private:
  JsonPath(const JsonPath& parent, std::string_view name, std::size_t index)
      : fault_(parent.fault_), parent_(&parent), name_(name), index_(index) {}
  [[nodiscard]] std::string text() const;

  std::string& fault_;
  const JsonPath* parent_ = nullptr;
  std::string_view name_;
  std::size_t index_ = 0;
};

bool read(const Json& json, bool& value, const JsonPath& path);
bool read(const Json& json, std::int64_t& value, const JsonPath& path);
/// `uinteger` of the protocol; some clients send whole numbers as floats.
bool read(const Json& json, std::uint32_t& value, const JsonPath& path);
bool read(const Json& json, int& value, const JsonPath& path);
bool read(const Json& json, double& value, const JsonPath& path);
bool read(const Json& json, std::string& value, const JsonPath& path);
bool read(const Json& json, Json& value, const JsonPath& path);

template <typename T>
bool read(const Json& json, std::vector<T>& values, const JsonPath& path) {
  if (!json.is_array()) return path.expected("an array");
  values.resize(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (!read(json[i], values[i], path.element(i))) return false;
  }
  return true;
}

/// Reads the fields of an object; unknown fields are ignored, as the protocol demands.
class ObjectReader {
 public:
  ObjectReader(const Json& json, const JsonPath& path)
      : json_(json), path_(path), ok_(json.is_object() || path.expected("an object")) {}

  explicit operator bool() const { return ok_; }

  template <typename T>
  ObjectReader& required(const char* name, T& value) {
    if (!ok_) return *this;
    const auto found = json_.find(name);
    const JsonPath at = path_.field(name);
    ok_ = found == json_.end() ? at.expected("a value") : read(*found, value, at);
    return *this;
  }

  /// Leaves `value` as it is where the field is absent or null.
  template <typename T>
  ObjectReader& optional(const char* name, T& value) {
    if (!ok_) return *this;
    const auto found = json_.find(name);
    if (found != json_.end() && !found->is_null()) ok_ = read(*found, value, path_.field(name));
    return *this;
  }

  template <typename T>
  ObjectReader& optional(const char* name, std::optional<T>& value) {
    if (!ok_) return *this;
    const auto found = json_.find(name);
    if (found != json_.end() && !found->is_null()) {
      ok_ = read(*found, value.emplace(), path_.field(name));
    }
    return *this;
  }

 private:
  const Json& json_;
  const JsonPath& path_;
  bool ok_;
};

/// The whole of `json` as a T; the error's message names the field at fault.
template <typename T>
[[nodiscard]] Result<T> read_json(const Json& json) {
  std::string fault;
  T value{};
  if (read(json, value, JsonPath(fault))) return value;
  return fail(ErrorKind::invalid_input, fault);
}

}  // namespace caretd::lsp
